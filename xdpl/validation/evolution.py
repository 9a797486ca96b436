"""Calibration cell by cell by SCE-UA: all cells and populations in one run of the model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..parameters.simulator import KnownCells
from ..parameters.table import Table
from ..parameters.transforms import ParameterTransform
from ..prediction import Fit
from ..public import hands_on
from .prepare import OWN, Prepared, prepare
from .sce import minimise
from .tables import CellByCell

__all__ = ["sce_ua"]

VALUES = 30_000_000
"""Values of one forcing that are simulated at a time: bounds the memory."""


@hands_on(prepare, without=OWN)
def sce_ua(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    complexes: int = 4,
    evaluations: int = 5000,
    **keywords: Any,
) -> Fit:
    """Calibrate each cell by itself by SCE-UA (Duan et al. 1992, doi:10.1029/91WR02985).

    The usual calibration of hydrological models, without gradients. Every cell searches for
    itself, but the model is run for the populations of all cells at once. Other cells get no
    parameters (NaN).

    Parameters
    ----------
    ds, obs, **keywords
        As of `xdpl.fit`, except those that shape and train a network (network, deviations,
        dynamic, past, precision), and weights, ensemble, validation, patience and checkpoint.
        Keywords of learning by gradient have no effect.
    complexes : int
        Complexes of each cell; more of them search more widely.
    evaluations : int
        Runs of the model for each cell, after which no further shuffle begins.

    Returns
    -------
    Fit
        Its ``record["evaluations"]`` is the mean number of runs of a cell.
    """
    began = time.perf_counter()
    ready = prepare(ds, obs, who="sce_ua", iterations=1, **keywords)
    objective = _Objective(ready)
    found = minimise(
        objective,
        objective.transform.size,
        len(ready.plan.cells),
        complexes=complexes,
        evaluations=evaluations,
        seed=ready.plan.seed,
    )
    table = torch.logit(torch.from_numpy(found.point), eps=1e-6).float()
    field = Table(objective.transform, table)
    seconds = time.perf_counter() - began
    known = KnownCells(ready.simulator)
    result = ready.conclude(CellByCell("SCE-UA"), field, [], seconds, Fit, known)
    each = float(found.evaluations.mean())
    return replace(result, record=replace(result.record, evaluations=each))


class _Objective:
    """Loss of single cells over the whole training period, as a function of the unit cube."""

    def __init__(self, ready: Prepared) -> None:
        plan = ready.plan
        period, cells = plan.cells.period, np.arange(len(plan.cells))
        self._batch = plan.cells.take(cells, period.start, period.stop, plan.warmup)
        self._batch = self._batch.to(plan.device)
        self._ready = ready
        self.transform = ParameterTransform(ready.model.parameters, ready.components)
        steps = plan.warmup + period.stop - period.start
        self._columns = max(1, VALUES // (steps * ready.components))

    @torch.no_grad()
    def __call__(
        self, point: NDArray[np.float64], problem: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        pieces = range(0, len(problem), self._columns)
        parts = [
            self._some(point[at : at + self._columns], problem[at : at + self._columns])
            for at in pieces
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def _some(self, point: NDArray[np.float64], problem: NDArray[np.intp]) -> NDArray[np.float64]:
        ready, batch = self._ready, self._batch
        device = batch.attribute.device
        columns = torch.from_numpy(problem).to(device)
        raw = torch.logit(torch.from_numpy(point).to(device), eps=1e-6).float()
        simulated, _ = ready.model.simulate(
            {k: v.index_select(1, columns) for k, v in batch.forcing.items()},
            self.transform(raw),
            dt=ready.layout.dt,
            outputs=tuple(ready.losses),
            engine=ready.engine,
        )
        total: Tensor = raw.new_zeros(len(problem))
        for name, loss in ready.losses.items():
            observed = batch.observed[name].index_select(1, columns)
            series = simulated[name][-len(observed) :]
            own = loss.of_each_cell(series, observed, batch.scale[name][columns])
            total = total + torch.nan_to_num(own, nan=0.0)
        return total.cpu().double().numpy()
