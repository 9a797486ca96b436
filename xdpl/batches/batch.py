"""One minibatch: cells x a window of time with a spin-up ahead, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import OutOfMemory

__all__ = ["Batch", "joined_batch"]


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
    left_out : ndarray of int (left out,)
        Places, in the order of labels, of cells that were asked for: their forcings have gaps.
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
    left_out: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))

    def to(self, device: torch.device) -> Batch:
        """Copy to a device; the same object where it is there already.

        Raises
        ------
        OutOfMemory
            The device has no room for the batch as it is.
        """
        if {tensor.device for tensor in self._tensors()} == {device}:
            return self
        try:
            return self._each(lambda tensor: tensor.to(device, non_blocking=True))
        except torch.OutOfMemoryError as problem:
            raise OutOfMemory(
                f"{device} has no memory for the series of a batch of {len(self.label)} cells: "
                f"{str(problem).splitlines()[0][:200]}. Give a smaller batch_size, or shorten "
                "warmup."
            ) from problem

    def _tensors(self) -> Iterator[Tensor]:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, dict):
                yield from value.values()
            elif isinstance(value, Tensor):
                yield value

    def pinned(self) -> Batch:
        """Copy to pinned memory of the host."""
        return self._each(lambda tensor: tensor if tensor.is_cuda else tensor.pin_memory())

    def _each(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to all tensors."""

        def changed(value: object) -> Any:
            if isinstance(value, Tensor):
                return function(value)
            if isinstance(value, dict):
                return {name: function(tensor) for name, tensor in value.items()}
            return value

        return Batch(**{f.name: changed(getattr(self, f.name)) for f in fields(self)})


def joined_batch(
    parts: Sequence[Batch], ranked: Callable[[NDArray[np.intp]], NDArray[np.intp]]
) -> Batch:
    """Put batches of other cells at the same times together, in the order that ``ranked`` gives.

    Parameters
    ----------
    parts : sequence of Batch
        None of them shared between processes.
    ranked : callable
        Of the places of all cells: how to sort them.
    """
    order = ranked(torch.cat([part.index for part in parts]).cpu().numpy())
    by = torch.from_numpy(order).to(parts[0].index.device)

    def tensors(name: str, dim: int) -> dict[str, Tensor]:
        each: list[dict[str, Tensor]] = [getattr(part, name) for part in parts]
        return {
            k: torch.cat([part[k] for part in each], dim).index_select(dim, by) for k in each[0]
        }

    cycles = [part.cycle for part in parts if part.cycle is not None]
    return Batch(
        forcing=tensors("forcing", 1),
        observed=tensors("observed", 1),
        scale=tensors("scale", 0),
        attribute=torch.cat([part.attribute for part in parts])[by],
        cycle=torch.cat(cycles, 1)[:, by] if cycles else None,
        label=np.concatenate([part.label for part in parts])[order],
        index=torch.cat([part.index for part in parts])[by],
        count=torch.cat([part.count for part in parts])[by],
        start=parts[0].start,
        left_out=np.concatenate([part.left_out for part in parts]),
    )
