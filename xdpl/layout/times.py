"""Time: which dimension it is, and the length of its step."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ..errors import DataError, LayoutError
from ..spatial import is_time

__all__ = ["check_step", "find_time", "is_time", "time_step"]

SECONDS_A_DAY = 86400.0
_TIME_NAMES = ("time", "date", "datetime", "valid_time", "t", "day")


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
            f"{time!r} has duplicates: {_times(int((steps == 0).sum()))} again, the first "
            f'{_day(when[at])}. Drop them: ds = ds.drop_duplicates("{time}").'
        )
    dt = float(np.median(steps))
    wrong = np.abs(steps - dt) > 1e-4 * dt
    if wrong.any():
        raise DataError(_irregular(ds, time, steps, dt, wrong))
    return float(round(dt * SECONDS_A_DAY) / SECONDS_A_DAY) or dt


def _times(number: int) -> str:
    return f"{number} values occur" if number > 1 else "1 value occurs"


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
    if np.abs(steps / dt - np.round(steps / dt)).max() > 1e-4:
        return found + f"Average over equal steps: {_averaged(time, dt)}."
    # not resample().asfreq(), which spreads the attributes over time
    calendar = ds[time].dt.calendar
    other = f', calendar="{calendar}", use_cftime=True' if when.dtype == object else ""
    span = f'"{_day(when[0])}", "{_day(when[-1])}", freq="{_frequency(dt)}"{other}'
    return (
        found + f"Fill the missing times with NaN: ds = ds.reindex({time}=xr.date_range({span}))."
    )


def _averaged(time: str, dt: float) -> str:
    """Code that averages over steps; the attributes are put back, which resample spreads."""
    means = f'ds.resample({time}="{_frequency(dt)}").mean()'
    return f'ds = {means}.assign(ds.drop_dims("{time}"))'


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
    allowed = _length(low) if low == high else f"{_length(low)} to {_length(high)}"
    if dt < low:
        remedy = f"Aggregate it: {_averaged(time, low)}."
    else:
        remedy = "Use data with shorter steps, or another model."
    raise LayoutError(
        f"the step of {time!r} is {_length(dt)} and {model} allows {allowed}. {remedy}"
    )


def _length(dt: float) -> str:
    """A step in words: days, or hours where it is shorter than a day."""
    number, unit = (dt, "day") if dt > 1 - 1e-6 else (dt * 24, "hour")
    return f"{number:g} {unit}" + ("" if f"{number:g}" == "1" else "s")
