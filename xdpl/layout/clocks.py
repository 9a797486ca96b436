"""Series of two clocks in one Dataset: daily values stamped at midnight, others at noon."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from ..errors import LayoutError
from .sample import load, tiles

__all__ = ["check_clocks"]

_DAYS = 60
_TILES = 8


def check_clocks(ds: xr.Dataset, time: str, names: Iterable[str] | None = None) -> None:
    """Raise LayoutError where variables have values at different times of day only.

    Merged, every other step of each is missing: the step looks shorter than it is, and gaps would
    be filled with what was never measured.

    Parameters
    ----------
    ds : Dataset
        Some days of it are read, where there are several times of day.
    time : str
        Its time dimension.
    names : iterable of str, optional
        Variables that matter; by default all along time.
    """
    clocks = _times_of_day(ds, time)
    different = np.unique(clocks)
    if len(different) < 2 or len(clocks) < 4:
        return
    steps = slice(0, min(len(clocks), _DAYS * len(different)))
    clocks = clocks[steps]
    series = [
        str(name)
        for name in (ds.data_vars if names is None else names)
        if time in ds[name].dims and ds[name].dtype.kind in "fiu"
    ]
    seen = {name: _clocks_with_values(ds[name], time, steps, clocks) for name in series}
    seen = {name: those for name, those in seen.items() if those}
    for name, those in seen.items():
        apart = [other for other, theirs in seen.items() if not those & theirs]
        if apart:
            raise LayoutError(_message(time, {name: those, apart[0]: seen[apart[0]]}))


def _times_of_day(ds: xr.Dataset, time: str) -> np.ndarray:
    """Seconds since midnight of every step."""
    when = ds[time].dt
    return np.asarray(when.hour * 3600 + when.minute * 60 + when.second).astype(int)


def _clocks_with_values(
    array: xr.DataArray, time: str, steps: slice, clocks: np.ndarray
) -> set[int]:
    """Times of day at which a variable has any value, in some days of some cells."""
    part = array.isel({time: steps}).variable
    found: set[int] = set()
    every = set(clocks.tolist())
    for looked, tile in enumerate(tiles(part, time)):
        if looked >= _TILES or found == every:
            break
        here = part.isel(tile)
        values = load(here, array.name)
        other = tuple(n for n, dim in enumerate(here.dims) if dim != time)
        there = np.isfinite(values.astype(float)).any(axis=other)
        found |= set(clocks[tile[time]][there].tolist())
    return found


def _message(time: str, seen: dict[str, set[int]]) -> str:
    one, other = (f'ds["{n}"] has values at {_listed(those)} only' for n, those in seen.items())
    each = f'ds.resample({time}="{_frequency(max(map(len, seen.values())))}").mean()'
    return (
        f"{one}, and {other}: series of two clocks were merged, so that every other step of each "
        f'is missing. Put their steps together: ds = {each}.assign(ds.drop_dims("{time}")).'
    )


def _frequency(steps: int) -> str:
    """The step that comes so often a day."""
    minutes = max(1, round(1440 / steps))
    if steps == 1:
        return "1D"
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}min"


def _listed(clocks: set[int]) -> str:
    words = [f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}" for seconds in sorted(clocks)]
    return ", ".join(words[:4]) + (", ..." if len(words) > 4 else "")
