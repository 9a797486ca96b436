"""Training of one learner, or of several that differ by their seed alone, on one survey."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..batches import Cells
from ..errors import NonFiniteLoss
from ..parameters.ensemble import Ensemble
from ..parameters.learner import Learner
from ..parameters.simulator import ProcessSimulator
from ..prediction.fit_record import FitSettings
from ..runtime.files import as_path
from ..runtime.locks import locked
from ..runtime.random import RandomStream
from ..training.callbacks import Callback
from ..training.checkpoint import Checkpoint, fingerprint
from ..training.early_stopping import best
from ..training.objective import Objective
from ..training.optimizer import OptimizerFactory, adamw, optimizer_by
from ..training.run import Plan, Run
from ..training.signature import Signature
from ..training.state import DeviationRule, TrainState, WarmupCosine
from ..training.step_memory import microbatches_for
from .holdout import Holdout

__all__ = ["Recipe", "Trained"]

SHRINKAGE = 10.0
FEW = 8
"""Cells whose forcings tell one Dataset from another."""

TOGETHER = 256
"""Cells whose series are copied at a time, to be compared."""


@dataclass
class Trained:
    """What training gave.

    Attributes
    ----------
    plan : Plan
        Cells and their batches.
    members : list of Learner
        In the order of their seeds. One that was stopped is left out, unless it is the first.
    runs : list of Run
        How each of them was trained.
    stopped : NonFiniteLoss or KeyboardInterrupt, optional
        What ended training early.
    """

    plan: Plan
    members: list[Learner] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    stopped: NonFiniteLoss | KeyboardInterrupt | None = None

    @property
    def said(self) -> str:
        """What an interruption left."""
        if len(self.runs) == 1:
            return "interrupted; these are the weights reached by then"
        whole = len(self.members)
        return f"interrupted; only the first {whole} of the members are there"

    def learner(self) -> Learner | Ensemble:
        """The one learner, or all members as an ensemble."""
        for member in self.members:
            member.to("cpu").eval()
        return self.members[0] if len(self.members) == 1 else Ensemble(self.members).eval()

    @property
    def loss(self) -> list[float]:
        """Loss of each epoch, the mean over the members that got so far."""
        histories = [run.history.loss for run in self.runs[: len(self.members)]]
        longest = max(map(len, histories))
        epochs = [[loss[i] for loss in histories if i < len(loss)] for i in range(longest)]
        return [sum(losses) / len(losses) for losses in epochs]

    @property
    def validated(self) -> dict[str, object]:
        """Loss of the validation cells after each epoch, and the best epoch, of each member."""
        histories = [run.history.validation for run in self.runs[: len(self.members)]]
        if not any(histories):
            return {}
        return {
            "validation": histories,
            "best_epoch": [best(losses) + 1 if losses else 0 for losses in histories],
        }

    @property
    def without_gradient(self) -> Counter[str]:
        """Steps that each cell took no part in, over all members."""
        total: Counter[str] = Counter()
        for run in self.runs:
            total.update(run.state.without_gradient)
        return total


def _current(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Make a GPU the current one, where it is one."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


@dataclass(frozen=True)
class Recipe:
    """How a member is trained, whatever its seed.

    Parameters
    ----------
    make : callable
        Builds a learner with first weights from torch's random state.
    simulator : ProcessSimulator
        Runs the model.
    objective : Objective
        What is made small with it.
    plan : Plan
        Cells and batches.
    settings : FitSettings
        Every choice made.
    identity : mapping
        What a run is made of, for its checkpoint.
    holdout : Holdout, optional
        Validation cells, of all members alike.
    optimizer : callable, optional
        Makes the optimizer of the weights; AdamW by default.
    callbacks : tuple of Callback
        Look at the training of every member.
    """

    make: Callable[[], Learner]
    simulator: ProcessSimulator
    objective: Objective
    plan: Plan
    settings: FitSettings
    identity: Mapping[str, object]
    holdout: Holdout | None = None
    optimizer: OptimizerFactory | None = None
    callbacks: tuple[Callback, ...] = ()

    def train(self, folder: str | Path | None, progress: bool) -> Trained:
        """Train all members, one after the other; with a folder, from where they had got to.

        A second process with the same folder waits, and then finds all done.
        """
        if folder is None or not self.plan.group.first:
            return self._train(folder, progress)
        place = as_path(folder, "checkpoint")
        with locked(place / ".xdpl-lock", f"checkpoints to {str(place)!r}"):
            return self._train(folder, progress)

    def _train(self, folder: str | Path | None, progress: bool) -> Trained:
        trained = Trained(self.plan)
        device = self.plan.device
        forcing = {} if folder is None else _some(self.plan.cells)  # read once for all members
        values = "" if folder is None else _signature(self.plan.cells)
        for number in range(self.settings.ensemble):
            seed = self.settings.seed + number
            random = RandomStream(seed, device)
            with _current(device):  # graphs, streams and events are of the current GPU
                with random.drawing():
                    learner = self.make()
                run = self._run(learner, random, seed)
                stopped = run(self._checkpoint(folder, seed, forcing, values), progress)
            trained.runs.append(run)
            if stopped is None or not trained.members:
                trained.members.append(learner)
            if stopped is not None:
                trained.stopped = stopped
                break
        return trained

    def _run(self, learner: Learner, random: RandomStream, seed: int) -> Run:
        epochs = self.settings.epochs
        plan = replace(self.plan, seed=seed)
        most = min(plan.batch_size, len(plan.cells))
        steps = plan.window + plan.warmup
        state = TrainState(
            learner,
            self._optimizer(learner),
            WarmupCosine(epochs * plan.batches),
            DeviationRule(SHRINKAGE),
            self.settings.gradient_clip,
            random=random,
            group=plan.group,
            microbatches=microbatches_for(learner, self.simulator, most, steps, plan.device),
        )
        stopping = None if self.holdout is None else self.holdout.stopping(self.objective)
        columns = learner.transform.components
        return Run(state, self.objective, plan, epochs, stopping, self.callbacks, columns)

    def _optimizer(self, learner: Learner) -> torch.optim.Optimizer:
        if self.optimizer is None:
            return adamw(learner, self.settings.learning_rate)
        return optimizer_by(self.optimizer, learner)

    def _checkpoint(
        self, folder: str | Path | None, seed: int, forcing: Mapping[str, Tensor], values: str
    ) -> Checkpoint | None:
        """A folder for each seed: a larger ensemble goes on with the members that are there."""
        if folder is None:
            return None
        cells = self.plan.cells
        own = {k: v for k, v in self.identity.items() if k != "ensemble"} | {"seed": seed}
        attribute = cells.attribute if cells.past is None else cells.inputs()
        if cells.climate is not None:
            forcing = {**forcing, "climate": cells.climate}
        several = self.settings.ensemble > 1
        root = as_path(folder, "checkpoint")
        place = root / f"seed-{seed}" if several else root
        identity = fingerprint(cells.label, cells.count, attribute, cells.scale, forcing, **own)
        identity["values"] = values
        return Checkpoint(place, identity, cells.incomplete)


def _signature(cells: Cells) -> str:
    """Numbers that tell the values of all series in their order; of a few cells of a store."""
    few = np.unique(np.linspace(0, len(cells) - 1, FEW).astype(int))
    chosen = np.arange(len(cells)) if cells.in_memory else few
    found = Signature(len(cells))
    for at in range(0, len(chosen), TOGETHER):
        some = chosen[at : at + TOGETHER]
        batch = cells.take(some, cells.period.start, cells.period.stop, 0)
        index = batch.index.cpu().numpy()
        found.add(index, {f"forcing {name}": v for name, v in batch.forcing.items()})
        found.add(index, {f"observed {name}": v for name, v in batch.observed.items()})
    return found.text()


def _some(cells: Cells) -> dict[str, Tensor]:
    """Forcings of a few of the training cells over the training period: (time, cell)."""
    index = np.unique(np.linspace(0, len(cells) - 1, FEW).astype(int))
    return cells.take(index, cells.period.start, cells.period.stop, 0).forcing
