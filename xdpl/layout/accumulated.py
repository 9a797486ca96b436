"""Running totals: amounts that are summed up since midnight or since a first step."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..units import convertible
from .inventory import units_of
from .sample import load

__all__ = ["running_total"]

STEPS = 400
"""Steps looked at, in a few cells."""
CELLS = 3
"""Cells looked at along each dimension of space."""
FEW = 0.02
"""Share of the rises that may be followed by a fall for another reason, such as rounding."""


def running_total(
    array: xr.DataArray, time: str, dt: float, window: slice = slice(None)
) -> tuple[str, str] | None:
    """Problem and remedy, if amounts are totals since midnight or since a first step.

    Totals rise and rise, and fall at one hour of the day (ERA5-Land: after 00 UTC) or hardly ever
    (gauges that are emptied once a year). Amounts of single steps rise and fall all the time.

    Parameters
    ----------
    array : DataArray
        Amounts along time; some hundred steps of a few cells are read.
    time : str
        Its time dimension.
    dt : float
        Its step in days.
    window : slice
        Places of the steps that count.

    Returns
    -------
    (str, str) or None
        A sentence and code that gives the amount of each step; None for amounts already.
    """
    values = _few(array, time, window)
    if values.shape[0] < 3 or values.shape[1] == 0:
        return None
    negative = (
        bool(np.nanmedian(np.where(values == 0, np.nan, values)) < 0) if values.any() else False
    )
    change = np.diff(-values if negative else values, axis=0)
    noise = 1e-6 * np.nanmax(np.abs(values))
    rising, falling = int((change > noise).sum()), (change < -noise).sum(axis=1)
    falls = int(falling.sum())
    if rising >= 30 and falls <= FEW * rising:
        return _since_start(array, time, negative)
    per_day = round(1.0 / dt)
    if per_day < 4 or (per_day < 8 and convertible(units_of(array), "J m-2")) or falls < 3:
        return None  # the sun rises and sets once a day, too
    seconds = _second_of_day(array[time].isel({time: window})[: len(values)])[1:]
    hours, at = np.unique(seconds, return_inverse=True)
    by_hour = np.bincount(at, weights=falling)
    top = int(np.argmax(by_hour))
    if rising >= 2 * falls and falls - by_hour[top] <= FEW * rising:
        return _since_midnight(array, time, int(hours[top]), negative)
    return None


def _few(array: xr.DataArray, time: str, window: slice) -> NDArray[np.float64]:
    """Some hundred steps of a few cells, (time, cell); cells without any value are left out."""
    array = array.isel({time: window})
    places = {
        dim: np.unique(np.linspace(0, size - 1, CELLS + 2).round().astype(int)[1:-1])
        for dim, size in array.sizes.items()
        if dim != time
    }
    part = array.variable.isel({time: slice(0, STEPS), **places}).transpose(time, ...)
    values = load(part, array.name).astype(float).reshape(part.sizes[time], -1)
    return values[:, np.isfinite(values).any(axis=0)]


def _second_of_day(times: xr.DataArray) -> NDArray[np.int64]:
    clock = times.dt
    return np.asarray(clock.hour * 3600 + clock.minute * 60 + clock.second, dtype=np.int64)


def _since_midnight(array: xr.DataArray, time: str, second: int, negative: bool) -> tuple[str, str]:
    ref, hour, minute = f'ds["{array.name}"]', second // 3600, second % 3600 // 60
    fresh = f'ds["{time}"].dt.hour == {hour}'
    if minute:
        fresh = f'({fresh}) & (ds["{time}"].dt.minute == {minute})'
    text = (
        f"{ref} holds accumulated values, totals since midnight that start again at "
        f"{hour:02d}:{minute:02d}, as those of ERA5-Land. Take the amount of each step:"
    )
    return text, (
        f"fresh = {fresh}\n"
        f"{ref} = ({ref} - {ref}.shift({time}=1).where(~fresh, 0)).clip"
        f"({'max' if negative else 'min'}=0).assign_attrs({ref}.attrs | {_SUM})"
    )


def _since_start(array: xr.DataArray, time: str, negative: bool) -> tuple[str, str]:
    ref = f'ds["{array.name}"]'
    text = (
        f"{ref} holds accumulated values, totals since a first step. Take the amount of each step "
        "(missing where a total starts again):"
    )
    return text, (
        f"steps = {ref} - {ref}.shift({time}=1)\n"
        f"{ref} = steps.where(steps {'<=' if negative else '>='} 0)"
        f".assign_attrs({ref}.attrs | {_SUM})"
    )


_SUM = '{"cell_methods": "time: sum"}'
