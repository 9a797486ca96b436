"""A training step on a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ..batches import Batch
from .clipping import clip_per_cell, finite_cells
from .deviations import deviated
from .objective import Objective
from .outcome import Outcome, broken_cells, update
from .state import TrainState

__all__ = ["whole_step"]


def whole_step(state: TrainState, objective: Objective, batch: Batch) -> Outcome:
    """Train on a batch: parameters, simulation, loss, gradient, new weights."""
    field, overflowed = state.field, list[Tensor]()

    def clip(gradient: Tensor) -> Tensor:
        overflowed.append(~finite_cells(gradient))
        return clip_per_cell(gradient)

    with state.random.drawing():
        raw = field.raw(batch.attribute, batch.cycle if field.reads_forcings else None)
        raw, penalty = deviated(field, raw, batch, state.deviations)
        raw.register_hook(clip)  # after the deviations: their gradient is clipped, too
        daily = field.daily(batch.attribute, batch.forcing, objective.dt)
    if daily is not None:
        daily.register_hook(clip)
    simulated = objective.simulate(batch, field.bounded(raw, daily))
    loss = objective(simulated, batch)
    state.optimizer.zero_grad(set_to_none=True)
    # relative to the loss: the same strength whatever the units of the observation
    (loss + penalty * loss.detach()).backward()
    without = torch.stack(overflowed).any(0)
    outcome = Outcome(loss.detach(), without, broken_cells(simulated))
    update(state, outcome)
    return outcome
