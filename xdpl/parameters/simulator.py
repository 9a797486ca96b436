"""`Simulator`: whatever turns forcings and parameters into outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..process import ProcessModel

__all__ = ["KnownCells", "ProcessSimulator", "Simulator", "simulate_mean"]


@runtime_checkable
class Simulator(Protocol):
    """Runs a model in some cells.

    Process models run in the engine, with gradients (`ProcessSimulator`); an external model runs
    on its own, without.
    """

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float,
        outputs: Sequence[str] | None = None,
        time: Sequence[object] | None = None,
        label: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Outputs (time, cell).

        Parameters
        ----------
        forcing : mapping of str to Tensor (time, cell)
            Begins with the spin-up.
        parameter : mapping of str to Tensor
            As a `ParameterField` gives them.
        dt : float
            Length of a time step in days.
        outputs : sequence of str, optional
            All by default.
        time : sequence, optional
            Times of the steps after the spin-up. External models need them.
        label : sequence of str, optional
            Names of the cells. External models need them.
        """


@dataclass(frozen=True)
class ProcessSimulator:
    """A process model, and the engine that runs its time loop.

    Parameters
    ----------
    model : ProcessModel
    engine : {"auto", "eager", "fused"}
    """

    model: ProcessModel
    engine: str = "auto"

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float,
        outputs: Sequence[str] | None = None,
        time: Sequence[object] | None = None,
        label: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Run the model; times and labels change nothing."""
        results, _ = self.model.simulate(
            forcing, parameter, dt=dt, outputs=outputs, engine=self.engine
        )
        return results


@dataclass(frozen=True)
class KnownCells:
    """Another simulator, and NaN where a parameter is NaN.

    Comparisons with NaN are false, so that a step may turn unknown parameters into numbers.

    Parameters
    ----------
    inner : Simulator
    """

    inner: Simulator

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float,
        outputs: Sequence[str] | None = None,
        time: Sequence[object] | None = None,
        label: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Run the inner simulator."""
        unknown = torch.stack(
            [torch.isnan(v).reshape(len(v), -1).any(1) for v in parameter.values()]
        ).any(0)
        results = self.inner.simulate(
            forcing, parameter, dt=dt, outputs=outputs, time=time, label=label
        )
        return {name: torch.where(unknown, torch.nan, v) for name, v in results.items()}


def simulate_mean(
    simulator: Simulator,
    forcing: Mapping[str, Tensor],
    members: Sequence[Mapping[str, Tensor]],
    *,
    dt: float,
    outputs: Sequence[str] | None = None,
    time: Sequence[object] | None = None,
    label: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Run a model with the parameters of every member, and average the outputs (time, cell).

    The mean of simulations, not the simulation with mean parameters: models are not linear.

    Parameters
    ----------
    simulator, forcing, dt, outputs, time, label
        As of `Simulator.simulate`.
    members : sequence of mapping of str to Tensor
        Parameters of each member, one at least.
    """
    total: dict[str, Tensor] = {}
    for parameter in members:
        found = simulator.simulate(
            forcing, parameter, dt=dt, outputs=outputs, time=time, label=label
        )
        total = {k: v + total[k] for k, v in found.items()} if total else dict(found)
    if len(members) == 1:
        return total
    return {name: series / len(members) for name, series in total.items()}
