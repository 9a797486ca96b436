"""What a learner is built of, and how to build one for the cells at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..batches import Cells
from ..networks import Dynamic, Network
from ..parameters.learner import Learner
from .problem import Problem

__all__ = ["Blueprint"]

SAMPLE = 200
"""Cells whose forcings are looked at for their mean and spread."""


@dataclass(frozen=True)
class Blueprint:
    """Choices that shape a learner.

    Parameters
    ----------
    network, dynamic, components
        As of `Learner`.
    deviations : bool
        Whether each training cell has a deviation of its own.
    precision
        As of `Learner`.
    """

    network: Network
    dynamic: Dynamic | None
    components: int
    deviations: bool
    precision: str = "float32"

    def maker(
        self, problem: Problem, training: Cells, device: torch.device
    ) -> Callable[[], Learner]:
        """Return what makes one learner after the other, each from torch's random state."""
        weather = _weather(training) if self.dynamic else {}

        def make() -> Learner:
            learner = Learner(
                self.network,
                problem.model,
                [len(role.classes or ()) for role in problem.layout.attributes],
                self.components,
                cells=len(training) if self.deviations else 0,
                dynamic=self.dynamic,
                past=0 if training.past is None else training.past.shape[1],
                climate=0 if training.climate is None else training.climate.shape[1],
                precision=self.precision,
            )
            learner.learn_statistics(training.inputs(), training.cycle)
            if self.dynamic:
                learner.learn_weather(weather)
            return learner.to(device)

        return make

    def identity(self, problem: Problem) -> dict[str, object]:
        """What tells a run from others, besides its settings."""
        return {
            "model": problem.model,
            "network": self.network,
            "losses": dict(problem.losses),
            "components": self.components,
            "moving": self.dynamic,
            "layout": problem.layout.identity(),
        }


def _weather(training: Cells) -> dict[str, Tensor]:
    """Forcings of some of the training cells over the training period: (time, cell)."""
    some = np.arange(0, len(training), -(-len(training) // SAMPLE))
    return training.take(some, training.period.start, training.period.stop, 0).forcing
