"""A training step in microbatches: memory can't hold the batch, or several processes share it.

Every process runs the network on all cells of the batch, which costs next to nothing beside the
process model; the model is run on the cells of each process, one microbatch after the other. What
goes from process to process is the gradient of each cell's parameters. So random numbers, gradient
clipping and the weights are those of one process that does all by itself, but for rounding; not
where a store has gaps, since each process leaves out the cells that it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..batches import Batch
from ..errors import DeclarationError
from ..runtime.distributed import ProcessGroup
from .clipping import clip_per_cell
from .deviations import deviated
from .objective import Objective
from .outcome import Outcome, broken_cells, update
from .state import TrainState

__all__ = ["microbatch_step", "microbatches_of"]


@dataclass(frozen=True)
class _Gradient:
    """Of the unbounded parameters, (cell, size), and what came of the cells on the way.

    ``there`` and ``broken`` are numbers, 1 for yes: cells that some process has simulated, and
    those with a value that is not finite.
    """

    raw: Tensor
    there: Tensor
    broken: Tensor
    loss: Tensor


def microbatches_of(batch: Batch, count: int) -> Iterator[tuple[Tensor, Batch]]:
    """Split the cells that this process simulates: their positions in the batch, and the series."""
    own = batch.own
    if own is None:
        own = torch.arange(len(batch.index), device=batch.index.device)
    columns = torch.arange(len(own), device=own.device)
    for some in columns.tensor_split(count):
        if not len(some):
            continue
        index = own[some]
        micro = replace(
            batch,
            forcing={k: v[:, some] for k, v in batch.forcing.items()},
            observed={k: v[:, some] for k, v in batch.observed.items()},
            scale={k: v[index] for k, v in batch.scale.items()},
            own=None,
        )
        yield index, micro


def microbatch_step(state: TrainState, objective: Objective, batch: Batch) -> Outcome:
    """Train on a batch in ``state.microbatches`` pieces, together with ``state.group``.

    Raises
    ------
    DeclarationError
        The parameters change with time: their network reads series that only one process has.
    """
    field = state.field
    if field.dynamic is not None:
        raise DeclarationError(
            "dynamic parameters can't be learned in microbatches or by several processes. Train "
            "them in one process with a smaller batch_size, or leave dynamic out."
        )
    with state.random.drawing():
        raw = field.raw(batch.attribute, batch.cycle if field.reads_forcings else None)
        raw, penalty = deviated(field, raw, batch, state.deviations)
    denominators = state.group.total(objective.denominators(batch))
    found = _gradient(state, objective, raw.detach(), batch, denominators)
    found = _agreed(state.group, found)
    there = found.there > 0
    without = ~torch.isfinite(found.raw).all(1) & there
    state.optimizer.zero_grad(set_to_none=True)
    if bool(there.any()):
        clipped = clip_per_cell(torch.where(there[:, None], found.raw, torch.nan))
        held = [penalty * found.loss] if penalty.requires_grad else []
        torch.autograd.backward([raw, *held], [clipped, *map(torch.ones_like, held)])
    outcome = Outcome(found.loss, without, found.broken > 0)
    update(state, outcome)
    return outcome


def _gradient(
    state: TrainState, objective: Objective, raw: Tensor, batch: Batch, denominators: Tensor
) -> _Gradient:
    """Run the process model on the cells of this process, forward and back."""
    found = _Gradient(
        torch.zeros_like(raw), raw.new_zeros(len(raw)), raw.new_zeros(len(raw)), raw.new_zeros(())
    )
    for index, micro in microbatches_of(batch, state.microbatches):
        leaf = raw[index].requires_grad_()
        simulated = objective.simulate(micro, state.field.bounded(leaf))
        loss = objective.share(simulated, micro, denominators)
        (gradient,) = torch.autograd.grad(loss, leaf)
        found.raw[index] = gradient
        found.there[index] = 1.0
        found.broken[index] = broken_cells(simulated).to(raw.dtype)
        found.loss.add_(loss.detach())
    return found


def _agreed(group: ProcessGroup, found: _Gradient) -> _Gradient:
    """Put the cells of all processes together, in one message."""
    if group.size == 1:
        return found
    cells, size = found.raw.shape
    flat = torch.cat([found.raw.flatten(), found.there, found.broken, found.loss[None]])
    raw, there, broken, loss = group.total(flat).split([cells * size, cells, cells, 1])
    return _Gradient(raw.reshape(cells, size), there, broken, loss[0])
