"""Gradient clipping: of single cells within a batch, so that none of them rules a step."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LARGEST_RATIO", "clip_per_cell", "finite_cells"]

LARGEST_RATIO = 10
"""Largest gradient of a cell relative to the median of its batch."""


def finite_cells(gradient: Tensor) -> Tensor:
    """Cells of a gradient ([time,] cell, parameter) that are finite throughout: bool (cell,)."""
    finite = torch.isfinite(gradient).all(dim=-1)
    return finite.all(dim=0) if finite.dim() == 2 else finite


def clip_per_cell(gradient: Tensor) -> Tensor:
    """Clip the gradient of each cell ([time,] cell, parameter) at 10 times the batch's median.

    At some states of a process model, such as a soil about to be saturated, the gradient of one
    cell exceeds all others by orders of magnitude, or overflows; it would decide the step alone.
    A gradient that is not finite becomes 0 (the caller counts such cells).
    """
    if not gradient.shape[-2]:
        return gradient
    finite = finite_cells(gradient)
    gradient = torch.where(finite[:, None], gradient, 0.0)
    size = gradient.abs().amax(dim=-1)
    size = size.amax(dim=0) if size.dim() == 2 else size
    # the lower median of the finite ones; infinite where none is
    ordered = torch.where(finite, size, torch.inf).sort().values
    middle = (finite.sum() - 1).clamp(min=0) // 2
    limit = LARGEST_RATIO * ordered.gather(0, middle[None])
    clipped = gradient * (limit / size.clamp(min=1e-30))[:, None]
    return torch.where(((size > limit) & (limit > 0))[:, None], clipped, gradient)
