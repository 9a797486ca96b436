"""Baselines that learn by gradient, or not at all: defaults, one uniform set, free parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from ..errors import DeclarationError
from ..fitting import fit
from ..parameters.learner import Learner
from ..parameters.simulator import KnownCells
from ..parameters.table import Table
from ..parameters.transforms import ParameterTransform
from ..prediction import Fit
from ..public import hands_on
from ..runtime.random import RandomStream
from ..training.optimizer import DEVIATION_RATE, adamw
from ..training.run import Run
from ..training.state import DeviationRule, TrainState, WarmupCosine
from .prepare import OWN, Prepared, prepare
from .tables import CellByCell, Constant

__all__ = ["calibrate", "defaults", "uniform"]

ITERATIONS = 500
RATE = 0.05
UNIFORM_RATE = 0.02


@hands_on(prepare, without=OWN)
def defaults(ds: xr.Dataset, obs: str | Mapping[str, str], **keywords: Any) -> Fit:
    """Take the middle of the bounds, on each parameter's scale, for every cell; learn nothing.

    Parameters
    ----------
    ds, obs, **keywords
        As of `xdpl.fit`, except those that shape and train a network (network, deviations,
        dynamic, past, precision), and weights, ensemble, validation, patience and checkpoint.

    Returns
    -------
    Fit
    """
    began = time.perf_counter()
    ready = prepare(ds, obs, who="defaults", iterations=1, **keywords)
    learner = Learner(Constant(), ready.model, ready.classes, ready.components)
    with torch.no_grad():
        for value in learner.network.parameters():
            value.zero_()
    return ready.conclude(Constant(), learner, [], time.perf_counter() - began)


@hands_on(fit, without=("network", "deviations"))
def uniform(ds: xr.Dataset, obs: str | Mapping[str, str], **keywords: Any) -> Fit:
    """Learn one set of parameters for all cells, by gradient: what attributes add to nothing.

    Parameters
    ----------
    ds, obs, **keywords
        As of `xdpl.fit`, except network and deviations.

    Returns
    -------
    Fit
    """
    for name in ("network", "deviations"):
        if name in keywords:
            raise DeclarationError(
                f"uniform has no keyword {name!r}: one set of parameters has neither a network nor "
                "deviations. Leave it out, or use xdpl.fit."
            )
    keywords.setdefault("learning_rate", UNIFORM_RATE)
    return fit(ds, obs, network=Constant(), deviations=False, **keywords)


@hands_on(prepare, without=OWN)
def calibrate(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    shrinkage: float = 0.0,
    **keywords: Any,
) -> Fit:
    """Calibrate each cell by itself: free parameters by gradient, all cells at once.

    The strongest rival of parameter learning where there are observations. Other cells get no
    parameters (NaN); `regionalize` carries them there.

    Parameters
    ----------
    ds, obs, **keywords
        As of `xdpl.fit`, except those that shape and train a network (network, deviations,
        dynamic, past, precision), and weights, ensemble, validation, patience and checkpoint.
    shrinkage : float
        How strongly the cells are held near their common set, as a number of observations
        (see `xdpl.training.DeviationRule`); 0 leaves them free.

    Returns
    -------
    Fit

    Raises
    ------
    NonFiniteLoss
        Training broke down.
    """
    if not shrinkage >= 0:
        raise DeclarationError(f"shrinkage={shrinkage} can't be used. Give 0 or more.")
    began = time.perf_counter()
    ready = prepare(
        ds, obs, who="calibrate", iterations=ITERATIONS, rate=RATE, whole=True, **keywords
    )
    table, losses = _free_parameters(ready, shrinkage)
    field = Table(ParameterTransform(ready.model.parameters, ready.components), table)
    return ready.conclude(
        CellByCell(),
        field,
        losses,
        time.perf_counter() - began,
        Fit,
        KnownCells(ready.simulator),
    )


def _free_parameters(ready: Prepared, shrinkage: float) -> tuple[Tensor, list[float]]:
    """Unbounded parameters (cell, size) of each training cell, and the loss of each epoch."""
    plan = ready.plan
    random = RandomStream(plan.seed, plan.device)
    with random.drawing():
        learner = Learner(
            Constant(), ready.model, ready.classes, ready.components, len(plan.cells)
        ).to(plan.device)
    # the common set and the cells learn at the same rate
    rate = ready.settings["learning_rate"] / DEVIATION_RATE
    state = TrainState(
        learner,
        adamw(learner, rate, weight_decay=0.0),
        WarmupCosine(ready.epochs * plan.batches),
        DeviationRule(shrinkage, dropped=0.0),
        random=random,
    )
    run = Run(state, ready.objective, plan, ready.epochs)
    stopped = run(None, ready.progress)
    if stopped is not None:
        raise stopped
    with torch.no_grad():
        assert learner.deviation is not None
        common = learner.raw(plan.cells.attribute[:1].to(plan.device))
        return (common + learner.deviation).cpu(), run.history.loss
