"""Early stopping: after every epoch the loss on cells that are not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..batches import Batch
from ..errors import DataError, warn
from ..parameters.cell_inputs import CellInputs

if TYPE_CHECKING:
    from .loop import History, Objective, Trainer

__all__ = ["EarlyStopping", "best", "halvings", "mean_loss", "waited"]


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


def mean_loss(losses: Sequence[float], epoch: int) -> float:
    """Mean loss of the batches of an epoch; say how many had no cell, the first time."""
    taken = [loss for loss in losses if not math.isnan(loss)]
    if not taken:
        raise DataError(
            f"no batch of epoch {epoch + 1} has a cell with complete forcings in its window and "
            "spin-up. Fill the gaps, or give a period and a warmup without them."
        )
    if len(taken) < len(losses) and epoch == 0:
        warn(
            f"{len(losses) - len(taken)} of {len(losses)} batches of the first epoch were left "
            "out: the forcings of all their cells have gaps there. Fill them, or give a period "
            "without them."
        )
    return sum(taken) / len(taken)


@dataclass(frozen=True)
class EarlyStopping:
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
    """

    batches: Callable[[], Iterable[Batch]]
    patience: int

    def enough(self, history: History) -> bool:
        """Whether to stop."""
        return waited(history.validation) >= self.patience

    def pace(self, trainer: Trainer, history: History) -> None:
        """Set the learning rate for the next epoch."""
        every = max(1, self.patience // 3)
        trainer.factor = 0.5 ** halvings(history.validation, every)

    def look(self, trainer: Trainer, objective: Objective, dt: float, history: History) -> None:
        """Note the loss of the validation cells, and the weights where they are the best so far."""
        loss = self._loss(trainer, objective, dt)
        history.validation.append(trainer.group.of_first(loss))  # all decide the same
        if waited(history.validation) == 0:
            state = trainer.learner.state_dict()
            history.best = {name: value.detach().clone() for name, value in state.items()}
        self.pace(trainer, history)

    def restore(self, trainer: Trainer, history: History) -> None:
        """Go back to the best weights."""
        if history.best:
            trainer.learner.load_state_dict(history.best)

    @torch.no_grad()
    def _loss(self, trainer: Trainer, objective: Objective, dt: float) -> float:
        """Loss of the network alone, without deviations; infinite where it is not finite."""
        learner = trainer.learner
        learner.eval()
        total, cells = 0.0, 0
        for batch in self.batches():
            if not len(batch.label):
                continue  # forcings of all its cells have gaps
            cycle = batch.cycle if learner.reads_forcings else None
            inputs = CellInputs(batch.attribute, cycle, None, batch.forcing, dt)
            parameter = learner.parameters_of(inputs)
            simulated = learner.simulate(
                batch.forcing, parameter, dt=dt, outputs=tuple(objective.losses)
            )
            total += float(objective(simulated, batch)) * len(batch.label)
            cells += len(batch.label)
        learner.train()
        return total / cells if cells and math.isfinite(total) else math.inf
