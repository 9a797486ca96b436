"""CF metadata of everything that leaves xdpl: set anew, never inherited."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr
from pyproj import CRS

from ..errors import RasterError
from ..variables import Output, Parameter
from .crs import (
    GRID_MAPPING,
    crs_of,
    find_basin,
    find_grid_mapping,
    find_space,
    is_geometry,
    is_time,
    stated_crs,
)

__all__ = ["CONVENTIONS", "dress", "score", "with_grid"]

CONVENTIONS = "CF-1.11"

_REFERENCE = "Tsai et al. 2021, doi:10.1038/s41467-021-26107-z"


@dataclasses.dataclass(frozen=True)
class _Score(Output):
    """A score of simulated against observed values."""


def score(name: str, units: str, observed: str = "") -> Output:
    """Declare a score, so that ``dress`` knows its units and meaning.

    Parameters
    ----------
    name : str
        One of ``xdpl.scores.SCORES``.
    units : str
        Units of the observation; empty where several of different units were scored together.
    observed : str
        What was observed, in words, for the long name.
    """
    if name not in _MEANINGS:
        raise RasterError(f"score {name!r} is unknown. There are {', '.join(_MEANINGS)}.")
    long_name = f"{_MEANINGS[name]}, {observed}" if observed else _MEANINGS[name]
    return _Score(units if name in _DIMENSIONAL else "1", long_name=long_name)


_MEANINGS = {
    "bias": "mean of simulated minus observed",
    "rmse": "root mean square error",
    "ubrmse": "root mean square error without the bias",
    "corr": "Pearson correlation of simulated and observed",
    "nse": "Nash-Sutcliffe efficiency",
    "kge": "Kling-Gupta efficiency",
    "n": "number of observations compared",
}

_DIMENSIONAL = ("bias", "rmse", "ubrmse")


def dress(
    maps: xr.Dataset,
    source: xr.Dataset,
    declared: Mapping[str, Parameter | Output],
    provenance: Mapping[str, Any] | None = None,
    *,
    title: str | None = None,
) -> xr.Dataset:
    """Return maps with the coordinates of their source and attributes that are all set anew.

    Nothing that the variables or the Dataset carried before survives: xarray keeps attributes
    through arithmetic, so a derived variable would claim the name of another quantity.

    Parameters
    ----------
    maps : Dataset
        Variables over the space dimensions of ``source``, perhaps with time or component; numpy
        or dask. Not changed.
    source : Dataset
        Gives coordinates and the grid mapping.
    declared : mapping of str to Parameter or Output
        Units, names and bounds of every variable of ``maps``.
    provenance : mapping of str to Any, optional
        Global attributes such as model, observation, period, seed, scores (a text or a mapping),
        references. Values that netCDF can't hold are written as text.
    title : str, optional
        Of the Dataset; says model and observation by default.

    Returns
    -------
    Dataset
        CF-1.11: units, long_name, standard_name, valid_range (bounds, in the type of the data),
        grid mapping named ``spatial_ref``, axes, history. Basins' ids are labels with the role
        ``timeseries_id``. Lazy where ``maps`` is.

    Raises
    ------
    RasterError
        A variable is not declared.
    """
    missing = [str(name) for name in maps.data_vars if name not in declared]
    if missing:
        raise RasterError(
            f"no units are known of {', '.join(missing)}. Declare each as a Parameter or Output."
        )
    maps = _in_order(_with_coordinates(maps, source))
    maps, mapped = _attach_grid_mapping(maps, source)
    for name, variable in maps.data_vars.items():
        attrs = _variable_attrs(str(name), declared[str(name)], variable.dtype)
        if mapped and _lies_in_space(maps, variable):
            attrs["grid_mapping"] = GRID_MAPPING  # last: rioxarray and GDAL look here
        variable.attrs = attrs
        variable.encoding = _fill_value(variable.dtype)
    _complete_coordinates(maps)
    maps.attrs = _global_attrs(maps, source, dict(provenance or {}), title)
    maps.encoding = {}
    return maps


def _lies_in_space(maps: xr.Dataset, variable: xr.DataArray) -> bool:
    space = find_space(maps)
    return space is not None and set(space) <= set(variable.dims)


def _variable_attrs(name: str, declaration: Parameter | Output, dtype: np.dtype) -> dict[str, Any]:
    attrs: dict[str, Any] = {"units": declaration.units} if declaration.units else {}
    attrs["long_name"] = declaration.long_name or name.replace("_", " ")
    if declaration.standard_name:
        attrs["standard_name"] = declaration.standard_name
    metadata = _temperature_metadata(declaration)
    if metadata:
        attrs["units_metadata"] = metadata
    if isinstance(declaration, Parameter) and dtype.kind == "f":
        attrs["valid_range"] = np.asarray(declaration.bounds, dtype=dtype)
    scored = isinstance(declaration, _Score)
    attrs["coverage_content_type"] = "qualityInformation" if scored else "modelResult"
    return attrs


def _temperature_metadata(declaration: Parameter | Output) -> str | None:
    """Say whether degrees are a point on the scale or a difference (CF-1.11, section 3.1.2)."""
    kelvin, others = {"K", "degC", "degree_Celsius", "celsius", "Celsius", "kelvin"}, set()
    tokens = declaration.units.replace("*", " ").replace("/", " ").replace(".", " ").split()
    bare = {token.rstrip("-+^0123456789") for token in tokens}
    if not bare & kelvin:
        return None
    others = bare - kelvin
    if others or len(tokens) > 1 or tokens[0] not in kelvin:
        return "temperature: difference"
    if tokens[0] not in ("K", "kelvin") or "temperature" in (declaration.standard_name or ""):
        return "temperature: on_scale"
    return "temperature: unknown"


def _fill_value(dtype: np.dtype) -> dict[str, Any]:
    return {"_FillValue": dtype.type(np.nan)} if dtype.kind == "f" else {"_FillValue": None}


def _with_coordinates(maps: xr.Dataset, source: xr.Dataset) -> xr.Dataset:
    """Return a copy of ``maps`` with all coordinates of ``source`` that fit its dimensions."""
    fresh = maps.copy()
    skip = {find_grid_mapping(source), *fresh.dims}
    coords: dict[Hashable, Any] = {}
    for name, coord in source.coords.items():
        if name in skip or not set(coord.dims) <= set(fresh.dims):
            continue
        if all(source.sizes[dim] == fresh.sizes[dim] for dim in coord.dims):
            coords[name] = coord.variable
    for dim in fresh.dims:
        same = source.sizes.get(dim) == fresh.sizes[dim]
        if same and dim not in fresh.coords and dim in source.coords:
            fresh = fresh.assign_coords({dim: source.variables[dim]})
    fresh = fresh.assign_coords(coords)
    for name, coord in fresh.coords.items():
        coord.attrs = dict(source[name].attrs) if name in source.coords else {}
        coord.attrs.pop("grid_mapping", None)
    return fresh


def _in_order(maps: xr.Dataset) -> xr.Dataset:
    """Return maps with dimensions in the order that CF recommends.

    That is time, y, x for grids, and basin, time for series at basins; others come first.
    """
    times = [dim for dim in maps.dims if dim in maps.coords and is_time(maps[dim])]
    space = find_space(maps)
    basin = None if space else find_basin(maps)
    last = [*times, *(space or ())] if basin is None else [basin, *times]
    return maps.transpose(..., *last)


def _attach_grid_mapping(maps: xr.Dataset, source: xr.Dataset) -> tuple[xr.Dataset, bool]:
    """Return maps with the grid mapping as coordinate ``spatial_ref``, and whether there is one."""
    old = find_grid_mapping(source)
    crs = stated_crs(source)
    maps = maps.drop_vars([n for n in {old, GRID_MAPPING} if n in maps.variables])
    if crs is None:
        return maps, False
    given = source[old].attrs if old is not None else {}
    return maps.assign_coords({GRID_MAPPING: _grid_mapping(maps, crs, given)}), True


def _grid_mapping(maps: xr.Dataset, crs: CRS, given: Mapping[Any, Any]) -> xr.Variable:
    attrs: dict[str, Any] = {"long_name": f"coordinate reference system {crs.name}"}
    stated = crs.to_cf()
    if stated.get("grid_mapping_name", "unknown") == "unknown":
        stated = {**stated, **given}  # what a file says of a projection that PROJ can't name
    wkt = given.get("crs_wkt") or stated["crs_wkt"]
    attrs |= {key: value for key, value in stated.items() if key != "crs_wkt"}
    attrs |= {"crs_wkt": wkt, GRID_MAPPING: wkt}  # CF's name, and the one that GDAL reads
    attrs.pop("GeoTransform", None)
    transform = _geotransform(maps, given.get("GeoTransform"))
    if transform:
        attrs["GeoTransform"] = transform
    return xr.Variable((), np.int64(0), attrs, {"_FillValue": None})


def with_grid(maps: xr.Dataset, crs: CRS) -> xr.Dataset:
    """Return maps over (y, x) with a grid mapping; other attributes of variables are kept."""
    maps = maps.assign_coords({GRID_MAPPING: _grid_mapping(maps, crs, {})})
    for variable in maps.data_vars.values():
        variable.attrs["grid_mapping"] = GRID_MAPPING
        variable.encoding = _fill_value(variable.dtype)
    _complete_coordinates(maps)
    return maps


def _geotransform(maps: xr.Dataset, given: str | None) -> str | None:
    """Return GDAL's transform where an axis has one cell, whose size stands nowhere else.

    Nowhere else: xarray doesn't update it with the axes, and rioxarray believes it.
    """
    space = find_space(maps)
    if space is None or any(dim not in maps.coords for dim in space):
        return None
    if all(maps.sizes[dim] > 1 for dim in space):
        return None
    numbers = [float(part) for part in given.split()] if given else None
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


def _complete_coordinates(maps: xr.Dataset) -> None:
    """Complete the CF attributes of coordinates, in place on xdpl's own copy."""
    space = find_space(maps)
    crs = crs_of(maps) if space else None
    basin = None if space else find_basin(maps)
    for name, coord in maps.coords.items():
        attrs = coord.attrs
        if space and name in space:
            _complete_axis(attrs, "YX"[space.index(name)], str(name), crs)
        elif is_time(coord):
            _complete_time(coord)
        elif name == basin and not is_geometry(coord):
            attrs["cf_role"] = "timeseries_id"
        elif str(name).lower() in ("lat", "latitude", "lon", "longitude"):
            _complete_geographic(attrs, "Y" if str(name).lower().startswith("lat") else "X")
        if name != GRID_MAPPING:
            default = attrs.get("standard_name", str(name)).replace("_", " ")
            label = "id of the basin" if attrs.get("cf_role") else default
            attrs.setdefault("long_name", label)
            coord.encoding = _coordinate_encoding(coord)


def _coordinate_encoding(coord: xr.DataArray) -> dict[str, Any]:
    encoding: dict[str, Any] = {"_FillValue": None}
    if is_time(coord):
        keep = ("units", "calendar")
        encoding |= {k: coord.encoding[k] for k in keep if k in coord.encoding}
    elif coord.dtype.kind in "UOT" and not is_geometry(coord):
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


def _complete_axis(attrs: dict[str, Any], axis: str, name: str, crs: Any) -> None:
    named = name.lower() in ("lat", "latitude", "lon", "longitude")
    geographic = crs.is_geographic if crs is not None else named
    if geographic:
        _complete_geographic(attrs, axis)
    elif crs is not None and crs.is_projected:
        attrs.setdefault("standard_name", f"projection_{axis.lower()}_coordinate")
        unit = crs.axis_info[0].unit_name if crs.axis_info else "metre"
        attrs.setdefault("units", "m" if unit == "metre" else unit.replace(" ", "_"))
    attrs["axis"] = axis


def _complete_geographic(attrs: dict[str, Any], axis: str) -> None:
    attrs.setdefault("standard_name", "latitude" if axis == "Y" else "longitude")
    if str(attrs.get("units", "degrees")) in ("degrees", "degree", "deg"):
        attrs["units"] = "degrees_north" if axis == "Y" else "degrees_east"


def _global_attrs(
    maps: xr.Dataset, source: xr.Dataset, provenance: dict[str, Any], title: str | None
) -> dict[str, Any]:
    model = str(provenance.get("model", "process model"))
    observation = provenance.get("observation")
    about = f" learned from {_text(observation)}" if observation else ""
    title = title or f"{model}{about}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} xdpl {_version('xdpl')}: {title}"
    history = "\n".join(filter(None, (line, str(source.attrs.get("history", "")))))
    attrs: dict[str, Any] = {
        "Conventions": CONVENTIONS,
        "title": title,
        "history": history,
        "source": f"{model}, xdpl {_version('xdpl')}, torch {_version('torch')}",
        "references": _REFERENCE,
    }
    for key, value in provenance.items():
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        attrs[key] = value if plain else _text(value)
    attrs = {k: v for k, v in attrs.items() if v is not None and v != ""}
    basin = any(c.attrs.get("cf_role") == "timeseries_id" for c in maps.coords.values())
    timed = any(c.attrs.get("axis") == "T" for c in maps.coords.values())
    if basin and timed:
        attrs["featureType"] = "timeSeries"
    return attrs


def _text(value: Any) -> str:
    """Return any value of the provenance as one readable line."""
    if value is None:
        return ""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, slice):
        return f"{value.start} to {value.stop}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
