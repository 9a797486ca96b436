"""One minibatch: cells x a window of time with a spin-up ahead, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

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
        Raw values, and after them statistics of past observations where the network reads any.
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
    own : Tensor of int (own cell,), optional
        Places in the batch of the cells whose forcing and observations are here, where other
        processes have the others; all cells where it is missing.
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
    own: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Copy to a device; the same object where it is there already."""
        if {tensor.device for tensor in self._tensors()} == {device}:
            return self
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _tensors(self) -> Iterator[Tensor]:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                yield from value.values()
            elif isinstance(value, Tensor):
                yield value

    def pinned(self) -> Batch:
        """Copy to pinned memory of the host."""
        return self._each(lambda tensor: tensor if tensor.is_cuda else tensor.pin_memory())

    def _each(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to all tensors."""

        def changed(value: Any) -> Any:
            if isinstance(value, Tensor):
                return function(value)
            if isinstance(value, dict):
                return {name: function(tensor) for name, tensor in value.items()}
            return value

        return Batch(**{f.name: changed(getattr(self, f.name)) for f in fields(self)})
