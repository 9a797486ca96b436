"""The training loop: short enough to read, copy and change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .batches import Batch
from .errors import NonFiniteLoss
from .learner import Learner
from .losses import Loss

DEVIATION_RATE = 3.0
"""Learning rate of the deviations relative to that of the network."""

LARGEST_SHARE_WITHOUT_GRADIENT = 0.1
"""Share of a batch's cells whose gradient may fail to be finite before training stops."""

__all__ = ["History", "Objective", "Trainer", "train"]


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


@dataclass
class History:
    """Mean loss of each epoch done."""

    loss: list[float] = field(default_factory=list)


class Trainer:
    """Optimiser and schedule of one training run: their state is what a checkpoint keeps.

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
    """

    def __init__(
        self,
        learner: Learner,
        learning_rate: float,
        steps: int,
        weight_decay: float,
        shrinkage: float = 0.0,
    ) -> None:
        self.learner, self.learning_rate, self.steps = learner, learning_rate, steps
        self.done = 0
        self.without_gradient: Counter[str] = Counter()
        self.shrinkage = shrinkage
        groups: list[dict[str, Any]] = [
            {"params": list(learner.network.parameters()), "weight_decay": weight_decay}
        ]
        if learner.deviation is not None:
            # the penalty is its decay, and its entries are seen less often
            deviation = {"params": [learner.deviation], "weight_decay": 0.0}
            groups.append({**deviation, "factor": DEVIATION_RATE})
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, fused=True)

    def rate(self) -> float:
        """Learning rate of the next step."""
        rise = max(1, self.steps // 10)
        if self.done < rise:
            return self.learning_rate * (self.done + 1) / rise
        share = (self.done - rise) / max(1, self.steps - rise)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))

    def step(self, batch: Batch, objective: Objective, dt: float) -> float:
        """Take one step; raises NonFiniteLoss, weights untouched, where loss or gradients break."""
        learner = self.learner
        raw = learner.raw(batch.attribute, batch.cycle if learner.reads_forcings else None)
        overflowed: list[Tensor] = []

        def tame(gradient: Tensor) -> Tensor:
            overflowed.append(~torch.isfinite(gradient).all(dim=1))
            return _tame(gradient)

        raw, penalty = self._deviated(raw, batch)
        raw.register_hook(tame)  # after the deviations: their gradient is held, too
        parameter = learner.transform(raw)
        simulated = learner.simulate(
            batch.forcing, parameter, dt=dt, outputs=tuple(objective.losses)
        )
        loss = objective(simulated, batch)
        self.optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):
            raise _non_finite("loss", self.done, _broken(simulated, batch), batch)
        # relative to the loss: the same strength whatever the units of the observation
        (loss + penalty * loss.detach()).backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        cells = overflowed[0]
        if int(cells.sum()) > len(cells) * LARGEST_SHARE_WITHOUT_GRADIENT:
            raise _non_finite("gradient", self.done, cells, batch)
        self.without_gradient.update(batch.label[cells.cpu().numpy()])
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group.get("factor", 1.0)
        self.optimizer.step()
        self.done += 1
        return float(loss.detach())

    def _deviated(self, raw: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Add their deviations to half of the cells, at random, and give the penalty.

        The other half is left to the network alone, so that it stays good where nothing was
        observed.
        """
        table = self.learner.deviation
        if table is None:
            return raw, raw.new_zeros(())
        own = table[batch.index]
        kept = torch.rand(len(own), 1, device=own.device) < 0.5
        weight = self.shrinkage / batch.count.clamp(min=1).to(own.dtype)
        penalty = (weight * (own**2).sum(1)).mean()
        return raw + torch.where(kept, own, 0.0), penalty


def _tame(gradient: Tensor) -> Tensor:
    """Hold the gradient of each cell (cell, parameter) at 10 times the batch's median.

    Process models have places, such as a soil about to be saturated, where the gradient of one
    cell is larger than all others by orders of magnitude, or overflows; it would decide the step
    alone. One that is not finite is set to 0 (and counted by the caller).
    """
    fine = torch.isfinite(gradient).all(dim=1, keepdim=True)
    gradient = torch.where(fine, gradient, 0.0)
    size = gradient.abs().amax(dim=1, keepdim=True)
    limit = 10 * size[fine].median() if fine.any() else size.new_zeros(())
    tamed = gradient * (limit / size.clamp(min=1e-30))
    return torch.where((size > limit) & (limit > 0), tamed, gradient)


def _broken(simulated: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Cells of the batch with a simulated value that is not finite."""
    broken = torch.zeros(len(batch.label), dtype=torch.bool, device=batch.attribute.device)
    for series in simulated.values():
        broken |= ~torch.isfinite(series).all(0)
    return broken


def _non_finite(what: str, step: int, cells: Tensor, batch: Batch) -> NonFiniteLoss:
    labels = batch.label[cells.cpu().numpy()]
    named = ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
    return NonFiniteLoss(
        f"the {what} of batch {step + 1} is not finite, from {len(labels)} of its "
        f"{len(batch.label)} cells: {named or 'none by itself'}. The weights before that batch are "
        "kept in the `fit` of this error. Look at the forcings of these cells, leave them out with "
        "cells=, or lower learning_rate."
    )


def train(
    trainer: Trainer,
    objective: Objective,
    epoch_batches: Callable[[int], Iterator[Batch]],
    *,
    epochs: int,
    dt: float,
    history: History,
    after_epoch: Sequence[Callable[[int], None]] = (),
) -> None:
    """Train for the epochs that `history` does not hold yet.

    Parameters
    ----------
    trainer : Trainer
        Learner, optimiser and schedule.
    objective : Objective
        What is made small.
    epoch_batches : callable
        Gives the batches of an epoch by its number; equal numbers give equal batches.
    epochs : int
        Epochs in all.
    dt : float
        Step of the model in days.
    history : History
        Receives the mean loss of each epoch.
    after_epoch : sequence of callable
        Called with the number of epochs done: progress bar, checkpoint.

    Raises
    ------
    NonFiniteLoss
        Where loss or gradient are not finite; the weights are those before that batch.
    """
    trainer.learner.train()
    for epoch in range(len(history.loss), epochs):
        losses = [trainer.step(batch, objective, dt) for batch in epoch_batches(epoch)]
        history.loss.append(sum(losses) / len(losses))
        for call in after_epoch:
            call(epoch + 1)
    trainer.learner.eval()
