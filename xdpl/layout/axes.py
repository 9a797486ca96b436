"""Dimensions and coordinates: time and its step, space, labels of cells, latitude, grid mapping."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DataError, LayoutError

__all__ = [
    "close",
    "find_grid_mapping",
    "find_latitude",
    "find_space",
    "find_time",
    "label_variables",
    "time_step",
]

SECONDS_A_DAY = 86400.0
_TIME_NAMES = ("time", "date", "datetime", "valid_time", "t", "day")
_Y_NAMES = ("y", "lat", "latitude", "northing", "north", "rlat", "nav_lat", "row", "j")
_X_NAMES = ("x", "lon", "longitude", "easting", "east", "rlon", "nav_lon", "col", "column", "i")
_Y_STANDARD = ("projection_y_coordinate", "latitude", "grid_latitude")
_X_STANDARD = ("projection_x_coordinate", "longitude", "grid_longitude")


def close(name: Hashable, names: Iterable[Hashable]) -> str:
    """A sentence that suggests names like the one given; empty if there are none."""
    known = [str(n) for n in names]
    lowered = {n.lower(): n for n in known}
    found = difflib.get_close_matches(str(name).lower(), list(lowered), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(lowered[n]) for n in found)}? " if found else ""


def is_time(values: xr.Variable | xr.DataArray) -> bool:
    """Whether values are datetimes, of numpy or cftime."""
    if np.issubdtype(values.dtype, np.datetime64):
        return True
    if values.dtype != object or values.size == 0:
        return False
    first = values.isel(dict.fromkeys(values.dims, 0)).values.item()
    return hasattr(first, "calendar") and hasattr(first, "timetuple")


def find_time(ds: xr.Dataset) -> str:
    """Name of the time dimension.

    Raises
    ------
    LayoutError
        If there is none, several, or one whose values are not datetimes.
    """
    import cf_xarray  # noqa: F401  registers ds.cf

    dims = [str(dim) for dim in ds.dims]
    with_values = [dim for dim in dims if dim in ds.coords]
    found = [dim for dim in with_values if is_time(ds[dim])]
    if len(found) > 1:
        named = [dim for dim in found if dim in ds.cf.axes.get("T", ()) or dim.lower() == "time"]
        found = named if len(named) == 1 else found
    if len(found) == 1:
        return found[0]
    if found:
        raise LayoutError(
            f"several dimensions are times: {', '.join(found)}. "
            f'Say which one is: ds["{found[0]}"].attrs["axis"] = "T".'
        )
    axes = ds.cf.axes.get("T", []) + ds.cf.standard_names.get("time", [])
    like = [dim for dim in dims if dim in axes or dim.lower() in _TIME_NAMES]
    if like:
        raise LayoutError(
            f"dimension {like[0]!r} has no datetimes as its coordinate. Decode it with "
            "xr.decode_cf(ds), or assign it: "
            f'ds = ds.assign_coords({like[0]}=pd.date_range("2000-01-01", periods='
            f'ds.sizes["{like[0]}"])).'
        )
    aside = [str(n) for n, c in ds.coords.items() if c.ndim == 1 and is_time(c)]
    dim, name = (ds[aside[0]].dims[0], aside[0]) if aside else ("dim", "time")
    assign = "" if aside else ".assign_coords(time=(dim, times))"
    raise LayoutError(
        f"the Dataset has no time dimension; its dimensions are {', '.join(dims) or 'none'}. "
        "Let the coordinate of datetimes be that of its dimension: "
        f'ds = ds{assign}.swap_dims({dim}="{name}").'
    )


def _days(time: xr.DataArray) -> np.ndarray:
    """Time as days since its first value, in float64."""
    values = time.values
    if values.dtype == object:
        import cftime

        since = "seconds since 1900-01-01"
        numbers = cftime.date2num(values, since, calendar=values[0].calendar)
        return (np.asarray(numbers, dtype=float) - float(numbers[0])) / SECONDS_A_DAY
    return (values - values[0]) / np.timedelta64(1, "s") / SECONDS_A_DAY


def time_step(ds: xr.Dataset, time: str) -> float:
    """Length of the time step in days.

    Raises
    ------
    DataError
        If time is shorter than two steps, unsorted, duplicated, irregular or has gaps.
    """
    if ds.sizes[time] < 2:
        raise DataError(
            f"dimension {time!r} has {ds.sizes[time]} step. Give at least two, so that the length "
            "of a step is known."
        )
    missing = ds[time].isnull()
    if bool(missing.any()):
        raise DataError(
            f"{int(missing.sum())} values of {time!r} are missing. "
            f'Drop them: ds = ds.isel({time}=ds["{time}"].notnull().values).'
        )
    days = _days(ds[time])
    steps = np.diff(days)
    when = ds[time].values
    if (steps < 0).any():
        at = int(np.argmax(steps < 0))
        raise DataError(
            f"{time!r} is unsorted: {_day(when[at + 1])} follows {_day(when[at])}. "
            f'Sort it: ds = ds.sortby("{time}").'
        )
    if (steps == 0).any():
        at = int(np.argmax(steps == 0))
        raise DataError(
            f"{time!r} has duplicates: {int((steps == 0).sum())} values occur twice, the first "
            f'{_day(when[at])}. Drop them: ds = ds.drop_duplicates("{time}").'
        )
    dt = float(np.median(steps))
    wrong = np.abs(steps - dt) > 1e-4 * dt
    if wrong.any():
        raise DataError(_irregular(ds, time, steps, dt, wrong))
    return float(round(dt * SECONDS_A_DAY) / SECONDS_A_DAY) or dt


def _day(value: Any) -> str:
    return str(value)[:19].replace("T00:00:00", "").replace(" 00:00:00", "")


def _irregular(ds: xr.Dataset, time: str, steps: np.ndarray, dt: float, wrong: np.ndarray) -> str:
    at = int(np.argmax(wrong))
    when = ds[time].values
    found = (
        f"{time!r} is irregular: {int(wrong.sum())} of {steps.size} steps differ from the usual "
        f"{dt:g} days, the first from {_day(when[at])} to {_day(when[at + 1])}. "
    )
    leap = (ds[time].dt.month.values == 2) & (ds[time].dt.day.values == 28)
    if dt == 1.0 and (steps[wrong] == 2).all() and leap[:-1][wrong].all():
        return found + (
            "29 February is missing, so say that the calendar has no leap days: "
            f'ds = ds.convert_calendar("noleap", dim="{time}").'
        )
    if dt >= 28:
        return found + f'Give daily values: ds.resample({time}="1D").interpolate(), or finer data.'
    return found + (
        f'Fill the missing times with NaN: ds = ds.resample({time}="{_frequency(dt)}").asfreq().'
    )


def _frequency(dt: float) -> str:
    hours = dt * 24
    if hours >= 24 and abs(dt - round(dt)) < 1e-6:
        return f"{round(dt)}D"
    return f"{round(hours)}h" if hours >= 1 else f"{round(hours * 60)}min"


def check_step(dt: float, timesteps: tuple[float, float], model: str, time: str) -> None:
    """Raise LayoutError if the model's equations don't allow the step."""
    low, high = timesteps
    if low * (1 - 1e-6) <= dt <= high * (1 + 1e-6):
        return
    allowed = f"{low:g} days" if low == high else f"{low:g} to {high:g} days"
    if dt < low:
        remedy = f'Aggregate it: ds = ds.resample({time}="{_frequency(low)}").mean().'
    else:
        remedy = "Use data with shorter steps, or another model."
    raise LayoutError(f"the step of {time!r} is {dt:g} days and {model} allows {allowed}. {remedy}")


def direction(ds: xr.Dataset, dim: str) -> str | None:
    """Whether a dimension is "Y" or "X", as its coordinate or its name says, or None."""
    attrs = ds[dim].attrs if dim in ds.coords else {}
    axis, standard = str(attrs.get("axis", "")).upper(), attrs.get("standard_name")
    units = str(attrs.get("units", "")).lower()
    for letter, standards, names, degrees in (
        ("Y", _Y_STANDARD, _Y_NAMES, "degrees_north"),
        ("X", _X_STANDARD, _X_NAMES, "degrees_east"),
    ):
        if axis == letter or standard in standards or units == degrees:
            return letter
        if not axis and standard is None and dim.lower() in names:
            return letter
    return None


def is_longitude(ds: xr.Dataset, name: str) -> bool:
    """Whether a coordinate is a longitude, which may run from 0 to 360 or from -180 to 180."""
    attrs = ds[name].attrs
    units = str(attrs.get("units", "")).lower()
    if units.startswith("degree") or not units:
        standard = attrs.get("standard_name", "longitude" if name.lower()[:3] == "lon" else "")
        return standard == "longitude" or units in ("degrees_east", "degree_east")
    return False


def find_space(ds: xr.Dataset, dims: Sequence[str], variable: str) -> tuple[str, ...]:
    """Order the space dimensions of a variable: Y, then X; or the one of basins.

    Raises
    ------
    LayoutError
        If there are more than two or if it is not known which one is Y.
    """
    ways = {dim: direction(ds, dim) for dim in dims}
    if len(dims) <= 1:
        return tuple(dims)
    y = [dim for dim, way in ways.items() if way == "Y"]
    x = [dim for dim, way in ways.items() if way == "X"]
    if len(dims) > 2:
        extra = [dim for dim in dims if ways[dim] is None] or list(dims)
        raise LayoutError(extra_dimension(ds, variable, extra[0]))
    if len(y) == 1:
        return y[0], next(dim for dim in dims if dim != y[0])
    if len(x) == 1:
        return next(dim for dim in dims if dim != x[0]), x[0]
    raise LayoutError(
        f'ds["{variable}"] has the dimensions {" and ".join(dims)}, and it is not known which one '
        f'is Y and which X. Say so: ds["{dims[0]}"].attrs["axis"] = "Y"; '
        f'ds["{dims[1]}"].attrs["axis"] = "X".'
    )


def extra_dimension(ds: xr.Dataset, variable: str, dim: str) -> str:
    """Message about a dimension that is neither time nor space."""
    remedy = (
        f'ds = ds.squeeze("{dim}")'
        if ds.sizes[dim] == 1
        else f'choose one, ds = ds.isel({dim}=0), or average, ds = ds.mean("{dim}")'
    )
    return (
        f'ds["{variable}"] has the dimension {dim!r} (size {ds.sizes[dim]}) besides time and '
        f"space. Remove it: {remedy}."
    )


def label_variables(ds: xr.Dataset, space: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the coordinates that label a cell: Y and X, or the identifier of a basin.

    Raises
    ------
    LayoutError
        If a dimension has no coordinate, so that a cell has no name of its own.
    """
    if not all(dim in ds.coords for dim in space) or (len(space) == 1 and _stacked(ds, space[0])):
        pair = _pair_over(ds, space)
        if pair:
            return pair
    missing = [dim for dim in space if dim not in ds.coords and not _identifier(ds, dim)]
    if missing:
        raise LayoutError(
            f"dimension {missing[0]!r} has no coordinate, so its cells have no names by which "
            f"parameters could be stored. Give it one: ds = ds.assign_coords({missing[0]}=...)."
        )
    if len(space) == 2:
        return space
    if len(space) == 1:
        return _one_dimension(ds, space[0])
    scalars = [str(name) for name, c in ds.coords.items() if c.ndim == 0 and c.size == 1]
    y = [name for name in scalars if direction(ds, name) == "Y"]
    x = [name for name in scalars if direction(ds, name) == "X"]
    if y and x:
        return y[0], x[0]
    texts = [name for name in scalars if ds[name].dtype.kind in "UTO" and not is_time(ds[name])]
    return tuple(texts[:1])


def _one_dimension(ds: xr.Dataset, dim: str) -> tuple[str, ...]:
    """Labels of one dimension: its identifier, or Y and X where the other one is a scalar."""
    way = direction(ds, dim)
    scalars = [str(name) for name, c in ds.coords.items() if c.ndim == 0]
    if way is not None:
        other = [n for n in scalars if direction(ds, n) not in (way, None)]
        if other:
            return (dim, other[0]) if way == "Y" else (other[0], dim)
    return (dim,) if dim in ds.coords else (_identifier(ds, dim),)


def _identifier(ds: xr.Dataset, dim: str) -> str:
    """A variable along a dimension that names its items, by cf_role or as text."""
    along = [str(name) for name, v in ds.variables.items() if v.dims == (dim,)]
    roles = [name for name in along if ds[name].attrs.get("cf_role") == "timeseries_id"]
    texts = [name for name in along if name in ds.coords and ds[name].dtype.kind in "UTO"]
    return next(iter(roles + texts), "")


def _stacked(ds: xr.Dataset, dim: str) -> bool:
    """Whether a dimension was made by ds.stack()."""
    return ds[dim].dtype == object and isinstance(ds.indexes.get(dim), pd.MultiIndex)


def _pair_over(ds: xr.Dataset, space: tuple[str, ...]) -> tuple[str, ...]:
    """Y and X, or latitude and longitude, over the space dimensions, if there are."""
    names: list[list[str]] = [[], []]
    for name, values in ds.coords.items():
        way = direction(ds, str(name)) if set(values.dims) == set(space) else None
        if way is not None:
            names[way == "X"].append(str(name))
    return (names[0][0], names[1][0]) if all(names) else ()


def find_latitude(ds: xr.Dataset, space: tuple[str, ...]) -> str | None:
    """Name of the variable with the latitude over the cells, if there is one."""
    for name in map(str, [*ds.coords, *ds.data_vars]):
        variable = ds[name]
        if variable.attrs.get("standard_name") == "latitude" or (
            name.lower() in ("lat", "latitude")
            and variable.attrs.get("standard_name", "latitude") == "latitude"
        ):
            if set(variable.dims) <= set(space) and variable.dtype.kind in "fiu":
                return name
    return None


def find_grid_mapping(ds: xr.Dataset) -> str | None:
    """Name of the variable that describes the coordinate reference system, if there is one."""
    named = [
        v.attrs.get("grid_mapping") or v.encoding.get("grid_mapping") for v in ds.data_vars.values()
    ]
    described = [
        str(name)
        for name, v in ds.variables.items()
        if {"crs_wkt", "spatial_ref", "grid_mapping_name"} & set(v.attrs)
    ]
    for name in [str(n).split(":")[0].strip() for n in named if n] + described:
        if name in ds.variables:
            return name
    return None
