"""The training loop: short enough to read, copy and change."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..batches import Batch
from ..errors import NonFiniteLoss
from ..losses import Loss
from ..parameters.learner import Learner
from ..runtime.distributed import ALONE, ProcessGroup
from . import microbatch as sharing
from .clipping import fine, tame
from .cuda_graph import Outcome, Replay, Work
from .early_stopping import EarlyStopping, mean_loss

DEVIATION_RATE = 3.0
"""Learning rate of the deviations relative to that of the network."""

LARGEST_SHARE_WITHOUT_GRADIENT = 0.1
"""Share of a batch's cells whose gradient may fail to be finite before training stops."""

AHEAD = 16
"""Steps that may be under way on a GPU while the host prepares the next."""

Step = tuple[Outcome, NDArray[np.str_], int]

__all__ = ["History", "Objective", "Trainer", "Watch", "train"]


@dataclass(frozen=True)
class Objective:
    """What is made small: a loss for each observed output, weighted and added.

    Each is the mean over its own observations, so that a sparse one counts as much as a dense one.

    Parameters
    ----------
    losses : mapping of str to Loss
        By model output.
    weights : mapping of str to float
        Factor of each loss; 1 where not given.
    """

    losses: Mapping[str, Loss]
    weights: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, simulated: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Loss of a batch, shape (); simulated {output: (spin-up + window, cell)}."""
        total = torch.zeros((), device=batch.attribute.device)
        for name, loss in self.losses.items():
            observed = batch.observed[name]
            series = loss.averaged(simulated[name])[-observed.shape[0] :]
            part = loss(series, observed, batch.scale[name])
            total = total + self.weights.get(name, 1.0) * part
        return total

    def share(
        self, simulated: Mapping[str, Tensor], part: Batch, weights: Mapping[str, Tensor]
    ) -> Tensor:
        """What some cells of a batch add to its loss, shape ().

        Parameters
        ----------
        simulated : mapping of str to Tensor (spin-up + window, cell)
            By output.
        part : Batch
            Of these cells.
        weights : mapping of str to Tensor ()
            Sum of the weights of all cells of the batch, by output.
        """
        loss = torch.zeros((), device=part.attribute.device)
        for name, of in self.losses.items():
            observed = part.observed[name]
            series = of.averaged(simulated[name])[-observed.shape[0] :]
            total, _ = of.per_cell(series, observed)
            mean = (total * part.scale[name]).sum() / weights[name].clamp(min=1e-12)
            loss = loss + self.weights.get(name, 1.0) * mean
        return loss


@dataclass
class History:
    """What happened so far.

    Attributes
    ----------
    loss : list of float
        Mean loss of each epoch done.
    step : list of float
        Loss of each step of the epoch under way; NaN for a batch without cells.
    validation : list of float
        Loss of the validation cells after each epoch, where there are any.
    best : dict of str to Tensor
        State of the learner where that was lowest.
    """

    loss: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


class Watch(Protocol):
    """Interrupts training between two steps, with none under way: to keep its state, or to end."""

    def due(self) -> bool:
        """Say whether to interrupt after this step."""

    def rest(self) -> None:
        """Do what is due; an exception ends training."""


class Trainer:
    """Optimiser and schedule of one training run: their state is what a checkpoint keeps.

    ``factor``, where it is set, takes the place of the cosine: early stopping sets it.
    ``without_gradient`` counts, by label, the steps that a cell took no part in because its
    gradient was not finite.

    Parameters
    ----------
    learner : Learner
        Trained in place.
    learning_rate : float
        Highest rate, reached after a tenth of the steps, falling to nearly 0 along a cosine.
    steps : int
        Steps in all.
    weight_decay : float
        Decoupled weight decay (AdamW; Loshchilov & Hutter 2019, arXiv:1711.05101).
    shrinkage : float
        How strongly the cells' deviations are held near 0, as a number of observations: a cell
        with that many observations may deviate by about 1 before the penalty equals the loss.
    group : ProcessGroup
        The processes that train together.
    parts : int
        Parts of a batch that are simulated one after the other, so that each fits into memory.
    """

    def __init__(
        self,
        learner: Learner,
        learning_rate: float,
        steps: int,
        weight_decay: float,
        shrinkage: float = 0.0,
        group: ProcessGroup = ALONE,
        parts: int = 1,
    ) -> None:
        self.learner, self.learning_rate, self.steps = learner, learning_rate, steps
        self.done = 0
        self.factor: float | None = None
        self.without_gradient: Counter[str] = Counter()
        self.shrinkage, self.group, self.parts = shrinkage, group, parts
        weights = list(learner.network.parameters())
        if learner.mover is not None:
            weights += list(learner.mover.parameters())
        groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": weight_decay}]
        if learner.deviation is not None:
            # the penalty is its decay, and its entries are seen less often
            deviation = {"params": [learner.deviation], "weight_decay": 0.0}
            groups.append({**deviation, "factor": DEVIATION_RATE})
        place = next(learner.parameters()).device
        graphs = place.type == "cuda"  # that record a step want its rate on the device
        rate = torch.tensor(learning_rate, device=place) if graphs else learning_rate
        self.optimizer = torch.optim.AdamW(groups, lr=rate, fused=True, capturable=graphs)
        for one in self.optimizer.param_groups:
            one["lr"] = rate.clone() if isinstance(rate, Tensor) else rate
        self.halted = torch.zeros((), device=place)
        # where it is 1 the fused optimiser leaves the weights alone
        self.optimizer.found_inf = self.halted  # type: ignore[attr-defined]

    def rate(self) -> float:
        """Learning rate of the next step."""
        rise = max(1, self.steps // 10)
        if self.done < rise:
            return self.learning_rate * (self.done + 1) / rise
        if self.factor is not None:
            return self.learning_rate * self.factor
        share = (self.done - rise) / max(1, self.steps - rise)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))

    def step(self, batch: Batch, objective: Objective, dt: float) -> float:
        """Take one step; raises NonFiniteLoss, weights untouched, where loss or gradients break."""
        self.pace()
        return self.settle(self.advance(batch, objective, dt), batch.label, self.done)

    def pace(self) -> None:
        """Set the rates of the next step, and count it."""
        for one in self.optimizer.param_groups:
            rate = self.rate() * one.get("factor", 1.0)
            if isinstance(one["lr"], Tensor):
                one["lr"].fill_(rate)
            else:
                one["lr"] = rate
        self.done += 1

    def advance(self, batch: Batch, objective: Objective, dt: float) -> Outcome:
        """Do all of a step that its device does; nothing here waits for a result.

        Once loss or gradients have broken, the weights stay as they are until `settle` says so.
        """
        if self.parts > 1 or self.group.size > 1:
            return sharing.advance(self, batch, objective, dt)
        learner = self.learner
        raw = learner.raw(batch.attribute, batch.cycle if learner.reads_forcings else None)
        overflowed: list[Tensor] = []

        def tame(gradient: Tensor) -> Tensor:
            overflowed.append(~fine(gradient))
            return self.tame(gradient)

        raw, penalty = self._deviated(raw, batch)
        raw.register_hook(tame)  # after the deviations: their gradient is held, too
        daily = learner.daily(batch.attribute, batch.forcing, dt)
        if daily is not None:
            daily.register_hook(tame)
        parameter = learner.transform(raw, daily)
        simulated = learner.simulate(
            batch.forcing, parameter, dt=dt, outputs=tuple(objective.losses)
        )
        loss = objective(simulated, batch)
        self.optimizer.zero_grad(set_to_none=True)
        # relative to the loss: the same strength whatever the units of the observation
        (loss + penalty * loss.detach()).backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        without = torch.stack(overflowed).any(0)
        outcome = Outcome(loss.detach(), without, self.broken(simulated))
        self.hold(outcome)
        self.optimizer.step()
        return outcome

    def hold(self, outcome: Outcome) -> None:
        """Leave the weights alone from a step on that failed."""
        self.halted.copy_(torch.maximum(self.halted, _failed(outcome).to(self.halted.dtype)))

    @staticmethod
    def tame(gradient: Tensor) -> Tensor:
        """Hold what one cell can do to a step."""
        return tame(gradient)

    @staticmethod
    def broken(simulated: Mapping[str, Tensor]) -> Tensor:
        """Cells with a simulated value that is not finite: bool (cell,)."""
        return _broken(simulated)

    def settle(self, outcome: Outcome, label: NDArray[np.str_], number: int) -> float:
        """Return the loss of a step and count what was left out, or raise NonFiniteLoss."""
        outcome.wait()
        if _failed(outcome):
            self.halted.zero_()
            self.done = number - 1
            whole = bool(torch.isfinite(outcome.loss))
            which = outcome.overflowed if whole else outcome.broken
            what = "gradient" if whole else "loss"
            raise _non_finite(what, number, label[which.cpu().numpy()], len(label))
        self.without_gradient.update(label[outcome.overflowed.cpu().numpy()])
        return float(outcome.loss)

    def _deviated(self, raw: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Add their deviations to half of the cells, at random, and give the penalty.

        The other half is left to the network alone, so that it stays good where nothing was
        observed.
        """
        table = self.learner.deviation
        if table is None:
            return raw, raw.new_zeros(())
        own = table.index_select(0, batch.index)
        kept = torch.rand(len(own), 1, device=own.device) < 0.5
        weight = self.shrinkage / batch.count.clamp(min=1).to(own.dtype)
        penalty = (weight * (own**2).sum(1)).mean()
        return raw + torch.where(kept, own, 0.0), penalty


def _failed(outcome: Outcome) -> Tensor:
    """Whether a step must leave the weights alone: bool ()."""
    most = LARGEST_SHARE_WITHOUT_GRADIENT * len(outcome.overflowed)
    return ~torch.isfinite(outcome.loss) | (outcome.overflowed.sum() > most)


def _broken(simulated: Mapping[str, Tensor]) -> Tensor:
    """Cells with a simulated value that is not finite: bool (cell,)."""
    # 0 times what is not finite is NaN; torch's own test of each value takes ten times as long
    return ~torch.stack([(series * 0).sum(0) == 0 for series in simulated.values()]).all(0)


def _non_finite(what: str, number: int, names: NDArray[np.str_], cells: int) -> NonFiniteLoss:
    named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return NonFiniteLoss(
        f"the {what} of batch {number} is not finite, from {len(names)} of its "
        f"{cells} cells: {named or 'none by itself'}. The weights before that batch are "
        "kept in the `fit` of this error. Look at the forcings of these cells, leave them out with "
        "cells=, or lower learning_rate."
    )


def train(
    trainer: Trainer,
    objective: Objective,
    epoch_batches: Callable[[int, int], Iterator[Batch]],
    *,
    epochs: int,
    dt: float,
    history: History,
    after_epoch: Sequence[Callable[[int], None]] = (),
    watch: Watch | None = None,
    stopping: EarlyStopping | None = None,
) -> None:
    """Train for the epochs that `history` does not hold yet.

    Parameters
    ----------
    trainer : Trainer
        Learner, optimiser and schedule.
    objective : Objective
        What is made small.
    epoch_batches : callable
        Gives the batches of an epoch by its number, but for so many of the first ones; equal
        numbers give equal batches.
    epochs : int
        Epochs in all.
    dt : float
        Step of the model in days.
    history : History
        Receives the mean loss of each epoch. Where it holds steps, training goes on after these.
    after_epoch : sequence of callable
        Called with the number of epochs done: progress bar, checkpoint.
    watch : Watch, optional
        Asked after each step.
    stopping : EarlyStopping, optional
        Looks at validation cells after each epoch, stops when they gain no more, and returns to
        the weights that were best for them.

    Raises
    ------
    NonFiniteLoss
        Where loss or gradient are not finite; the weights are those before that batch.
    DataError
        No batch of an epoch has a cell with complete forcings.
    """
    trainer.learner.train()
    work: Work = partial(trainer.advance, objective=objective, dt=dt)
    ahead = AHEAD if trainer.halted.is_cuda else 0
    if trainer.halted.is_cuda and trainer.group.size == 1 and trainer.parts == 1:
        work = Replay(work)
    work = sharing.Halving(trainer, work, partial(trainer.advance, objective=objective, dt=dt))
    if stopping is not None:
        stopping.pace(trainer, history)
    for epoch in range(len(history.loss), epochs):
        if stopping is not None and stopping.enough(history):
            break
        batches = epoch_batches(epoch, len(history.step))
        for loss in _losses(trainer, work, batches, ahead, watch):
            history.step.append(loss)
        history.loss.append(mean_loss(history.step, epoch))
        history.step.clear()
        if stopping is not None:
            stopping.look(trainer, objective, dt, history)
        for call in after_epoch:
            call(epoch + 1)
    if stopping is not None:
        stopping.restore(trainer, history)
    trainer.learner.eval()


def _losses(
    trainer: Trainer,
    work: Work,
    batches: Iterator[Batch],
    ahead: int,
    watch: Watch | None = None,
) -> Iterator[float]:
    """Take the steps of an epoch, and give their losses; as many as ``ahead`` are under way."""
    under_way: deque[Step | None] = deque()
    for batch in batches:
        if whole := len(batch.label) > 0:  # else every cell has gaps
            trainer.pace()
        under_way.append((work(batch).on_host(), batch.label, trainer.done) if whole else None)
        pause = watch is not None and watch.due()
        while len(under_way) > (0 if pause else ahead):
            step = under_way.popleft()
            yield math.nan if step is None else trainer.settle(*step)
        if watch is not None and pause:
            watch.rest()
    yield from (math.nan if step is None else trainer.settle(*step) for step in under_way)
