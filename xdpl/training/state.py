"""`TrainState`: everything that a training run changes."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..networks import Dynamic
from ..runtime.distributed import ALONE, ProcessGroup
from ..runtime.random import RandomStream

__all__ = ["DeviationRule", "History", "TrainState", "Trainable", "WarmupCosine", "heeds_halts"]


class Trainable(Protocol):
    """A parameter field as a training step sees it; `xdpl.parameters.Learner` is one.

    A step asks for the unbounded parameters first and for the bounded ones afterwards, because
    the deviations and the gradient clipping of single cells act on the unbounded ones.
    """

    @property
    def reads_forcings(self) -> bool:
        """Whether `raw` needs the annual cycle of the forcings."""

    @property
    def dynamic(self) -> Dynamic | None:
        """Parameters with one value per time step."""

    @property
    def deviation(self) -> nn.Parameter | None:
        """What each training cell deviates by (cell, size)."""

    def raw(self, attribute: Tensor, cycle: Tensor | None = None) -> Tensor:
        """Unbounded parameters (cell, size)."""

    def daily(
        self, attribute: Tensor, forcing: Mapping[str, Tensor] | None, dt: float
    ) -> Tensor | None:
        """What is added to dynamic parameters (time, cell, column); None where all are static."""

    def bounded(self, raw: Tensor, daily: Tensor | None = None) -> dict[str, Tensor]:
        """Parameters in physical units."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Weights and deviations."""

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, deviations and statistics, by name."""

    def load_state_dict(self, state_dict: Mapping[str, object]) -> object:
        """Take over what `state_dict` gave."""

    def train(self) -> object:
        """Switch to training: dropout, and cells without past observations at random."""

    def eval(self) -> object:
        """Switch to what is asked of a trained field."""


@dataclass
class History:
    """Losses so far.

    Attributes
    ----------
    loss : list of float
        Mean loss of each epoch done.
    step : list of float
        Loss of each step of the epoch under way; NaN for a batch without cells.
    validation : list of float
        Loss of the validation cells after each epoch, where there are any.
    best : dict of str to Tensor
        State of the field where that was lowest.
    """

    loss: list[float] = dataclasses.field(default_factory=list)
    step: list[float] = dataclasses.field(default_factory=list)
    validation: list[float] = dataclasses.field(default_factory=list)
    best: dict[str, Tensor] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class WarmupCosine:
    """Learning rate that rises over a tenth of the steps, and falls to a hundredth on a cosine.

    Parameters
    ----------
    steps : int
        Steps in all.
    """

    steps: int

    def __call__(self, peak: float, done: int, factor: float | None = None) -> float:
        """Rate of the step after ``done`` others.

        Parameters
        ----------
        peak : float
            Highest rate.
        done : int
            Steps done.
        factor : float, optional
            Takes the place of the cosine: early stopping sets it.
        """
        rise = max(1, self.steps // 10)
        if done < rise:
            return peak * (done + 1) / rise
        if factor is not None:
            return peak * factor
        share = (done - rise) / max(1, self.steps - rise)
        return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


@dataclass(frozen=True)
class DeviationRule:
    """How the cells' deviations from the network are learned (mixed effects).

    Parameters
    ----------
    shrinkage : float
        How strongly they are held near 0, as a number of observations: a cell with that many
        observations may deviate by about 1 before the penalty equals the loss.
    dropped : float
        Share of the cells, at random in each step, that go without their deviation. The network
        alone has to serve them, so that it stays good where nothing was observed.
    """

    shrinkage: float = 0.0
    dropped: float = 0.5


def heeds_halts(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer itself leaves the weights alone where its ``found_inf`` is 1."""
    return bool(optimizer.defaults.get("fused"))


@dataclass
class TrainState:
    """All that a training run changes; a checkpoint keeps it.

    Parameters
    ----------
    field : Trainable
        Trained in place.
    optimizer : torch.optim.Optimizer
        Of its weights and deviations, as `adamw` makes one. Each parameter group has a learning
        rate at the start, ``initial_lr``, and perhaps a ``factor`` for it.
    schedule : WarmupCosine
        Learning rate of each step.
    deviations : DeviationRule
        How deviations of single cells are learned.
    gradient_clip : float, optional
        Largest norm of the gradient of all weights together; None: no limit.
    random : RandomStream
        Random numbers of this run.
    group : ProcessGroup
        The processes that train together.
    microbatches : int
        Pieces of a batch that are simulated one after the other, so that each fits into memory.
    done : int
        Steps done.
    factor : float, optional
        In the place of the schedule's fall; early stopping sets it.
    history : History
        Losses so far.
    without_gradient : Counter of str
        Steps that each cell, by label, took no part in because its gradient was not finite.
    waited : float
        Seconds in which no batch was there yet, in this process.
    stop : bool
        Set it, in a callback, to end training after the epoch under way.
    ended_by : BaseException, optional
        What ended training before its time.
    halted : Tensor ()
        1 from a step that broke until it was reported; on the device, so that nobody waits. Where
        it is 1 the weights stay as they are.
    """

    field: Trainable
    optimizer: torch.optim.Optimizer
    schedule: WarmupCosine
    deviations: DeviationRule = DeviationRule()
    gradient_clip: float | None = 1.0
    random: RandomStream = dataclasses.field(default_factory=lambda: RandomStream(0))
    group: ProcessGroup = ALONE
    microbatches: int = 1
    done: int = 0
    factor: float | None = None
    history: History = dataclasses.field(default_factory=History)
    without_gradient: Counter[str] = dataclasses.field(default_factory=Counter)
    waited: float = 0.0
    stop: bool = False
    ended_by: BaseException | None = None
    halted: Tensor = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.halted = torch.zeros((), device=next(self.field.parameters()).device)
        for group in self.optimizer.param_groups:
            rate = group["lr"]
            group.setdefault("initial_lr", float(rate))
            group["lr"] = rate.clone() if isinstance(rate, Tensor) else rate
        if heeds_halts(self.optimizer):
            self.optimizer.found_inf = self.halted  # type: ignore[attr-defined]

    @property
    def device(self) -> torch.device:
        """Where training runs."""
        return self.halted.device
