"""Coordinate reference systems: the grid mapping of a Dataset, and what it says."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS

from .axes import Labelled, find_grid, is_latitude, is_longitude

__all__ = [
    "GRID_MAPPING",
    "crs_of",
    "find_grid_mapping",
    "is_geographic",
    "is_rotated",
    "parse_crs",
    "stated_crs",
]

GRID_MAPPING = "spatial_ref"
"""Name of the grid mapping coordinate in everything that xdpl writes."""

_WHOLE = ("crs_wkt", GRID_MAPPING, "wkt", "esri_pe_string")
_CODES = ("epsg_code", "epsg", "epsg_id")
_PROJ = ("proj4", "proj4_params", "proj4text", "proj4_string", "proj_string", "proj_params")
_GLOBAL = ("crs", "pyproj_srs", *_WHOLE, *_CODES, *_PROJ)
"""Attributes in which a CRS is written, in any case; the first that can be understood counts."""

_CODE = re.compile(r"(?:\+init=)?(?:epsg)?[\s:]*(\d{4,6})(?:\.0)?(?: \+type=crs)?", re.IGNORECASE)
_WRITTEN = re.compile(r"\w+\s*\[|\{|\+\w+=|proj=|[a-z]+:\w+|urn:|https?://", re.IGNORECASE)
"""WKT, JSON, PROJ strings and codes. Other text isn't given to PROJ: it looks for similar names."""
_COMMON = {"wgs84": 4326, "wgs1984": 4326, "nad83": 4269, "etrs89": 4258}


def find_grid_mapping(ds: Labelled) -> str | None:
    """Name of the variable that describes the coordinate reference system, or None.

    It is looked for where CF puts it (the ``grid_mapping`` attribute of the variables, which xarray
    moves to their encoding with ``decode_coords="all"``), then among variables that look like one:
    a file opened plainly has it as an ordinary variable.
    """
    names = _grid_mappings(ds)
    if len(names) > 1:  # a damaged one may stand beside one that was added
        names.sort(key=lambda name: parse_crs(ds[name].attrs) is None)
    return names[0] if names else None


def _grid_mappings(ds: Labelled) -> list[str]:
    """Names of all variables that may be grid mappings: those that are used first."""
    variables: Mapping[Hashable, xr.Variable | xr.DataArray] = (
        ds.variables if isinstance(ds, xr.Dataset) else ds.coords
    )
    users = ds.data_vars.values() if isinstance(ds, xr.Dataset) else [ds]
    used = [
        name
        for user in users
        for about in (user.attrs, user.encoding)
        if (name := _first_name(about.get("grid_mapping"))) in variables
    ]
    described = [str(name) for name in variables if _describes(variables[name])]
    preferred = [name for name in (GRID_MAPPING, "crs") if name in described]
    return list(dict.fromkeys(used + preferred + described))


def _first_name(given: object) -> str:
    """The first grid mapping that an attribute names: "crs", or "crs: x y other: lat lon"."""
    words = given.replace(":", " ").split() if isinstance(given, str) else []
    return words[0] if words else ""  # a file may hold anything there


def _describes(variable: xr.Variable | xr.DataArray) -> bool:
    keys = {"grid_mapping_name", "crs_wkt", GRID_MAPPING}
    return variable.ndim == 0 and bool(keys & variable.attrs.keys())


def stated_crs(ds: Labelled) -> CRS | None:
    """Coordinate reference system that a Dataset states, or None.

    By its grid mapping; else by an attribute of the Dataset or of one of its variables, as older
    programs write it.
    """
    name = find_grid_mapping(ds)
    crs = parse_crs(ds[name].attrs) if name is not None else None
    if crs is not None:
        return crs
    users = [ds, *ds.data_vars.values()] if isinstance(ds, xr.Dataset) else [ds]
    for user in users:
        lowered = {str(key).lower(): value for key, value in user.attrs.items()}
        crs = next(_understood([lowered.get(key) for key in _GLOBAL]), None)
        if crs is not None:
            return crs
    return None


def crs_of(ds: Labelled) -> CRS | None:
    """Coordinate reference system of a Dataset, or None.

    Axes that are latitude and longitude in degrees need no grid mapping: they are taken as WGS 84
    (EPSG:4326).
    """
    crs = stated_crs(ds)
    if crs is None:
        space = find_grid(ds)
        if space is not None and is_geographic(ds, *space):
            return CRS.from_epsg(4326)
    return crs


def parse_crs(attrs: Mapping[Hashable, object]) -> CRS | None:
    """Coordinate reference system that the attributes of a grid mapping describe, or None.

    WKT comes first, then an EPSG code, a PROJ string, and CF's own attributes. What can't be
    understood is passed over.
    """
    lowered = {str(key).lower(): value for key, value in attrs.items()}
    written = [lowered.get(key) for key in (*_WHOLE, *_CODES, *_PROJ)]
    found = next(_understood(written), None)
    if found is not None:
        return found
    plain = {str(k): _plain(v) for k, v in attrs.items() if str(k).lower() not in _WHOLE}
    try:
        return CRS.from_cf(plain)
    except Exception:  # of attributes that a file may hold, PROJ raises errors of many classes
        return None


def _understood(values: list[object]) -> Iterator[CRS]:
    for value in values:
        text = _as_user_input(value)
        if text is None:
            continue
        try:
            yield CRS.from_user_input(text)
        except Exception:  # as above
            continue


def _as_user_input(value: object) -> str | int | None:
    """What pyproj understands, of text, numbers, and numbers in arrays or in words."""
    value = _plain(value)
    if isinstance(value, (int, float)):
        return int(value) if value > 1 and float(value).is_integer() else None
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip()
    code = _CODE.fullmatch(text)
    if code:
        return int(code.group(1))
    return text if _WRITTEN.match(text) else _COMMON.get(text.lower().replace(" ", ""))


def _plain(value: object) -> Any:
    """Bytes as text, and arrays of one value as that value."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.item()) if value.size == 1 else value.tolist()
    return value


def is_geographic(ds: Labelled, y: Hashable, x: Hashable) -> bool:
    """Whether two axes are latitude and longitude, by metadata or name and by their values."""
    if y not in ds.coords or x not in ds.coords:
        return False
    if not (is_latitude(ds, y) and is_longitude(ds, x)):
        return False
    return all(_within(ds.coords[dim], limit) for dim, limit in ((y, 90.0), (x, 360.0)))


def _within(coord: xr.DataArray, limit: float) -> bool:
    """Whether an axis stays within degrees that there are; half a cell beyond is rounding."""
    if coord.dtype.kind not in "fiu":
        return coord.dtype.kind in "SU"  # numbers as text: told of where they are used
    return coord.size == 0 or not bool(np.abs(coord.values).max() > limit + 1e-3)


def is_rotated(crs: CRS) -> bool:
    """Whether degrees of a CRS point elsewhere than latitude and longitude, as of rotated poles."""
    return bool(crs.is_geographic and crs.is_derived)
