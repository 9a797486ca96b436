"""Time in a record: the steps of a spin-up, the week of the year, the mean annual cycle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["annual_cycle", "seasons", "spin_up_index"]

SEASONS = 52


def spin_up_index(start: int, stop: int, warmup: int, year: int) -> NDArray[np.intp]:
    """Places in the record of a window and of the spin-up ahead of it.

    Where the record does not reach back far enough its own first year is repeated, in phase.

    Parameters
    ----------
    start, stop : int
        The window in the record.
    warmup : int
        Steps of spin-up.
    year : int
        Steps in a year, at most the length of the record.

    Returns
    -------
    ndarray of int (warmup + stop - start,)
    """
    wanted = np.arange(start - warmup, stop)
    return np.where(wanted < 0, wanted % year, wanted)


def seasons(times: xr.DataArray) -> Tensor:
    """Week of the year, 0 to 51, of each time (any calendar); shape (time,)."""
    day = torch.from_numpy(np.asarray(times.dt.dayofyear).astype("i8"))
    return ((day - 1) * SEASONS // 366).clamp(max=SEASONS - 1)


def annual_cycle(forcing: Mapping[str, Tensor], season: Tensor) -> Tensor:
    """Weekly means over all years: (season, cell, forcing) from {name: (time, cell)}.

    A week without any step in the record takes the mean of the whole record.
    """
    count = torch.bincount(season, minlength=SEASONS)[:, None]
    layers = []
    for series in forcing.values():
        total = series.new_zeros(SEASONS, series.shape[1]).index_add_(0, season, series)
        layers.append(torch.where(count > 0, total / count.clamp(min=1), series.mean(0)))
    return torch.stack(layers, dim=-1)
