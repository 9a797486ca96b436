"""Running means along time."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["running_mean"]


def running_mean(series: Tensor, steps: int) -> Tensor:
    """Mean over the last ``steps`` steps, or those that there are; (time, ...) as given."""
    if steps == 1:
        return series
    total = series.double().cumsum(0)
    before = torch.cat([torch.zeros_like(total[:1]), total])
    stop = torch.arange(1, len(series) + 1, device=series.device)
    start = (stop - steps).clamp(min=0)
    number = (stop - start).reshape(-1, *[1] * (series.dim() - 1))
    return ((before[stop] - before[start]) / number).to(series.dtype)
