"""Where a map lies: its grid mapping, its axes, and whether a raster may be made of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..errors import RasterError

__all__ = [
    "Grid",
    "crs_of",
    "find_basin",
    "find_grid_mapping",
    "find_space",
    "grid_of",
    "is_geometry",
    "is_time",
    "north_up",
    "require_space",
    "stated_crs",
]

GRID_MAPPING = "spatial_ref"
"""Name of the grid mapping coordinate in everything that xdpl writes."""

_X_STANDARD = {"longitude", "projection_x_coordinate", "grid_longitude"}
_Y_STANDARD = {"latitude", "projection_y_coordinate", "grid_latitude"}
_X_NAMES = {"x", "lon", "longitude", "long", "easting", "xc", "rlon"}
_Y_NAMES = {"y", "lat", "latitude", "northing", "yc", "rlat"}
_DEGREES = {"degree", "degrees", "deg"} | {
    f"degree{s}{j}{d}" for s in ("", "s") for j in ("_", "") for d in ("north", "east", "N", "E")
}

_DEGREE_NAMES = {"lat", "latitude", "lon", "longitude", "long"}

_OTHER_UNITS = {"km", "kilometer", "kilometers", "kilometre", "kilometres", "rad", "radian"}

_POSITION_TOLERANCE = 0.01
"""How far a cell may lie from its place on a regular axis, as a fraction of a cell."""


@dataclass(frozen=True)
class Grid:
    """A regular, north-up grid.

    Parameters
    ----------
    y, x : hashable
        Dimensions of the maps.
    crs : pyproj.CRS
    transform : affine.Affine
        From (column, row) to the upper left corner of a cell.
    shape : (int, int)
        Rows and columns.
    """

    y: Hashable
    x: Hashable
    crs: CRS
    transform: Affine
    shape: tuple[int, int]


def find_grid_mapping(ds: xr.Dataset | xr.DataArray) -> Hashable | None:
    """Return the name of the grid mapping variable, or None.

    It is looked for where CF puts it (the ``grid_mapping`` attribute of the variables, which xarray
    moves to their encoding with ``decode_coords="all"``), then among variables without dimensions
    that look like one: a file opened plainly has it as an ordinary variable.
    """
    variables = {**ds.coords} if isinstance(ds, xr.DataArray) else {**ds.variables}
    users = [ds] if isinstance(ds, xr.DataArray) else list(ds.data_vars.values())
    for user in users:
        given = [about.get("grid_mapping") for about in (user.attrs, user.encoding)]
        text = next((t for t in given if isinstance(t, str)), "")  # a file may hold anything there
        if text.strip():
            name = text.split(":")[0].split()[0]
            if name in variables:
                return name
    for name in (GRID_MAPPING, "crs", *variables):
        if name in variables and _is_grid_mapping(variables[name]):
            return name
    return None


def _is_grid_mapping(variable: Any) -> bool:
    keys = {"grid_mapping_name", "crs_wkt", GRID_MAPPING}
    return variable.ndim == 0 and bool(keys & variable.attrs.keys())


def stated_crs(ds: xr.Dataset | xr.DataArray) -> CRS | None:
    """Return the coordinate reference system that a Dataset states, or None."""
    name = find_grid_mapping(ds)
    crs = _parse(ds[name].attrs) if name is not None else None
    return crs if crs is not None else _crs_of_accessor(ds)


def crs_of(ds: xr.Dataset | xr.DataArray) -> CRS | None:
    """Return the coordinate reference system of a Dataset, or None.

    Axes that call themselves latitude and longitude in degrees need no grid mapping: they are
    taken as WGS 84 (EPSG:4326).
    """
    crs = stated_crs(ds)
    if crs is None:
        space = find_space(ds)
        if space is not None and _is_geographic(ds, *space):
            return CRS.from_epsg(4326)
    return crs


def _crs_of_accessor(ds: xr.Dataset | xr.DataArray) -> CRS | None:
    import rioxarray  # noqa: F401  (registers the accessor; slow, so only where needed)

    try:
        found = ds.rio.crs
    except CRSError:
        return None
    return None if found is None else CRS.from_user_input(found)


def _parse(attrs: dict[Any, Any]) -> CRS | None:
    for key in ("crs_wkt", GRID_MAPPING, "epsg_code", "proj4", "proj4text"):
        if attrs.get(key):
            try:
                return CRS.from_user_input(attrs[key])
            except CRSError:
                continue
    try:
        return CRS.from_cf(attrs)
    except (CRSError, KeyError):
        return None


def find_space(ds: xr.Dataset | xr.DataArray) -> tuple[Hashable, Hashable] | None:
    """Return the dimensions (y, x) of a grid, or None where there is none."""
    y = _find_axis(ds, "Y", _Y_STANDARD, _Y_NAMES)
    x = _find_axis(ds, "X", _X_STANDARD, _X_NAMES)
    return None if y is None or x is None or y == x else (y, x)


def require_space(ds: xr.Dataset | xr.DataArray) -> tuple[Hashable, Hashable]:
    """Return the dimensions (y, x) of a grid, or raise RasterError."""
    space = find_space(ds)
    if space is None:
        raise RasterError(
            f"no grid found: the dimensions are {', '.join(map(str, ds.dims)) or 'none'}. "
            "A GeoTIFF needs a y and an x axis; name them (y, x) or (lat, lon), or give their "
            "coordinates the attribute axis='Y' and axis='X'. Basins need geometries=."
        )
    return space


def _find_axis(
    ds: xr.Dataset | xr.DataArray, axis: str, standard: set[str], names: set[str]
) -> Hashable | None:
    dims = [dim for dim in ds.dims if dim in ds.coords]
    for dim in dims:
        if ds[dim].attrs.get("standard_name") in standard or ds[dim].attrs.get("axis") == axis:
            return dim
    for dim in ds.dims:
        if str(dim).lower() in names:
            return dim
    return None


def find_basin(ds: xr.Dataset) -> Hashable | None:
    """Return the dimension of the basins: the one that all variables share besides time.

    Layers (component, observation) come before it and are never meant.
    """
    shared = [set(variable.dims) for variable in ds.data_vars.values() if variable.ndim]
    if not shared:
        return None
    common = set.intersection(*shared) - {"component", "observation"}
    left = [d for d in ds.dims if d in common and not (d in ds.coords and is_time(ds[d]))]
    return left[0] if len(left) == 1 else None


def is_time(coord: xr.DataArray) -> bool:
    """Whether a coordinate holds times: numpy's or cftime's."""
    return coord.dtype.kind in "Mm" or _holds(coord, "calendar")


def is_geometry(coord: xr.DataArray) -> bool:
    """Whether a coordinate holds shapely geometries."""
    return _holds(coord, "geom_type")


def _holds(coord: xr.DataArray, attribute: str) -> bool:
    return coord.dtype.kind == "O" and coord.size > 0 and hasattr(coord.values.flat[0], attribute)


def _is_geographic(ds: xr.Dataset | xr.DataArray, y: Hashable, x: Hashable) -> bool:
    return all(
        dim in ds.coords
        and (
            ds[dim].attrs.get("standard_name") == name
            or str(ds[dim].attrs.get("units")) in _DEGREES - {"degree", "degrees", "deg"}
        )
        for dim, name in ((y, "latitude"), (x, "longitude"))
    )


def grid_of(
    ds: xr.Dataset | xr.DataArray, resolution: float | tuple[float, float] | None = None
) -> Grid:
    """Return the grid of a Dataset or DataArray that is already north-up.

    Parameters
    ----------
    ds : Dataset or DataArray
        As ``north_up`` returns it.
    resolution : float or (float, float), optional
        Size of a cell (x, y), in units of the CRS; needed only for axes of one cell.

    Raises
    ------
    RasterError
        No grid, no CRS, an irregular axis, or an axis whose cell size can't be known.
    """
    y, x = require_space(ds)
    crs = crs_of(ds)
    if crs is None:
        raise RasterError(
            f"axes {y!r} and {x!r} have no coordinate reference system (CRS). State it first, for "
            'instance with ds = ds.rio.write_crs("EPSG:4326") after import rioxarray.'
        )
    _check_axes_match(ds, y, x, crs)
    x_size, y_size = _given_sizes(ds, resolution)
    x_first, x_step = _regular(ds, x, x_size, crs)
    y_first, y_step = _regular(ds, y, -y_size if y_size else None, crs)
    transform = Affine(x_step, 0, x_first - x_step / 2, 0, y_step, y_first - y_step / 2)
    return Grid(y, x, crs, transform, (ds.sizes[y], ds.sizes[x]))


def _check_axes_match(ds: xr.Dataset | xr.DataArray, y: Hashable, x: Hashable, crs: CRS) -> None:
    for dim in (y, x):
        if dim not in ds.coords:
            raise RasterError(
                f"dimension {dim!r} has no coordinate, so the place of its cells is unknown. "
                f"Assign it: ds.assign_coords({dim}=...)."
            )
    named = all(str(dim).lower() in _DEGREE_NAMES for dim in (y, x))
    if crs.is_projected and (named or _is_geographic(ds, y, x)):
        others = [
            str(name)
            for name, c in ds.coords.items()
            if str(c.attrs.get("standard_name", "")).startswith("projection_")
        ]
        swap = f" (here {', '.join(others)}; see Dataset.swap_dims)" if others else ""
        raise RasterError(
            f"axes {y!r} and {x!r} are latitude and longitude, but the CRS is {crs.name!r}, a "
            f"projection. Use the projected coordinates as axes{swap} or correct the CRS."
        )
    if crs.is_geographic and max(np.abs(ds[d].values.astype(float)).max() for d in (y, x)) > 360:
        raise RasterError(
            f"axes {y!r} and {x!r} reach beyond 360, but the CRS is {crs.name!r}, in degrees. "
            "State the CRS of the projection instead, for instance with ds.rio.write_crs(...)."
        )
    for dim in (y, x):
        units = str(ds[dim].attrs.get("units", ""))
        if crs.is_projected and units in _OTHER_UNITS and crs.axis_info[0].unit_name == "metre":
            raise RasterError(
                f"axis {dim!r} is in {units}, but the CRS is in metres. Convert it, such as "
                f"ds.assign_coords({dim}=ds[{dim!r}] * 1000), and set its attribute units to 'm'."
            )


def _given_sizes(
    ds: xr.Dataset | xr.DataArray, resolution: float | tuple[float, float] | None
) -> tuple[float | None, float | None]:
    if resolution is not None:
        sizes = np.broadcast_to(np.abs(np.asarray(resolution, dtype=float)), (2,))
        return float(sizes[0]), float(sizes[1])
    name = find_grid_mapping(ds)
    text = ds[name].attrs.get("GeoTransform") if name is not None else None
    if text is None:
        return None, None
    numbers = [float(part) for part in str(text).split()]
    return abs(numbers[1]), abs(numbers[5])


def _regular(
    ds: xr.Dataset | xr.DataArray, dim: Hashable, size: float | None, crs: CRS
) -> tuple[float, float]:
    """Return the first centre and the step of an axis, or raise."""
    raw = ds[dim].values
    values = raw.astype(float)
    if values.size == 0 or not np.isfinite(values).all():
        raise RasterError(
            f"axis {dim!r} is empty or not finite. Select cells with known coordinates first."
        )
    if values.size == 1:
        if size is None:
            raise RasterError(
                f"axis {dim!r} has one cell, so the size of a cell is unknown. "
                "Give resolution=... in units of the CRS."
            )
        return float(values[0]), size
    step = (values[-1] - values[0]) / (values.size - 1)
    even = values[0] + step * np.arange(values.size)
    rounding = 4 * np.finfo(raw.dtype).eps * np.abs(values).max() if raw.dtype.kind == "f" else 0
    off = np.abs(values - even).max()
    if step == 0 or off > _POSITION_TOLERANCE * abs(step) + rounding:
        raise RasterError(_irregular(ds, dim, values, off, crs))
    return float(values[0]), float(step)


def _irregular(
    ds: xr.Dataset | xr.DataArray, dim: Hashable, values: np.ndarray, off: float, crs: CRS
) -> str:
    steps = np.diff(values)
    remedy = (
        "If the cells lie on a projected grid (such as EASE-Grid 2.0, EPSG:6933), use its x and y "
        "as axes and state that CRS."
        if crs.is_geographic
        else "Fill in missing rows or columns (ds.reindex) so that the steps are equal."
    )
    return (
        f"axis {dim!r} is irregular: steps from {steps.min():.6g} to {steps.max():.6g}, so cells "
        f"of a GeoTIFF would be misplaced by up to {off:.6g}. {remedy} "
        "Or regrid, or write netCDF, which keeps such axes."
    )


def north_up(ds: xr.Dataset, space: tuple[Hashable, Hashable]) -> xr.Dataset:
    """Return maps as (..., y, x) with y falling, x rising and longitudes within -180 to 180.

    Longitudes of 0 to 360 are rolled; a region across the 180th meridian stays in one piece.
    """
    y, x = space
    ds = ds.transpose(..., y, x)
    if y in ds.coords and ds.sizes[y] > 1 and ds[y].values[0] < ds[y].values[-1]:
        ds = ds.isel({y: slice(None, None, -1)})
    if x in ds.coords and ds.sizes[x] > 1 and ds[x].values[0] > ds[x].values[-1]:
        ds = ds.isel({x: slice(None, None, -1)})
    crs = crs_of(ds)
    return _roll(ds, x) if crs is not None and crs.is_geographic and x in ds.coords else ds


def _roll(ds: xr.Dataset, x: Hashable) -> xr.Dataset:
    values = ds[x].values
    if values.size == 0 or not values.max() > 180:
        return ds
    wrapped = np.where(values > 180, values - 360, values)
    order = np.argsort(wrapped, kind="stable")
    steps = np.diff(wrapped[order])
    # A region such as 170..190 would be torn apart at the edges of the map.
    if steps.size and steps.max() > 2 * np.median(np.abs(np.diff(values))):
        return ds
    attrs, first = ds[x].attrs, int(order[0])
    rolled = ds.assign_coords({x: wrapped})
    if first:  # two slices, not a list of positions: dask keeps its chunks
        data = [rolled.isel({x: slice(first, None)}), rolled.isel({x: slice(None, first)})]
        fixed = [n for n, v in rolled.data_vars.items() if x not in v.dims]
        parts = [part.drop_vars(fixed) for part in data]
        rolled = xr.concat(parts, dim=x, coords="minimal", compat="override", join="override")
        rolled = rolled.assign({n: ds[n] for n in fixed})
    rolled[x].attrs.update(attrs)
    return rolled
