"""Sensitivity and identifiability of parameters, by moving them one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..losses import Loss
from ..parameters.simulator import Simulator
from ..parameters.transforms import ParameterTransform, from_share, share_of

__all__ = ["STEP", "Evidence", "evidence"]

STEP = 0.05
"""How far each parameter is moved up and down, as a share of its range."""

FINEST = 0.01
"""Error of an observation at least, relative to its standard deviation in the cell."""

Series = dict[str, Tensor]


@dataclass(frozen=True)
class Evidence:
    """Sensitivity and identifiability by observations; NaN where a cell has none.

    Attributes
    ----------
    sensitivity : dict of str to Tensor (cell,)
        Relative change of the cell's loss as the parameter is moved by a twentieth of its range,
        mean of up and down, all others held.
    identifiability : dict of str to Tensor (cell,)
        By how much the observations narrow the parameter, all others being unknown as well: 1
        minus the ratio of its standard deviation after to that before (see `evidence`).
    """

    sensitivity: dict[str, Tensor]
    identifiability: dict[str, Tensor]


@torch.no_grad()
def evidence(
    simulator: Simulator,
    transform: ParameterTransform,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    observed: Mapping[str, Tensor],
    losses: Mapping[str, Loss],
    *,
    dt: float,
    weights: Mapping[str, float] | None = None,
) -> Evidence:
    """Move each parameter up and down, and compare loss and simulation.

    Parameters
    ----------
    simulator : Simulator
        Runs the model.
    transform : ParameterTransform
        Declares the parameters.
    forcing : mapping of str to Tensor (spin-up + time, cell)
    parameter : mapping of str to Tensor
        As the learner gives them. All components are moved together.
    observed : mapping of str to Tensor (time, cell)
        By output; NaN where nothing was observed.
    losses : mapping of str to Loss
        By output.
    dt : float
        Step of the model in days.
    weights : mapping of str to float, optional
        Of the losses of several outputs; 1 by default.

    Notes
    -----
    With the slopes J of the simulation at the observed times, an error variance s2 estimated by
    the misfit, and n observations that are worth n' = n (1 - r) / (1 + r) independent ones for the
    lag-1 correlation r of the errors, the precision of the parameters on the unit scale is
    J'J n' / (n s2) + 12 I, where 12 is that of a value which may lie anywhere in its bounds.
    Linear, so a picture near the parameters found; the relative error reduction of Doherty and
    Hunt (2009), doi:10.1016/j.jhydrol.2008.12.018, in standard deviations.
    """
    names, weights = tuple(losses), weights or {}

    def run(values: Mapping[str, Tensor]) -> Series:
        steps = observed[names[0]].shape[0]
        found = simulator.simulate(forcing, values, dt=dt, outputs=names)
        return {name: losses[name].averaged(found[name])[-steps:] for name in names}

    def loss_of(simulated: Series) -> Tensor:
        each = [
            weights.get(k, 1.0) * _cell_loss(losses[k], simulated[k], observed[k]) for k in names
        ]
        # a cell where only some of the variables were observed has the loss of these
        together = torch.stack(each)
        unseen = torch.isnan(together).all(0)
        return torch.where(unseen, torch.nan, together.nansum(0))

    base = run(parameter)
    before = loss_of(base)
    sensitivity: dict[str, Tensor] = {}
    slopes: dict[str, list[Tensor]] = {name: [] for name in names}
    for name in transform.parameters:
        after, slope = _moved(transform, parameter, name, run)
        change = torch.stack([(loss_of(one) - before).abs() for one in after]).mean(0)
        sensitivity[name] = change / before.clamp(min=1e-12)
        for output in names:
            slopes[output].append(slope[output])
    precision = torch.stack(
        [_information(torch.stack(slopes[k]), base[k], observed[k]) for k in names]
    ).sum(0)
    return Evidence(sensitivity, _narrowed(precision, list(sensitivity), before))


def _cell_loss(loss: Loss, simulated: Tensor, observed: Tensor) -> Tensor:
    """Loss of each cell by itself; NaN where nothing was observed."""
    scale = loss.scale(observed.double()).to(simulated.dtype)
    return loss.of_each_cell(simulated, observed, scale)


def _moved(
    transform: ParameterTransform,
    parameter: Mapping[str, Tensor],
    name: str,
    run: Callable[[Mapping[str, Tensor]], Series],
) -> tuple[list[Series], Series]:
    """Simulations with a parameter moved down and up, and the slope between them."""
    declared = transform.parameters[name]
    share = share_of(parameter[name], declared)
    ends = [(share + step).clamp(0, 1) for step in (-STEP, STEP)]  # less far at a bound
    after = [run({**parameter, name: from_share(end, declared)}) for end in ends]
    width = ends[1] - ends[0]
    cell = width.dim() - (1 if declared.shared else 2)  # (time, cell) or (time, cell, component)
    others = [d for d in range(width.dim()) if d != cell]
    width = width.mean(others) if others else width
    return after, {k: (after[1][k] - after[0][k]) / width for k in after[0]}


def _information(slope: Tensor, simulated: Tensor, observed: Tensor) -> Tensor:
    """Precision (cell, parameter, parameter) that the observations of one output give."""
    seen = ~torch.isnan(observed)
    count = seen.sum(0).clamp(min=1).double()
    error = torch.where(seen, simulated - observed, 0.0).double()
    value = torch.where(seen, observed, 0.0).double()
    spread = (value**2).sum(0) / count - (value.sum(0) / count) ** 2
    variance = (error**2).sum(0) / count
    variance = torch.maximum(variance, FINEST**2 * spread).clamp(min=1e-12)
    at_observed = torch.where(seen, slope, 0.0).double()
    product = torch.einsum("ptc,qtc->cpq", at_observed, at_observed)
    return product * (_independent(error, seen) / variance)[:, None, None]


def _independent(error: Tensor, seen: Tensor) -> Tensor:
    """Share of the observations that are as good as independent, from their lag-1 correlation."""
    step = torch.arange(len(seen))[:, None]
    last = torch.where(seen, step, -1).cummax(0).values.roll(1, 0)
    last[0] = -1
    paired = seen & (last >= 0)
    before = error.gather(0, last.clamp(min=0))
    product = torch.where(paired, error * before, 0.0).sum(0)
    size = torch.where(paired, 0.5 * (error**2 + before**2), 0.0).sum(0)
    correlation = (product / size.clamp(min=1e-30)).clamp(0.0, 0.99)
    return (1 - correlation) / (1 + correlation)


def _narrowed(precision: Tensor, names: list[str], loss: Tensor) -> dict[str, Tensor]:
    """Identifiability of each parameter (cell,) from the precision (cell, parameter, parameter)."""
    known = torch.isfinite(loss) & torch.isfinite(precision).all(2).all(1)
    result = torch.full((len(names), len(loss)), torch.nan, dtype=torch.float64)
    prior = 12.0 * torch.eye(len(names), dtype=torch.float64)
    variance = torch.linalg.inv(precision[known] + prior).diagonal(dim1=1, dim2=2)
    result[:, known] = (1 - (12.0 * variance).clamp(0, 1).sqrt()).T
    return dict(zip(names, result.float(), strict=True))
