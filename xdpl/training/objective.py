"""`Objective`: what training makes small."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..batches import Batch
from ..losses import Loss
from ..parameters.simulator import Simulator

__all__ = ["Objective"]


@dataclass(frozen=True)
class Objective:
    """Runs the model and compares it with observations: a loss for each, weighted and added.

    Each loss is the mean over its own observations, so that a sparse one counts as much as a dense
    one.

    Parameters
    ----------
    losses : mapping of str to Loss
        By model output.
    simulator : Simulator
        Runs the model.
    dt : float
        Length of a time step in days.
    weights : mapping of str to float
        Factor of each loss; 1 where not given.
    """

    losses: Mapping[str, Loss]
    simulator: Simulator
    dt: float = 1.0
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def simulate(self, batch: Batch, parameter: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Simulate the observed outputs of a batch: {output: (spin-up + window, cell)}."""
        return self.simulator.simulate(
            batch.forcing, parameter, dt=self.dt, outputs=tuple(self.losses)
        )

    def __call__(self, simulated: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Loss of a batch, shape (); simulated {output: (spin-up + window, cell)}."""
        total = torch.zeros((), device=batch.attribute.device)
        for name, loss in self.losses.items():
            observed = batch.observed[name]
            series = loss.averaged(simulated[name])[-observed.shape[0] :]
            one = loss(series, observed, batch.scale[name])
            total = total + self.weights.get(name, 1.0) * one
        return total

    def denominators(self, batch: Batch) -> Tensor:
        """Sum of the weights of all observations of a batch, (loss,); a sum has one a term."""
        sums = []
        for name, loss in self.losses.items():
            observed = batch.observed[name]
            _, weight = loss.per_cell(torch.nan_to_num(observed), observed)
            sums.append(weight.sum(0).to(torch.float32).reshape(-1))
        return torch.cat(sums)

    def share(self, simulated: Mapping[str, Tensor], some: Batch, denominators: Tensor) -> Tensor:
        """What some cells of a batch add to its loss, shape ().

        Parameters
        ----------
        simulated : mapping of str to Tensor (spin-up + window, cell)
            By output.
        some : Batch
            Of these cells.
        denominators : Tensor (loss,)
            Of the whole batch.
        """
        loss = torch.zeros((), device=some.attribute.device)
        left = denominators
        for name, of in self.losses.items():
            observed = some.observed[name]
            series = of.averaged(simulated[name])[-observed.shape[0] :]
            total, _ = of.per_cell(series, observed)
            sums = (total * some.scale[name]).sum(0).reshape(-1)
            weight, left = left[: len(sums)], left[len(sums) :]
            mean = (sums / weight.clamp(min=1e-12)).sum()
            loss = loss + self.weights.get(name, 1.0) * mean
        return loss
