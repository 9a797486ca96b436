"""Deviations of single cells from what the network gives them, in a training step."""

from __future__ import annotations

import torch
from torch import Tensor

from ..batches import Batch
from .state import DeviationRule, Trainable

__all__ = ["deviated"]


def deviated(
    field: Trainable, raw: Tensor, batch: Batch, rule: DeviationRule
) -> tuple[Tensor, Tensor]:
    """Add the cells' deviations to unbounded parameters, and give the penalty for their size.

    Parameters
    ----------
    field : Trainable
        Holds the deviations, if there are any.
    raw : Tensor (cell, size)
        What the network gives.
    batch : Batch
        The cells, and how many observations each has.
    rule : DeviationRule
        How strongly deviations are held, and how many cells go without.

    Returns
    -------
    Tensor (cell, size), Tensor ()
    """
    table = field.deviation
    if table is None:
        return raw, raw.new_zeros(())
    own = table.index_select(0, batch.index)
    weight = rule.shrinkage / batch.count.clamp(min=1).to(own.dtype)
    penalty = (weight * (own**2).sum(1)).mean()
    if not rule.dropped:
        return raw + own, penalty
    kept = torch.rand(len(own), 1, device=own.device) < 1 - rule.dropped
    return raw + torch.where(kept, own, 0.0), penalty
