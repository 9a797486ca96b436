"""One minibatch: cells x a window of time with a spin-up ahead, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Batch"]


@dataclass
class Batch:
    """What one training step needs; times run from the start of the spin-up to the window's end.

    Attributes
    ----------
    forcing : dict of str to Tensor (spin-up + window, cell)
    observed : dict of str to Tensor (window, cell)
        NaN where nothing was observed.
    scale : dict of str to Tensor (cell,)
        Factor of each cell's loss, per output.
    attribute : Tensor (cell, attribute)
        Raw values.
    cycle : Tensor (season, cell, forcing), optional
        Mean annual cycle of the forcings.
    label : ndarray of str (cell,)
        Labels of the cells.
    index : Tensor of int (cell,)
        Places of the cells in the order of labels.
    count : Tensor (cell,)
        Observations of each cell in the training period, all outputs together.
    start : int
        Place of the window's first step in the record.
    """

    forcing: dict[str, Tensor]
    observed: dict[str, Tensor]
    scale: dict[str, Tensor]
    attribute: Tensor
    cycle: Tensor | None
    label: NDArray[np.str_]
    index: Tensor
    count: Tensor
    start: int

    def to(self, device: torch.device) -> Batch:
        """Copy to a device; the same object where it is there already."""
        if self.attribute.device == device:
            return self

        def move(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: v.to(device, non_blocking=True) for k, v in tensors.items()}

        return Batch(
            move(self.forcing),
            move(self.observed),
            move(self.scale),
            self.attribute.to(device),
            None if self.cycle is None else self.cycle.to(device),
            self.label,
            self.index.to(device),
            self.count.to(device),
            self.start,
        )
