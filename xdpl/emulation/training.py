"""Train the network of a surrogate on runs of the true model."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import NonFiniteLoss
from ..runtime.progress import tqdm
from ..surrogate import Emulator
from . import checkpoint

__all__ = ["Runs", "Schedule", "pieces", "train_emulator"]

LEARNING_RATE = 4e-3
AN_EPOCH = 50
"""Steps between checkpoints."""
TOGETHER = 256
"""Runs whose outputs are in memory at a time."""
ROOT_WEIGHT = 0.5
"""Weight of errors of the square root, which low flows count in, beside those of the values."""


@dataclass(frozen=True)
class Runs:
    """Runs of the true model, as tensors.

    Attributes
    ----------
    forcing : Tensor (time, cell, forcing)
        Of all cells.
    share : Tensor (run, parameter)
        Parameters as shares of their bounds.
    cell : Tensor of int (run,)
        Place of each run's cell.
    output : Tensor (run, time, output)
        What the true model gave; on the CPU, and perhaps on disk: it is the one that grows with
        cells x samples x steps, so that it is only read in pieces.
    spin_up : int
        Steps at the beginning that are not learned from.
    """

    forcing: Tensor
    share: Tensor
    cell: Tensor
    output: Tensor
    spin_up: int

    def to(self, device: torch.device) -> Runs:
        """Copy all but the output to a device."""
        return Runs(
            self.forcing.to(device),
            self.share.to(device),
            self.cell.to(device),
            self.output,
            self.spin_up,
        )

    def true(self, index: NDArray[np.intp]) -> Tensor:
        """Outputs of some runs after the spin-up, (run, time, output), on the CPU."""
        return self.output[torch.from_numpy(index), self.spin_up :]

    def scales(self, index: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        """Spread of each run's output and of its square root, softened: (run, output) each.

        NaN for all runs but the chosen ones: nothing of the others is learned.
        """
        spread, root = self.output.new_full((2, len(self.output), self.output.shape[-1]), torch.nan)
        for some in pieces(index):
            inside = self.true(some)
            rows = torch.from_numpy(some)
            spread[rows], root[rows] = inside.std(1), inside.clamp(min=0).sqrt().std(1)
        device = self.share.device
        chosen = torch.from_numpy(index)
        return _softened(spread, chosen).to(device), _softened(root, chosen).to(device)


def pieces(index: NDArray[np.intp], together: int = TOGETHER) -> Iterator[NDArray[np.intp]]:
    """Parts of some runs, so that never more than these are in memory."""
    for at in range(0, len(index), together):
        yield index[at : at + together]


@dataclass(frozen=True)
class Schedule:
    """How long and in which batches.

    Attributes
    ----------
    epochs : int
        Of `AN_EPOCH` steps each.
    batch_size : int
        Runs in a batch.
    window : int
        Steps with loss, after a year of spin-up.
    learning_rate : float
        Highest, reached after a twentieth of the steps; it falls to nearly 0 along a cosine.
    seed : int
        Of the batches.
    recent : ndarray of int
        Runs of which half of each batch is drawn, where there are any.
    """

    epochs: int
    batch_size: int
    window: int
    learning_rate: float
    seed: int
    recent: NDArray[np.intp]

    def draw(
        self, epoch: int, runs: NDArray[np.intp], steps: int, spin_up: int
    ) -> Iterator[tuple[NDArray[np.intp], int]]:
        """Batches of an epoch: runs, and where their window begins."""
        draw = np.random.default_rng([self.seed, epoch])
        window = min(self.window, steps - spin_up)
        half = self.batch_size // 2 if len(self.recent) else 0
        for _ in range(AN_EPOCH):
            chosen = draw.choice(runs, self.batch_size - half)
            if half:
                chosen = np.r_[chosen, draw.choice(self.recent, half)]
            yield chosen, int(draw.integers(spin_up, steps - window + 1))


def _softened(spread: Tensor, chosen: Tensor) -> Tensor:
    """Add a twentieth of what is usual, so that runs with next to no variance don't rule.

    The mean is that of the chosen runs, one after the other: with others in between, which a store
    may hold for other calls, it would be added up in another order.
    """
    return spread + 0.05 * spread[chosen].nanmean(0) + 1e-6


class _Trainer:
    """Emulator, optimiser and schedule."""

    def __init__(self, emulator: Emulator, schedule: Schedule) -> None:
        self.emulator, self.schedule = emulator, schedule
        self.done = 0
        self.optimizer = torch.optim.AdamW(
            emulator.parameters(), lr=schedule.learning_rate, weight_decay=1e-5
        )

    def rate(self) -> float:
        steps = self.schedule.epochs * AN_EPOCH
        rise = max(1, steps // 20)
        share = min(1.0, max(0, self.done - rise) / max(1, steps - rise))
        fall = 0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * share))
        return self.schedule.learning_rate * min(1.0, (self.done + 1) / rise) * fall

    def step(
        self, runs: Runs, scales: tuple[Tensor, Tensor], chosen: NDArray[np.intp], start: int
    ) -> float:
        emulator, spin_up, device = self.emulator, runs.spin_up, runs.share.device
        rows = torch.from_numpy(chosen)
        index = rows.to(device)
        stop = start + min(self.schedule.window, len(runs.forcing) - start)
        forcing = runs.forcing[start - spin_up : stop].index_select(1, runs.cell[index])
        found, _ = emulator(forcing, runs.share[index])
        loss = misfit(
            found[spin_up:].movedim(0, 1),
            runs.output[rows, start:stop].to(device),
            scales[0][index, None],
            scales[1][index, None],
            emulator.positive,
        )
        if not torch.isfinite(loss):
            raise NonFiniteLoss(
                f"the loss of step {self.done + 1} of the surrogate is not finite. Look at the "
                "outputs of the true runs, or lower learning_rate."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(emulator.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        self.done += 1
        return float(loss.detach())


def misfit(found: Tensor, true: Tensor, spread: Tensor, root: Tensor, positive: Tensor) -> Tensor:
    """Squared errors relative to each run's own spread, of values and of square roots.

    Parameters
    ----------
    found, true : Tensor (run, time, output)
        Of surrogate and true model.
    spread, root : Tensor (run, 1, output)
        Of the values and of their square roots.
    positive : Tensor (output,)
        1 where an output is never negative: only of these are there roots.
    """
    straight = ((found - true) / spread).pow(2).mean()
    if not bool((positive > 0).any()):
        return straight
    roots = (found.clamp(min=0) + 1e-6).sqrt() - (true.clamp(min=0) + 1e-6).sqrt()
    return straight + ROOT_WEIGHT * ((roots / root).pow(2) * positive).mean()


def train_emulator(
    emulator: Emulator,
    runs: Runs,
    chosen: NDArray[np.intp],
    schedule: Schedule,
    *,
    folder: Path,
    progress: bool = True,
) -> list[float]:
    """Train in place on the chosen runs; return the loss of each epoch.

    An interrupted training goes on from the folder where it was, and comes to the same end.
    """
    trainer = _Trainer(emulator, schedule)
    done = checkpoint.resume(folder, emulator, trainer.optimizer)
    trainer.done = len(done) * AN_EPOCH
    scales = runs.scales(chosen)
    with tqdm(
        total=schedule.epochs,
        initial=len(done),
        desc="surrogate",
        unit="epoch",
        disable=not progress,
        file=sys.stderr,
    ) as bar:
        for epoch in range(len(done), schedule.epochs):
            losses = [
                trainer.step(runs, scales, index, start)
                for index, start in schedule.draw(epoch, chosen, len(runs.forcing), runs.spin_up)
            ]
            done.append(sum(losses) / len(losses))
            checkpoint.write(folder, emulator, trainer.optimizer, done)
            bar.update(1)
            bar.set_postfix_str(f"loss {done[-1]:.4g}", refresh=False)
    return done
