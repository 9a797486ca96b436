"""What past observations say of a cell: statistics by month, with the gaps masked."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["MONTHS", "statistics"]

MONTHS = 12
LOW, HIGH = 0.05, 0.95
AT_A_TIME = 4_000_000
"""Values that are sorted at a time."""


def statistics(
    observed: Mapping[str, Tensor], forcing: Mapping[str, Tensor], month: Tensor
) -> Tensor:
    """Describe each cell by its observations over a period, and by the weather of that period.

    Of each observed output: mean, standard deviation, 5 % and 95 % quantile, share of steps
    observed, and the anomaly of each month from the mean. Of each forcing its mean.

    Parameters
    ----------
    observed, forcing : mapping of str to Tensor (time, cell)
        NaN where nothing was observed.
    month : Tensor of int (time,)
        1 to 12.

    Returns
    -------
    Tensor of float64 (cell, statistic)
        NaN where a statistic is unknown; all of them where nothing was observed in a cell.
    """
    columns: list[Tensor] = []
    anything = torch.zeros(next(iter(observed.values())).shape[1], dtype=torch.bool)
    for series in observed.values():
        columns += _described(series.double(), month)
        anything |= (~torch.isnan(series)).any(0)
    columns += [series.double().mean(0) for series in forcing.values()]
    return torch.where(anything[:, None], torch.stack(columns, dim=1), torch.nan)


def _described(series: Tensor, month: Tensor) -> list[Tensor]:
    mean = torch.nanmean(series, 0)
    spread = torch.nanmean((series - mean) ** 2, 0).sqrt()
    share = (~torch.isnan(series)).double().mean(0)
    seasonal = [torch.nanmean(series[month == m], 0) - mean for m in range(1, MONTHS + 1)]
    return [mean, spread, *_quantiles(series), share, *seasonal]


def _quantiles(series: Tensor) -> tuple[Tensor, Tensor]:
    wanted = series.new_tensor([LOW, HIGH])
    size = max(1, AT_A_TIME // max(1, len(series)))
    parts = [torch.nanquantile(part, wanted, dim=0) for part in series.split(size, dim=1)]
    low, high = torch.cat(parts, dim=1)
    return low, high
