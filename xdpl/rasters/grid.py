"""The regular, north-up grid of a raster: made of axes and a CRS, or refused."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from affine import Affine
from pyproj import CRS

from ..errors import RasterError
from ..spatial import crs_of, find_grid, find_grid_mapping, is_latitude, is_longitude
from ..spatial.axes import is_rotated_axis
from ..spatial.crs import is_rotated
from ..spatial.longitudes import rolled
from .coordinates import geotransform_of
from .refused import (
    metres_per_unit,
    missing_crs,
    other_units,
    state_pole,
    without_coordinate,
)

__all__ = ["Grid", "grid_of", "north_up", "require_space"]

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


def require_space(ds: xr.Dataset | xr.DataArray) -> tuple[Hashable, Hashable]:
    """Return the dimensions (y, x) of a grid, or raise RasterError."""
    space = find_grid(ds)
    if space is None and len(ds.dims) == 1:
        raise RasterError(
            f"no grid found: the only dimension is {next(iter(ds.dims))!r}. Basins and cells need "
            "outlines, a geopandas.GeoDataFrame with their ids: "
            "to_geotiff(path, geometries=outlines, resolution=1000), or "
            "to_geopackage(path, geometries=outlines). Without outlines, maps.to_netcdf(path) "
            "keeps them."
        )
    if space is None:
        raise RasterError(
            f"no grid found: the dimensions are {', '.join(map(str, ds.dims)) or 'none'}. "
            "A GeoTIFF needs a y and an x axis; name them (y, x) or (lat, lon), or give their "
            "coordinates the attribute axis='Y' and axis='X'."
        )
    return space


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
        raise RasterError(missing_crs(ds, (y, x)))
    _check_axes_match(ds, y, x, crs)
    x_size, y_size = _given_sizes(ds, resolution)
    x_first, x_step = _regular(ds, x, x_size, crs)
    y_first, y_step = _regular(ds, y, -y_size if y_size else None, crs)
    transform = Affine(x_step, 0, x_first - x_step / 2, 0, y_step, y_first - y_step / 2)
    return Grid(y, x, crs, transform, (ds.sizes[y], ds.sizes[x]))


def _check_axes_match(ds: xr.Dataset | xr.DataArray, y: Hashable, x: Hashable, crs: CRS) -> None:
    named = is_latitude(ds, y) and is_longitude(ds, x)
    if crs.is_projected and named:
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
    turned = [dim for dim in (y, x) if is_rotated_axis(ds, dim)]
    if crs.is_geographic and is_rotated(crs) and named:
        raise RasterError(
            f"axes {y!r} and {x!r} are latitude and longitude, but the CRS {crs.name!r} is that of "
            'a rotated pole. Correct the CRS: import rioxarray; ds = ds.rio.write_crs("EPSG:4326").'
        )
    if turned and not is_rotated(crs):
        raise RasterError(
            f"axis {turned[0]!r} is one of a rotated pole, but the CRS is {crs.name!r}. "
            f"{state_pole(ds, y)}"
        )
    high, right = (float(np.abs(ds[dim].values.astype(float)).max()) for dim in (y, x))
    if crs.is_geographic and (high > 90 + 1e-6 or right > 360 + 1e-6):
        raise RasterError(
            f"axes {y!r} and {x!r} reach {high:.6g} and {right:.6g}, beyond 90 and 360, but the "
            f"CRS is {crs.name!r}, in degrees. State the CRS of their projection instead: "
            'import rioxarray; ds = ds.rio.write_crs("EPSG:..."), with the code that the source of '
            "the data names."
        )
    if crs.is_projected and crs.axis_info[0].unit_name == "metre":
        factor = metres_per_unit(ds, (y, x), crs)
        if factor != 1:
            raise RasterError(other_units(ds, (y, x), factor))


def _check_coordinates(ds: xr.Dataset | xr.DataArray, space: tuple[Hashable, Hashable]) -> None:
    """Raise for axes that aren't numbers along their dimension."""
    for dim in space:
        if dim not in ds.coords:
            raise RasterError(without_coordinate(ds, space, dim))
        kind = ds[dim].dtype.kind
        if kind not in "fiu":
            what = "text" if kind in "SUO" else f"of type {ds[dim].dtype}"
            raise RasterError(
                f"axis {dim!r} is {what}, not numbers. Convert it: "
                f"ds[{dim!r}] = ds[{dim!r}].astype(float)."
            )


def _given_sizes(
    ds: xr.Dataset | xr.DataArray, resolution: float | tuple[float, float] | None
) -> tuple[float | None, float | None]:
    if resolution is not None:
        sizes = np.broadcast_to(np.abs(np.asarray(resolution, dtype=float)), (2,))
        return float(sizes[0]), float(sizes[1])
    name = find_grid_mapping(ds)
    numbers = geotransform_of(ds[name].attrs) if name is not None else None
    return (abs(numbers[1]), abs(numbers[5])) if numbers else (None, None)


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
    _check_coordinates(ds, space)
    ds = ds.transpose(..., y, x)
    if y in ds.coords and ds.sizes[y] > 1 and ds[y].values[0] < ds[y].values[-1]:
        ds = ds.isel({y: slice(None, None, -1)})
    if x in ds.coords and ds.sizes[x] > 1 and ds[x].values[0] > ds[x].values[-1]:
        ds = ds.isel({x: slice(None, None, -1)})
    crs = crs_of(ds)
    return rolled(ds, x) if crs is not None and crs.is_geographic else ds
