"""Axes of space: which dimension is Y and which X, what is a latitude and what a longitude.

The names of axes stand here and nowhere else. CF metadata come first (axis, standard_name, units),
names second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, Literal, TypeAlias

import xarray as xr

__all__ = [
    "LATITUDE",
    "LONGITUDE",
    "direction",
    "find_basin",
    "find_grid",
    "is_degrees",
    "is_geometry",
    "is_latitude",
    "is_longitude",
    "is_rotated_axis",
    "is_time",
    "ordered",
    "projected_name",
    "varies_in_time",
]

Labelled: TypeAlias = xr.Dataset | xr.DataArray
Direction: TypeAlias = Literal["Y", "X"]

LATITUDE, LONGITUDE = "latitude", "longitude"
"""Standard names of CF, which are also those of the attributes that xdpl sets."""

LAYERS = ("component", "observation", "member", "seed")
"""Dimensions of xdpl's own maps that are neither time nor space."""

_OWNERS: tuple[str, ...] = (
    *("", "nav_", "x", "geo", "t", "u", "v"),
    *("gauge_", "station_", "site_", "basin_", "catchment_", "outlet_", "centroid_", "cell_"),
)
"""What is written before lat and lon in real files."""


def _degrees_of(*stems: str) -> frozenset[str]:
    return frozenset(owner + stem for owner in _OWNERS for stem in stems)


_LATITUDE_NAMES = _degrees_of("lat", "lats", "latitude", "latitudes")
_LONGITUDE_NAMES = _degrees_of("lon", "lons", "long", "longitude", "longitudes")
_Y_NAMES = _LATITUDE_NAMES | {
    *("y", "yc", "northing", "northings", "north", "rlat", "row", "rows", "j", "nj"),
    *("south_north", "eta_rho", "ygrid", "grid_latitude", "projection_y_coordinate"),
}
_X_NAMES = _LONGITUDE_NAMES | {
    *("x", "xc", "easting", "eastings", "east", "rlon", "col", "cols", "column", "columns"),
    *("i", "ni", "west_east", "xi_rho", "xgrid", "grid_longitude", "projection_x_coordinate"),
}
_STANDARD: dict[Direction, tuple[str, str, str]] = {
    "Y": ("projection_y_coordinate", LATITUDE, "grid_latitude"),
    "X": ("projection_x_coordinate", LONGITUDE, "grid_longitude"),
}
_DEGREE = [f"degree{plural}{gap}" for plural in ("", "s") for gap in ("_", "", " ")]
_NORTH = frozenset(stem + word for stem in _DEGREE for word in ("north", "n"))
_EAST = frozenset(stem + word for stem in _DEGREE for word in ("east", "e"))
_PLAIN_DEGREES = frozenset({"degree", "degrees", "deg", "°"})


def _attribute(ds: Labelled, name: Hashable, key: str) -> str:
    """An attribute of a variable as text in lower case; empty where there is none."""
    if isinstance(ds, xr.Dataset):
        found = ds.variables.get(name)
    else:
        found = ds.coords[name].variable if name in ds.coords else None
    value = "" if found is None else found.attrs.get(key, "")
    return value.strip().lower() if isinstance(value, str) else ""  # a file may hold anything there


def direction(ds: Labelled, name: Hashable) -> Direction | None:
    """Direction of a dimension or coordinate: "Y", "X", or None where it is not known.

    Parameters
    ----------
    ds : Dataset or DataArray
        With the coordinate, if there is one.
    name : hashable
        Of the dimension or coordinate.
    """
    axis, standard = _attribute(ds, name, "axis"), _attribute(ds, name, "standard_name")
    units = _attribute(ds, name, "units")
    y, x = _STANDARD["Y"], _STANDARD["X"]
    if axis == "y" or standard in y or units in _NORTH:
        return "Y"
    if axis == "x" or standard in x or units in _EAST:
        return "X"
    if axis or standard:
        return None
    lowered = str(name).lower()
    if lowered in _Y_NAMES:
        return "Y"
    return "X" if lowered in _X_NAMES else None


def is_latitude(ds: Labelled, name: Hashable) -> bool:
    """Whether a variable calls itself a latitude: by standard name, by units, or by its name."""
    return _is_degrees_of(ds, name, LATITUDE, _NORTH, _LATITUDE_NAMES)


def is_longitude(ds: Labelled, name: Hashable) -> bool:
    """Whether a variable calls itself a longitude, of 0 to 360 or of -180 to 180."""
    return _is_degrees_of(ds, name, LONGITUDE, _EAST, _LONGITUDE_NAMES)


def _is_degrees_of(
    ds: Labelled, name: Hashable, wanted: str, own: frozenset[str], names: frozenset[str]
) -> bool:
    units, standard = _attribute(ds, name, "units"), _attribute(ds, name, "standard_name")
    if units and not (units in own or units in _PLAIN_DEGREES):
        return False
    if standard:
        return standard == wanted
    return units in own or str(name).lower() in names


def is_rotated_axis(ds: Labelled, name: Hashable) -> bool:
    """Whether an axis is one of a rotated pole, whose degrees point elsewhere."""
    standard = _attribute(ds, name, "standard_name")
    if standard:
        return standard in (_STANDARD["Y"][2], _STANDARD["X"][2])
    return str(name).lower() in ("rlat", "rlon")


def is_degrees(units: object) -> bool:
    """Whether units are degrees of latitude or longitude, or plain ones."""
    return isinstance(units, str) and units.strip().lower() in _PLAIN_DEGREES | _NORTH | _EAST


def projected_name(way: Direction) -> str:
    """The standard name of an axis of a projection."""
    return _STANDARD[way][0]


def ordered(ds: Labelled, dims: Sequence[Hashable]) -> tuple[Hashable, Hashable] | None:
    """Two dimensions as (Y, X), or None where it is not known which is which.

    One that is known tells the other. Of a grid whose dimensions say nothing, two-dimensional
    latitudes and longitudes tell that it is one: Y is their first dimension, as CF recommends.
    """
    if len(dims) != 2:
        return None
    ways = [direction(ds, dim) for dim in dims]
    first, second = dims
    if ways[0] != ways[1]:
        return (first, second) if ways[0] == "Y" or ways[1] == "X" else (second, first)
    for name in _curvilinear(ds):
        own = ds.coords[name].dims
        if ways[0] is None and set(own) == set(dims):
            return own[0], own[1]
    return None


def find_grid(ds: Labelled) -> tuple[Hashable, Hashable] | None:
    """Dimensions (y, x) of a grid, or None where there is none.

    Those that most variables lie on; where no variable lies on a grid, those of the coordinates.
    """
    users = list(ds.data_vars.values()) if isinstance(ds, xr.Dataset) else [ds]
    shapes = Counter(user.dims for user in users if user.ndim > 1)
    if not any(user.ndim for user in users):
        shapes = Counter([tuple(ds.dims)])
    counted: Counter[tuple[Hashable, Hashable]] = Counter()
    for dims, number in shapes.items():
        pair = _pair_of(ds, dims)
        if pair is not None:
            counted[pair] += number
    return counted.most_common(1)[0][0] if counted else None


def _pair_of(ds: Labelled, dims: Sequence[Hashable]) -> tuple[Hashable, Hashable] | None:
    y = [dim for dim in dims if direction(ds, dim) == "Y"]
    x = [dim for dim in dims if direction(ds, dim) == "X"]
    if len(y) == 1 and len(x) == 1:
        return y[0], x[0]
    for pair in (y, x):  # such as lat(y): told by the metadata rather than by the name
        stated = [dim for dim in pair if _attribute(ds, dim, "axis")]
        pair[:] = stated if len(stated) == 1 else pair
    if len(y) == 1 and len(x) == 1:
        return y[0], x[0]
    for name in _curvilinear(ds):
        own = ds.coords[name].dims
        if set(own) <= set(dims):
            return own[0], own[1]
    return None


def _curvilinear(ds: Labelled) -> list[Hashable]:
    """Latitudes over two dimensions of space that have longitudes beside them."""
    twofold = [name for name, c in ds.coords.items() if c.ndim == 2]
    east = [ds.coords[name].dims for name in twofold if is_longitude(ds, name)]
    return [
        name
        for name in twofold
        if is_latitude(ds, name)
        and any(set(ds.coords[name].dims) == set(dims) for dims in east)
        and not any(varies_in_time(ds, dim) for dim in ds.coords[name].dims)
    ]


def find_basin(ds: xr.Dataset) -> Hashable | None:
    """The dimension of the basins: the one that all variables share besides time.

    Layers, such as component, come before it and are never meant.
    """
    shared = [set(variable.dims) for variable in ds.data_vars.values() if variable.ndim]
    if not shared:
        return None
    common = set.intersection(*shared) - set(LAYERS)
    left = [dim for dim in ds.dims if dim in common and not varies_in_time(ds, dim)]
    return left[0] if len(left) == 1 else None


def is_time(values: xr.Variable | xr.DataArray) -> bool:
    """Whether values are datetimes, of numpy or cftime."""
    if getattr(values.dtype, "kind", "") == "M":  # types of extensions, as of geometries, have none
        return True
    first = _first_object(values)
    return hasattr(first, "calendar") and hasattr(first, "timetuple")


def varies_in_time(ds: Labelled, dim: Hashable) -> bool:
    """Whether a dimension has times or durations as its coordinate."""
    if dim not in ds.coords:
        return False
    return is_time(ds.coords[dim]) or getattr(ds.coords[dim].dtype, "kind", "") == "m"


def is_geometry(coord: xr.DataArray) -> bool:
    """Whether a coordinate holds shapely geometries."""
    if isinstance(getattr(coord.dtype, "kind", None), str) and coord.dtype.kind != "O":
        return False
    return coord.size > 0 and hasattr(coord.values.flat[0], "geom_type")


def _first_object(values: xr.Variable | xr.DataArray) -> Any:
    if values.dtype != object or values.size == 0:
        return None
    return values.isel(dict.fromkeys(values.dims, 0)).values.item()
