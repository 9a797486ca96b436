"""Losses: sums over cells, so that any split of the cells into batches adds up to the same."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from .engine import squared_misfit
from .errors import DeclarationError
from .running import running_mean

ENOUGH = 10
"""Observations of a cell from which its spread can be told."""

__all__ = ["KGE", "MSE", "NSE", "Loss", "WeightedSum"]


@dataclass(frozen=True)
class Loss(ABC):
    """Misfit of simulated to observed values, per cell and additive over cells.

    NaN in the observations is "not observed" and carries neither loss nor gradient. Losses can be
    added and scaled: ``NSE() + 0.5 * KGE()``.

    Parameters
    ----------
    average : int
        Steps over which each observation is a mean, its own step the last of them: 7 for weekly
        means on a daily axis. The simulation is averaged likewise before it is compared.
    """

    average: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        number = self.average
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise DeclarationError(
                f"average={number!r} of {type(self).__name__} can't be used. Give the number of "
                "steps that an observation is a mean of: a whole number above 0."
            )

    @property
    def options(self) -> dict[str, Any]:
        """Options that rebuild the loss: ``type(loss)(**loss.options)``."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        """Name and the options that are not the usual ones."""
        changed = [(f.name, getattr(self, f.name)) for f in fields(self)]
        usual = {f.name: f.default for f in fields(self)}
        text = ", ".join(f"{k}={v!r}" for k, v in changed if v != usual[k])
        return f"{type(self).__name__}({text})"

    def scale(self, observed: Tensor) -> Tensor:
        """Weight of each cell, from all that was observed in it in the training period.

        Parameters
        ----------
        observed : Tensor (time, cell)
            Observations with NaN where there are none.

        Returns
        -------
        Tensor (cell,)
            Factor of the cell's loss; ones by default.
        """
        return observed.new_ones(observed.shape[1])

    def settled(self, scale: Tensor, count: Tensor) -> Tensor:
        """Adjust the weights once those of all training cells are known; unchanged by default.

        Parameters
        ----------
        scale, count : Tensor (cell,)
            What `scale` gave, and the number of observations, of every training cell.
        """
        return scale

    def averaged(self, simulated: Tensor) -> Tensor:
        """Mean of (time, cell) over the last ``average`` steps, or those that there are."""
        return running_mean(simulated, self.average)

    @abstractmethod
    def per_cell(self, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the misfit of each cell, and its weight.

        Parameters
        ----------
        simulated, observed : Tensor (time, cell)
            In the same units; NaN in ``observed`` where nothing was observed.

        Returns
        -------
        total, weight : Tensor (cell,)
            The loss of any set of cells is ``sum(total * scale) / sum(weight)``. A cell without
            observations has total 0 and weight 0. A sum of losses has a column for each,
            (cell, term), here and in ``scale``.
        """

    def __call__(self, simulated: Tensor, observed: Tensor, scale: Tensor | None = None) -> Tensor:
        """Loss of a batch: weighted mean over its cells, shape ()."""
        total, weight = self.per_cell(simulated, observed)
        if scale is not None:
            total = total * scale
        return (total.sum(0) / weight.sum(0).clamp(min=1e-12)).sum()

    def of_each_cell(self, simulated: Tensor, observed: Tensor, scale: Tensor) -> Tensor:
        """Loss of each cell by itself, (cell,); NaN where the cell carries none.

        Parameters
        ----------
        simulated, observed : Tensor (time, cell)
            As for `per_cell`.
        scale : Tensor (cell,) or (cell, term)
            As `scale` gives it.
        """
        total, weight = self.per_cell(simulated, observed)
        if total.dim() == 1:
            return total * scale / weight
        terms = torch.where(weight > 0, total * scale / weight, 0.0).sum(1)
        return torch.where((weight > 0).any(1), terms, torch.nan)

    def __add__(self, other: Loss) -> WeightedSum:
        """Sum of two losses, each averaged over the cells in its own way."""
        if not isinstance(other, Loss):
            return NotImplemented
        return WeightedSum((*_terms(self), *_terms(other)))

    def __radd__(self, other: object) -> Loss:
        """Let ``sum`` add up losses: it begins with 0."""
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: float) -> WeightedSum:
        """Scale a loss by a number above 0."""
        if isinstance(factor, bool) or not isinstance(factor, (int, float)):
            return NotImplemented
        return WeightedSum(tuple((factor * own, loss) for own, loss in _terms(self)))

    __rmul__ = __mul__


@dataclass(frozen=True)
class MSE(Loss):
    """Mean squared error over all observations of all cells.

    Parameters
    ----------
    per_cell_bias : float
        Additional weight of the squared mean error of each cell; 0 leaves it out.
    """

    per_cell_bias: float = 0.0

    def per_cell(self, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        total, count = squared_misfit(simulated, observed)
        if self.per_cell_bias:
            difference = torch.where(torch.isnan(observed), 0.0, simulated - observed).sum(0)
            total = total + self.per_cell_bias * difference**2 / count.clamp(min=1)
        return total, count


@dataclass(frozen=True)
class NSE(Loss):
    """One minus the Nash-Sutcliffe efficiency of each cell, with a softened variance.

    The squared errors of a cell are divided by the variance that was observed in it over the
    whole training period, so that dry cells count as much as wet ones (Kratzert et al. 2019,
    doi:10.5194/hess-23-5089-2019; Nash & Sutcliffe 1970, doi:10.1016/0022-1694(70)90255-6).

    Parameters
    ----------
    softening : float
        Added to the standard deviation of each cell, in units of the observation, so that cells
        with next to no variance don't rule.
    exponent : float
        Power to which both series are raised before they are compared; below 1 low values
        count for more. Negative simulated values are taken as 0 when it is not 1.
    relative_softening : float
        Added likewise, as a share of the mean spread of all cells: fit for any units. A cell with
        fewer than 10 observations, whose spread can't be told, is then given the mean spread.
    """

    softening: float = 0.1
    exponent: float = 1.0
    relative_softening: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.exponent) and self.exponent > 0):
            raise DeclarationError(f"exponent {self.exponent} of NSE must be positive, such as 0.5")

    def _powered(self, values: Tensor) -> Tensor:
        if self.exponent == 1.0:
            return values
        return (values.clamp(min=0) + 1e-4) ** self.exponent

    def scale(self, observed: Tensor) -> Tensor:
        powered = self._powered(observed)
        seen = ~torch.isnan(powered)
        count = seen.sum(0).clamp(min=1)
        mean = torch.nansum(powered, 0) / count
        spread = torch.sqrt((torch.where(seen, powered - mean, 0.0) ** 2).sum(0) / count)
        return (spread + self.softening) ** -2

    def settled(self, scale: Tensor, count: Tensor) -> Tensor:
        if not self.relative_softening:
            return scale
        spread = scale**-0.5 - self.softening
        known = count >= ENOUGH
        usual = (spread[known] if known.any() else spread[count > 0]).mean().clamp(min=1e-6)
        softening = self.softening + self.relative_softening * usual
        return (torch.where(known, spread, usual) + softening) ** -2

    def per_cell(self, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        return squared_misfit(self._powered(simulated), self._powered(observed))


@dataclass(frozen=True)
class KGE(Loss):
    """One minus the Kling-Gupta efficiency of each cell (Gupta et al. 2009).

    doi:10.1016/j.jhydrol.2009.08.003. Correlation, ratio of spreads and ratio of means are
    taken over the observations of one window of one cell, never pooled over cells; each cell
    with at least ``at_least`` observations counts once.

    Parameters
    ----------
    at_least : int
        Fewer observations than this in a window: the cell carries no loss in it.
    """

    at_least: int = 20

    def per_cell(self, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        seen = ~torch.isnan(observed)
        count = seen.sum(0)
        weight = (count >= self.at_least).to(simulated.dtype)
        number = count.clamp(min=1).to(simulated.dtype)
        sim = torch.where(seen, simulated, 0.0)
        obs = torch.where(seen, observed, 0.0)
        sim_mean, obs_mean = sim.sum(0) / number, obs.sum(0) / number
        sim_anomaly = torch.where(seen, sim - sim_mean, 0.0)
        obs_anomaly = torch.where(seen, obs - obs_mean, 0.0)
        tiny = 1e-6 * (obs_mean.abs() + 1e-3)
        sim_std = torch.sqrt((sim_anomaly**2).sum(0) / number + tiny**2)
        obs_std = torch.sqrt((obs_anomaly**2).sum(0) / number + tiny**2)
        correlation = (sim_anomaly * obs_anomaly).sum(0) / number / (sim_std * obs_std)
        floor = 1e-3 * (obs_std + 1e-6)
        beta = sim_mean / torch.where(obs_mean.abs() > floor, obs_mean, floor)
        distance = (correlation - 1) ** 2 + (sim_std / obs_std - 1) ** 2 + (beta - 1) ** 2
        return weight * torch.sqrt(distance + 1e-12), weight


@dataclass(frozen=True)
class WeightedSum(Loss):
    """Weighted sum of losses: what ``NSE() + 0.5 * KGE()`` gives.

    Each term keeps its own scale of the cells and its own average over them: the sum of a batch is
    the sum of what the terms give for the batch.

    Parameters
    ----------
    terms : tuple of (float, Loss)
        Factor, above 0, and loss of each term. All have the same ``average``: an observation is
        a mean over one number of steps.

    Examples
    --------
    >>> NSE() + 0.5 * KGE(at_least=30)
    NSE() + 0.5 * KGE(at_least=30)
    """

    terms: tuple[tuple[float, Loss], ...]
    average: int = field(default=1, init=False, repr=False)

    def __post_init__(self) -> None:
        terms = tuple((float(factor), loss) for factor, loss in self.terms)
        object.__setattr__(self, "terms", terms)
        if not terms or any(isinstance(loss, WeightedSum) for _, loss in terms):
            raise DeclarationError(
                "a sum of losses has one or more terms, none of them a sum. "
                "Add losses with +, such as NSE() + 0.5 * KGE()."
            )
        for factor, loss in terms:
            if not (math.isfinite(factor) and factor > 0):
                raise DeclarationError(
                    f"the factor {factor:g} of {loss} can't be used. Give a number above 0, or "
                    "leave the loss out."
                )
        averages = {loss.average for _, loss in terms}
        if len(averages) > 1:
            raise DeclarationError(
                f"the losses of {self} compare means over {sorted(averages)} steps, but an "
                "observation is a mean over one number of steps. Give all the same average=."
            )
        object.__setattr__(self, "average", averages.pop())

    @property
    def options(self) -> dict[str, Any]:
        return {"terms": self.terms}

    def __str__(self) -> str:
        """The sum as one would write it."""
        return " + ".join(
            str(loss) if factor == 1 else f"{factor:g} * {loss}" for factor, loss in self.terms
        )

    __repr__ = __str__

    def scale(self, observed: Tensor) -> Tensor:
        return torch.stack([loss.scale(observed) for _, loss in self.terms], dim=1)

    def settled(self, scale: Tensor, count: Tensor) -> Tensor:
        columns = zip(self.terms, scale.unbind(1), strict=True)
        return torch.stack([loss.settled(column, count) for (_, loss), column in columns], dim=1)

    def per_cell(self, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        each = [loss.per_cell(simulated, observed) for _, loss in self.terms]
        totals = [f * total for (f, _), (total, _) in zip(self.terms, each, strict=True)]
        return torch.stack(totals, dim=1), torch.stack([weight for _, weight in each], dim=1)


def _terms(loss: Loss) -> tuple[tuple[float, Loss], ...]:
    return loss.terms if isinstance(loss, WeightedSum) else ((1.0, loss),)


BUNDLED = (MSE, NSE, KGE)


def __dir__() -> list[str]:
    return sorted(__all__)
