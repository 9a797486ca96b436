"""Spans of time: which steps of a Dataset a period names."""

from __future__ import annotations

from typing import Any

import pandas as pd
import xarray as xr

from ..errors import DataError, LayoutError, warn

__all__ = ["YEAR_DAYS", "as_slice", "covered", "resolve_period"]

YEAR_DAYS = 365
"""Days of a spin-up, if nothing else is asked for."""


def covered(index: pd.Index, first: str, last: str) -> slice | None:
    """Steps from a first to a last day, both as "2000-12-31"; None where either isn't there."""
    start, stop, _ = index.slice_indexer(first, last).indices(len(index))
    if stop > start and str(index[start])[:10] == first and str(index[stop - 1])[:10] == last:
        return slice(start, stop)
    return None


def as_slice(period: object) -> Any:
    """A pair of labels or one label, such as "2019", as a slice; anything else as it is."""
    if isinstance(period, str):
        return slice(period, period)
    if isinstance(period, (tuple, list)) and len(period) == 2:
        return slice(*period)
    return period


def resolve_period(ds: xr.Dataset, time: str, period: object, name: str = "period") -> slice:
    """Places of the steps of a period; all of them for None.

    Parameters
    ----------
    ds : Dataset
        With an index along ``time``.
    time : str
        Name of the time dimension.
    period : slice or (start, stop) or str or None
        Labels of the first and last time, both included, or one label, such as "2019" or
        "2019-05", as in ``ds.sel``.
    name : str
        Of the keyword, for messages.
    """
    steps = int(ds.sizes[time])
    if period is None:
        return slice(0, steps)
    period = as_slice(period)
    if not isinstance(period, slice) or period.step not in (None, 1):
        raise LayoutError(
            f"{name}={period!r} is not a span of time. Give slice('2015-04-01', '2016-03-31'), "
            "or one label as text: '2015'."
        )
    index = ds.indexes[time]
    first, last = _day(index[0]), _day(index[-1])
    try:
        found = index.slice_indexer(period.start, period.stop)
    except (TypeError, ValueError, KeyError) as problem:
        raise LayoutError(
            f"{name}={period!r} can't be read as times of {time!r}, which run from {first} to "
            f"{last}. Give slice('{first}', '{last}')."
        ) from problem
    start, stop, _ = found.indices(steps)
    if stop <= start:
        if start > int(found.stop or 0) and 0 < start < steps:
            raise DataError(
                f"{name} {_span(period)} ends before it begins. Exchange its start and end."
            )
        raise DataError(
            f"{name} {_span(period)} lies outside the data, which run from {first} to {last}. "
            f"Choose a {name} inside."
        )
    if _beyond(index, period):
        warn(
            f"{name} {_span(period)} reaches beyond the data; {_day(index[start])} to "
            f"{_day(index[stop - 1])} is used."
        )
    return slice(start, stop)


def _span(period: slice) -> str:
    if period.start == period.stop:
        return str(period.start)
    return f"{period.start} to {period.stop}"


def _day(value: object) -> str:
    """A time without the hour where that is midnight."""
    return str(value).removesuffix(" 00:00:00")


def _beyond(index: pd.Index, period: slice) -> bool:
    """Whether a whole day or more of the period lies outside of the index."""
    if not isinstance(index, pd.DatetimeIndex):  # of cftime; dates as text are in order, too
        start, stop = str(period.start)[:10], str(period.stop)[:10]
        early = period.start is not None and start < str(index[0])[: len(start)]
        return early or (period.stop is not None and stop > str(index[-1])[: len(stop)])
    day = pd.Timedelta(days=1)
    early = period.start is not None and pd.Timestamp(period.start) <= index[0] - day
    late = period.stop is not None and _end(period.stop) >= index[-1] + day
    return bool(early or late)


def _end(label: object) -> pd.Timestamp:
    """Last moment that a label names: "2019" ends in December."""
    if not isinstance(label, str):
        return pd.Timestamp(label)
    try:
        return pd.Period(label).end_time.floor("s")
    except ValueError:
        return pd.Timestamp(label)
