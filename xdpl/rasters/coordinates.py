"""Coordinates and grid mapping of everything that leaves xdpl."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS

from ..errors import warn
from ..spatial import (
    GRID_MAPPING,
    crs_of,
    find_basin,
    find_grid,
    find_grid_mapping,
    is_geometry,
    is_time,
    stated_crs,
    varies_in_time,
)
from ..spatial.crs import parse_crs
from ..spatial.metadata import complete_axis, complete_position

__all__ = [
    "attach_grid_mapping",
    "complete_coordinates",
    "fill_value",
    "geotransform_of",
    "in_order",
    "with_coordinates",
    "with_grid",
]


def with_coordinates(maps: xr.Dataset, source: xr.Dataset) -> xr.Dataset:
    """Return a copy of ``maps`` with all coordinates of ``source`` that fit its dimensions.

    Where both have a coordinate, the values are those of ``maps``, which may cover other times, and
    the attributes those of ``source``.
    """
    fresh = maps.copy()
    skip = {find_grid_mapping(source), *fresh.coords}
    taken = [
        name
        for name, coord in source.coords.items()
        if name not in skip and all(source.sizes[d] == fresh.sizes.get(d) for d in coord.dims)
    ]
    fresh = fresh.assign_coords({name: source.coords[name].variable for name in taken})
    for name, index in source.xindexes.items():
        # An index of geometries (xvec) knows their CRS; a plain one wouldn't.
        if name in fresh.coords and not isinstance(index, xr.indexes.PandasIndex):
            variables = {name: source.variables[name]}
            indexed = xr.Coordinates(variables, indexes={name: index})
            fresh = fresh.drop_vars(name).assign_coords(indexed)
    for name, coord in fresh.coords.items():
        coord.attrs = dict(source[name].attrs) if name in source.coords else {}
        coord.attrs.pop("grid_mapping", None)
    return fresh


def in_order(maps: xr.Dataset) -> xr.Dataset:
    """Return maps with dimensions in the order that CF recommends.

    That is time, y, x for grids, and basin, time for series at basins; others come first.
    """
    times = [dim for dim in maps.dims if varies_in_time(maps, dim)]
    space = find_grid(maps)
    basin = None if space else find_basin(maps)
    last = [*times, *(space or ())] if basin is None else [basin, *times]
    return maps.transpose(..., *last)


def attach_grid_mapping(maps: xr.Dataset, source: xr.Dataset) -> tuple[xr.Dataset, bool]:
    """Return maps with the grid mapping as coordinate ``spatial_ref``, and whether there is one."""
    import rioxarray  # noqa: F401  (registers maps.rio, and is slow: not needed before)

    old = find_grid_mapping(source)
    maps = maps.drop_vars([n for n in {old, GRID_MAPPING} if n in maps.variables])
    stated = stated_crs(source)
    crs = crs_of(maps) if stated is None else stated  # latitude and longitude say it themselves
    if crs is None:
        if old is not None and find_grid(maps) is not None:
            warn(
                f"the grid mapping {old!r} describes no CRS that PROJ knows, so the maps have "
                'none. State it: maps = maps.rio.write_crs("EPSG:..."), with the code of the grid.'
            )
        return maps, False
    given = source[old].attrs if old is not None and stated is not None else {}
    return maps.assign_coords({GRID_MAPPING: _grid_mapping(maps, crs, given)}), True


def _grid_mapping(maps: xr.Dataset, crs: CRS, given: Mapping[Hashable, object]) -> xr.Variable:
    attrs: dict[str, object] = {"long_name": f"coordinate reference system {crs.name}"}
    stated = crs.to_cf()
    if stated.get("grid_mapping_name", "unknown") == "unknown":
        kept = {str(key): value for key, value in given.items() if _storable(value)}
        stated = {**stated, **kept}  # what a file says of a projection that PROJ can't name
    own = given.get("crs_wkt")
    wkt = own if isinstance(own, str) and parse_crs({"crs_wkt": own}) == crs else crs.to_wkt()
    attrs |= {key: value for key, value in stated.items() if key != "crs_wkt"}
    attrs |= {"crs_wkt": wkt, GRID_MAPPING: wkt}  # CF's name, and the one that GDAL reads
    attrs.pop("GeoTransform", None)
    transform = _geotransform(maps, geotransform_of(given))
    if transform:
        attrs["GeoTransform"] = transform
    return xr.Variable((), np.int64(0), attrs, {"_FillValue": None})


def with_grid(maps: xr.Dataset, crs: CRS, cell: tuple[float, float] | None = None) -> xr.Dataset:
    """Return maps over (y, x) with a grid mapping; other attributes of variables are kept.

    Parameters
    ----------
    maps : Dataset
    crs : pyproj.CRS
    cell : (float, float), optional
        Steps of x and y, which an axis of one cell doesn't tell.
    """
    given: dict[Hashable, object] = {"GeoTransform": f"0 {cell[0]} 0 0 0 {cell[1]}"} if cell else {}
    maps = maps.assign_coords({GRID_MAPPING: _grid_mapping(maps, crs, given)})
    for variable in maps.data_vars.values():
        variable.attrs["grid_mapping"] = GRID_MAPPING
        filled = "_FillValue" in variable.attrs
        variable.encoding = {} if filled else fill_value(variable.dtype)
    complete_coordinates(maps)
    return maps


def _storable(value: Any) -> bool:
    """Whether netCDF can hold an attribute, and a person can read it."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return True
    return np.asarray(value).dtype.kind in "iuf" and np.size(value) > 0


def geotransform_of(attrs: Mapping[Hashable, object]) -> list[float] | None:
    """GDAL's transform in the attributes of a grid mapping; None where it is none."""
    given = attrs.get("GeoTransform")
    words = given.split() if isinstance(given, str) else np.ravel(np.asarray(given)).tolist()
    try:
        numbers = [float(word) for word in words]
    except (TypeError, ValueError):
        return None
    usable = len(numbers) == 6 and np.isfinite(numbers).all() and numbers[1] and numbers[5]
    return numbers if usable else None


def _geotransform(maps: xr.Dataset, numbers: list[float] | None) -> str | None:
    """Return GDAL's transform where an axis has one cell, whose size stands nowhere else.

    Nowhere else: xarray doesn't update it with the axes, and rioxarray believes it.
    """
    space = find_grid(maps)
    if space is None or any(dim not in maps.coords for dim in space):
        return None
    if all(maps.sizes[dim] > 1 for dim in space):
        return None
    first, step = [], []
    for position, dim in zip((5, 1), space, strict=True):
        values = maps[dim].values.astype(float)
        if values.size > 1:
            step.append((values[-1] - values[0]) / (values.size - 1))
        elif values.size == 1 and numbers:
            step.append(numbers[position])
        else:
            return None
        first.append(values[0] - step[-1] / 2)
    return " ".join(repr(float(v)) for v in (first[1], step[1], 0, first[0], 0, step[0]))


def fill_value(dtype: np.dtype) -> dict[str, Any]:
    """Return the encoding of missing values: NaN of the data's type, none for whole numbers."""
    return {"_FillValue": dtype.type(np.nan)} if dtype.kind == "f" else {"_FillValue": None}


def complete_coordinates(maps: xr.Dataset) -> None:
    """Complete the CF attributes of coordinates, in place on xdpl's own copy."""
    space = find_grid(maps)
    crs = crs_of(maps) if space else None
    basin = None if space else find_basin(maps)
    for name, coord in maps.coords.items():
        attrs = coord.attrs
        if space and name in space:
            complete_axis(maps, name, "Y" if name == space[0] else "X", crs)
        elif is_time(coord):
            _complete_time(coord)
        elif name == basin and not is_geometry(coord):
            attrs["cf_role"] = "timeseries_id"
        else:
            complete_position(maps, name)
        if name != GRID_MAPPING:
            default = attrs.get("standard_name", str(name)).replace("_", " ")
            label = "id of the basin" if attrs.get("cf_role") else default
            attrs.setdefault("long_name", label)
            coord.encoding = _coordinate_encoding(coord)


def _coordinate_encoding(coord: xr.DataArray) -> dict[str, object]:
    encoding: dict[str, object] = {"_FillValue": None}
    if is_time(coord):
        keep = ("units", "calendar")
        encoding |= {k: coord.encoding[k] for k in keep if k in coord.encoding}
    elif coord.dtype.kind in "UO" and all(isinstance(v, str) for v in coord.values.flat):
        # Characters, not strings: CF has no coordinate variable (of one dimension, named as its
        # dimension) that isn't numeric, and a basin's id must keep its dimension's name.
        encoding["dtype"] = "S1"
        del encoding["_FillValue"]
    return encoding


def _complete_time(coord: xr.DataArray) -> None:
    coord.attrs.update(standard_name="time")
    coord.attrs.setdefault("long_name", "time")
    if coord.name in coord.dims:
        coord.attrs["axis"] = "T"
    calendar = getattr(coord.dt, "calendar", "standard")
    if calendar in ("standard", "gregorian", "proleptic_gregorian", "julian"):
        # Times were counted in days of 86400 s, as Python does (CF-1.11, section 4.4).
        coord.attrs["units_metadata"] = "leap_seconds: none"
