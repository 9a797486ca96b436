"""Positions of cells: latitudes and longitudes, or coordinates of a projection, on one metric."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from ..errors import LayoutError
from .axes import LATITUDE, LONGITUDE, is_latitude, is_longitude
from .crs import is_rotated, stated_crs

__all__ = ["find_latitude", "find_positions", "geographic_positions", "positions"]

EARTH_RADIUS_KM = 6371.0

Array: TypeAlias = NDArray[np.float64]


def find_latitude(ds: xr.Dataset, space: Sequence[Hashable]) -> str | None:
    """Name of the variable with the latitude over the cells, if there is one."""
    return _find(ds, space, is_latitude, LATITUDE, 90.0)


def find_positions(ds: xr.Dataset, space: Sequence[Hashable]) -> tuple[str, str] | None:
    """Names of the variables with latitude and longitude over the cells, if there are both."""
    latitude = find_latitude(ds, space)
    longitude = _find(ds, space, is_longitude, LONGITUDE, 360.0)
    return None if latitude is None or longitude is None else (latitude, longitude)


def _find(
    ds: xr.Dataset,
    space: Sequence[Hashable],
    fits: Callable[[xr.Dataset, Hashable], bool],
    standard: str,
    limit: float,
) -> str | None:
    """The variable over space that calls itself so; by standard name first, then coordinates."""
    found = [
        str(name)
        for name in [*ds.coords, *ds.data_vars]
        if fits(ds, name)
        and set(ds[name].dims) <= set(space)
        and getattr(ds[name].dtype, "kind", "") in "fiu"
        and not _beyond(ds, name, limit)
    ]
    stated = [name for name in found if ds[name].attrs.get("standard_name") == standard]
    return next(iter(stated + found), None)


def _beyond(ds: xr.Dataset, name: Hashable, limit: float) -> bool:
    """Whether the values of an axis are no degrees, such as numbers of rows; reads no store."""
    variable = ds[name].variable
    if not isinstance(variable, xr.IndexVariable) or not variable.size:
        return False
    return bool(np.abs(variable.values).max() > limit + 1e-3)


def geographic_positions(ds: xr.Dataset, space: Sequence[Hashable]) -> tuple[Array, Array] | None:
    """Latitude and longitude of every cell in degrees, each (cell,), or None.

    From variables where there are any, else from the axes and their coordinate reference system.

    Parameters
    ----------
    ds : Dataset
        With its coordinates, and its grid mapping where the axes are projected or rotated.
    space : sequence of hashable
        Its space dimensions; cells are stacked in this order, the last fastest.
    """
    names = find_positions(ds, space)
    if names is not None:
        return _flat(ds, names[0], space), _flat(ds, names[1], space)
    crs = stated_crs(ds)
    if crs is None or len(space) != 2 or not _numeric(ds, space):
        return None
    return _through(crs, *(_flat(ds, dim, space) for dim in space))


def _through(crs: CRS, y: Array, x: Array) -> tuple[Array, Array] | None:
    # of a rotated pole the geodetic CRS is itself, and its source the unrotated one
    base = crs.source_crs if is_rotated(crs) else crs.geodetic_crs
    if base is None:
        return None
    transformer = Transformer.from_crs(crs, base, always_xy=True)
    longitude, latitude = transformer.transform(x, y)
    return np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)


def positions(ds: xr.Dataset, space: Sequence[Hashable], labels: Sequence[Hashable] = ()) -> Array:
    """Positions of all cells, so that straight distances tell near from far.

    Parameters
    ----------
    ds : Dataset
        With latitude and longitude of its cells, or with projected coordinates.
    space : sequence of hashable
        Its space dimensions; cells are stacked in this order, the last fastest.
    labels : sequence of hashable
        The coordinates that name a cell, if known.

    Returns
    -------
    ndarray (cell, 3) or (cell, 2)
        Kilometres from the centre of the Earth where there are latitudes and longitudes, or a
        rotated pole; else in the units of the projected coordinates. NaN where a cell has no
        position.

    Raises
    ------
    LayoutError
        The Dataset says nothing of where its cells lie.
    """
    names = find_positions(ds, space)
    if names is not None:
        return _on_sphere(_flat(ds, names[0], space), _flat(ds, names[1], space))
    crs = stated_crs(ds)
    if crs is not None and is_rotated(crs):
        found = geographic_positions(ds, space)
        if found is not None:
            return _on_sphere(*found)
    for chosen in (labels, space):
        if len(chosen) == 2 and _numeric(ds, chosen):
            return np.stack([_flat(ds, name, space) for name in chosen], axis=-1)
    if not space:
        raise LayoutError("a single cell has no neighbours. Give a Dataset with more cells.")
    over = ", ".join(f'"{dim}"' for dim in space)
    over = over if len(space) == 1 else f"({over})"
    raise LayoutError(
        f"the cells have no positions: there is no latitude and longitude over {tuple(space)}, and "
        f"no projected coordinate. Assign them: ds = ds.assign_coords(lat=({over}, ...), "
        f"lon=({over}, ...))."
    )


def _on_sphere(latitude: Array, longitude: Array) -> Array:
    lat, lon = np.radians(latitude), np.radians(longitude)
    ring = np.cos(lat)
    return EARTH_RADIUS_KM * np.stack(
        [ring * np.cos(lon), ring * np.sin(lon), np.sin(lat)], axis=-1
    )


def _numeric(ds: xr.Dataset, names: Sequence[Hashable]) -> bool:
    return all(name in ds.coords and ds[name].dtype.kind in "fiu" for name in names)


def _flat(ds: xr.Dataset, name: Hashable, space: Sequence[Hashable]) -> Array:
    shape = {dim: ds.sizes[dim] for dim in space}
    values = ds[name].variable.set_dims(shape).transpose(*space).values
    return np.asarray(values, dtype=np.float64).ravel()
