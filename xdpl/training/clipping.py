"""Gradients of single cells: which are finite, and a hold on those that would rule a step."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["fine", "tame"]


def fine(gradient: Tensor) -> Tensor:
    """Cells of a gradient ([time,] cell, parameter) that are finite throughout."""
    finite = torch.isfinite(gradient).all(dim=-1)
    return finite.all(dim=0) if finite.dim() == 2 else finite


def tame(gradient: Tensor) -> Tensor:
    """Hold the gradient of each cell ([time,] cell, parameter) at 10 times the batch's median.

    Process models have places, such as a soil about to be saturated, where the gradient of one
    cell is larger than all others by orders of magnitude, or overflows; it would decide the step
    alone. One that is not finite is set to 0 (and counted by the caller).
    """
    if not gradient.shape[-2]:
        return gradient
    whole = fine(gradient)
    gradient = torch.where(whole[:, None], gradient, 0.0)
    size = gradient.abs().amax(dim=-1)
    size = size.amax(dim=0) if size.dim() == 2 else size
    # the lower median of those that are fine; infinite where none is
    ranked = torch.where(whole, size, torch.inf).sort().values
    middle = (whole.sum() - 1).clamp(min=0) // 2
    limit = 10 * ranked.gather(0, middle[None])
    tamed = gradient * (limit / size.clamp(min=1e-30))[:, None]
    return torch.where(((size > limit) & (limit > 0))[:, None], tamed, gradient)
