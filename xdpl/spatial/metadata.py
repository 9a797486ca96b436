"""CF attributes of axes and positions, completed in place; and how plots label them."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping

import xarray as xr
from pyproj import CRS

from .axes import (
    LATITUDE,
    LONGITUDE,
    Direction,
    Labelled,
    is_degrees,
    is_latitude,
    is_longitude,
    projected_name,
)
from .crs import is_rotated

__all__ = ["axis_label", "complete_axis", "complete_position"]

_UNITS = {LATITUDE: "degrees_north", LONGITUDE: "degrees_east"}
_SIGNS = {"degrees_north": "°N", "degrees_east": "°E", "degrees": "°"}


def complete_axis(maps: xr.Dataset, name: Hashable, way: Direction, crs: CRS | None) -> None:
    """Complete the attributes of an axis of a grid: axis, standard name, units.

    Parameters
    ----------
    maps : Dataset
        The coordinate ``name`` is changed in place.
    name : hashable
        Of the dimension.
    way : {"Y", "X"}
    crs : pyproj.CRS or None
        Of the maps.
    """
    attrs = maps[name].attrs
    if crs is not None and is_rotated(crs):
        attrs.setdefault("standard_name", f"grid_{LATITUDE if way == 'Y' else LONGITUDE}")
        attrs.setdefault("units", "degrees")
    elif crs is not None and crs.is_projected:
        attrs.setdefault("standard_name", projected_name(way))
        unit = crs.axis_info[0].unit_name if crs.axis_info else "metre"
        attrs.setdefault("units", "m" if unit == "metre" else unit.replace(" ", "_"))
    elif crs is not None and crs.is_geographic:
        _complete_degrees(attrs, LATITUDE if way == "Y" else LONGITUDE)
    attrs["axis"] = way


def complete_position(maps: xr.Dataset, name: Hashable) -> None:
    """Complete the attributes of a latitude or longitude that is no axis, in place."""
    if is_latitude(maps, name):
        _complete_degrees(maps[name].attrs, LATITUDE)
    elif is_longitude(maps, name):
        _complete_degrees(maps[name].attrs, LONGITUDE)


def _complete_degrees(attrs: MutableMapping[Hashable, object], standard: str) -> None:
    if attrs.setdefault("standard_name", standard) != standard:
        return  # of a rotated pole, whose degrees point elsewhere
    units = attrs.get("units", "degrees")
    if units not in _UNITS.values() and is_degrees(units):
        attrs["units"] = _UNITS[standard]


def axis_label(ds: Labelled, dim: Hashable, scale: float) -> str:
    """Name of an axis with units, for a plot; in km where it was divided by 1000."""
    attrs = ds[dim].attrs if dim in ds.coords else {}
    named = str(attrs.get("standard_name", dim))
    words = {projected_name("X"): "easting", projected_name("Y"): "northing"}
    name = words.get(named, named.replace("_", " "))
    units = str(attrs.get("units", ""))
    shown = "km" if scale != 1 else _SIGNS.get(units, units)
    return f"{name} ({shown})" if shown else name
