"""Early stopping: after every epoch the loss on cells that are not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from ..batches import Batch
from ..errors import NonFiniteLoss
from .callbacks import Callback
from .objective import Objective
from .state import TrainState

__all__ = ["EarlyStopping", "best", "halvings", "waited"]


def best(losses: Sequence[float]) -> int:
    """Place of the lowest loss; the first of several."""
    return min(range(len(losses)), key=losses.__getitem__)


def waited(losses: Sequence[float]) -> int:
    """Epochs since the lowest loss."""
    return len(losses) - 1 - best(losses) if losses else 0


def halvings(losses: Sequence[float], every: int) -> int:
    """How often ``every`` epochs in a row brought no gain."""
    lowest, without, count = math.inf, 0, 0
    for loss in losses:
        without = 0 if loss < lowest else without + 1
        lowest = min(lowest, loss)
        count += without > 0 and without % every == 0
    return count


@dataclass(frozen=True)
class EarlyStopping(Callback):
    """Looks at the loss on validation cells, slows down, stops, and returns to the best weights.

    All that it decides follows from the losses in the history, so that a resumed run decides the
    same.

    Parameters
    ----------
    batches : callable
        Gives the batches of the validation cells, on the device.
    patience : int
        Epochs without gain after which training stops. The learning rate is halved after every
        third as many.
    objective : Objective
        What is made small.
    """

    batches: Callable[[], Iterable[Batch]]
    patience: int
    objective: Objective

    def on_start(self, state: TrainState) -> None:
        self._pace(state)

    def on_epoch(self, state: TrainState) -> None:
        history = state.history
        history.validation.append(state.group.of_first(self._loss(state)))  # all decide the same
        if waited(history.validation) == 0:
            weights = state.field.state_dict()
            history.best = {name: value.detach().clone() for name, value in weights.items()}
        self._pace(state)

    def on_end(self, state: TrainState) -> None:
        """Go back to the best weights; not where the loss broke, whose error keeps the last."""
        if state.history.best and not isinstance(state.ended_by, NonFiniteLoss):
            state.field.load_state_dict(state.history.best)

    def _pace(self, state: TrainState) -> None:
        """Set the learning rate of the next epoch, or end training."""
        losses = state.history.validation
        state.factor = 0.5 ** halvings(losses, max(1, self.patience // 3))
        state.stop |= waited(losses) >= self.patience

    @torch.no_grad()
    def _loss(self, state: TrainState) -> float:
        """Loss of the network alone, without deviations; infinite where it is not finite."""
        field = state.field
        field.eval()
        total, cells = 0.0, 0
        for batch in self.batches():
            if not len(batch.label):
                continue  # forcings of all its cells have gaps
            raw = field.raw(batch.attribute, batch.cycle if field.reads_forcings else None)
            daily = field.daily(batch.attribute, batch.forcing, self.objective.dt)
            simulated = self.objective.simulate(batch, field.bounded(raw, daily))
            total += float(self.objective(simulated, batch)) * len(batch.label)
            cells += len(batch.label)
        field.train()
        return total / cells if cells and math.isfinite(total) else math.inf
