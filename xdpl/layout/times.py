"""Time: which dimension it is, and the length of its step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import DataError, LayoutError
from ..spatial import is_time
from ..units import units_error
from .accumulated import running_total
from .aggregate import aggregation, amounts, frequency
from .inventory import Inventory

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
        _check_zone(ds, found[0])
        return found[0]
    if found:
        raise LayoutError(
            f"several dimensions are times: {', '.join(found)}. "
            f'Say which one is: ds["{found[0]}"].attrs["axis"] = "T".'
        )
    axes = ds.cf.axes.get("T", []) + ds.cf.standard_names.get("time", [])
    like = [dim for dim in dims if dim in axes or dim.lower() in _TIME_NAMES]
    if like:
        _check_text(ds, like[0])
        raise LayoutError(
            f"dimension {like[0]!r} has no datetimes as its coordinate. If its units say since "
            "when it counts, decode it: ds = xr.decode_cf(ds); else its datetimes are missing. "
            f"Assign them: ds = ds.assign_coords({like[0]}=times)."
        )
    aside = [str(n) for n, c in ds.coords.items() if c.ndim == 1 and is_time(c)]
    dim, name = (ds[aside[0]].dims[0], aside[0]) if aside else ("dim", "time")
    assign = "" if aside else ".assign_coords(time=(dim, times))"
    raise LayoutError(
        f"the Dataset has no time dimension; its dimensions are {', '.join(dims) or 'none'}. "
        "Let the coordinate of datetimes be that of its dimension: "
        f'ds = ds{assign}.swap_dims({dim}="{name}").'
    )


def _check_text(ds: xr.Dataset, dim: str) -> None:
    """Refuse dates that are text, with the call that reads them."""
    if dim not in ds.coords or ds[dim].dtype.kind not in "UTSO" or not ds.sizes[dim]:
        return
    try:
        pd.to_datetime(np.asarray(ds[dim].values).astype(str), format="ISO8601")
    except (ValueError, TypeError):
        return
    raise LayoutError(
        f"dimension {dim!r} holds dates as text, such as {str(ds[dim].values[0])!r}. Read them: "
        f'ds = ds.assign_coords({dim}=pd.to_datetime(ds["{dim}"].values.astype(str))), with '
        "import pandas as pd."
    )


def _check_zone(ds: xr.Dataset, time: str) -> None:
    """Raise LayoutError for times with a zone: numpy, and so xarray and netCDF, know none."""
    index = ds.indexes.get(time)
    zone = getattr(index, "tz", None)
    if not isinstance(index, pd.DatetimeIndex) or zone is None:
        return
    plain = f'ds.indexes["{time}"].tz_localize(None)'
    midnights = bool((index.normalize() == index).all())
    if str(zone) != "UTC" and not midnights:
        plain = f'ds.indexes["{time}"].tz_convert("UTC").tz_localize(None)'
    which = "local days" if midnights and str(zone) != "UTC" else "UTC"
    raise LayoutError(
        f"{time!r} has the time zone {str(zone)!r}, which files and models do not know. Give times "
        f"without a zone, in {which}: ds = ds.assign_coords({time}={plain})."
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


def _day(value: object) -> str:
    return str(value)[:19].replace("T00:00:00", "").replace(" 00:00:00", "")


def _irregular(ds: xr.Dataset, time: str, steps: np.ndarray, dt: float, wrong: np.ndarray) -> str:
    at = int(np.argmax(wrong))
    when = ds[time].values
    found = (
        f"{time!r} is irregular: {int(wrong.sum())} of {steps.size} steps differ from the usual "
        f"{dt:g} {'day' if dt == 1 else 'days'}, the first from {_day(when[at])} "
        f"to {_day(when[at + 1])}. "
    )
    leap = (ds[time].dt.month.values == 2) & (ds[time].dt.day.values == 28)
    if dt == 1.0 and (steps[wrong] == 2).all() and leap[:-1][wrong].all():
        return found + (
            "29 February is missing, so say that the calendar has no leap days: "
            f'ds = ds.convert_calendar("noleap", dim="{time}").'
        )
    if dt >= 28:
        return found + (
            "Such steps are months, and models of hydrology need days: daily values are missing, "
            "and no arithmetic makes them from monthly ones. Take daily data of the same source."
        )
    if np.abs(steps / dt - np.round(steps / dt)).max() > 1e-4:
        return found + f"Aggregate it to equal steps: {aggregation(ds, time, dt)}."
    # not resample().asfreq(), which spreads the attributes over time
    calendar = ds[time].dt.calendar
    other = f', calendar="{calendar}", use_cftime=True' if when.dtype == object else ""
    span = f'"{_day(when[0])}", "{_day(when[-1])}", freq="{frequency(dt)}"{other}'
    return (
        found + f"Fill the missing times with NaN: ds = ds.reindex({time}=xr.date_range({span}))."
    )


def check_step(
    ds: xr.Dataset, dt: float, timesteps: tuple[float, float], model: str, time: str
) -> None:
    """Raise LayoutError if the model's equations don't allow the step.

    Raises
    ------
    LayoutError
        With code that aggregates the Dataset, where its steps are too short.
    UnitsError
        If amounts that would have to be summed for it are running totals.
    """
    low, high = timesteps
    if low * (1 - 1e-6) <= dt <= high * (1 + 1e-6):
        return
    allowed = _length(low) if low == high else f"{_length(low)} to {_length(high)}"
    found = f"the step of {time!r} is {_length(dt)} and {model} allows {allowed}. "
    if dt > low:
        raise LayoutError(f"{found}Use data with shorter steps, or another model.")
    totals = [running_total(ds[name], time, dt) for name in amounts(Inventory.of(ds), time)]
    problems = [problem for problem in totals if problem is not None]
    if problems:
        raise units_error(problems)
    raise LayoutError(f"{found}Aggregate it: {aggregation(ds, time, low, round(low / dt))}.")


def _length(dt: float) -> str:
    """A step in words: days, or hours where it is shorter than a day."""
    number, unit = (dt, "day") if dt > 1 - 1e-6 else (dt * 24, "hour")
    return f"{number:g} {unit}" + ("" if f"{number:g}" == "1" else "s")
