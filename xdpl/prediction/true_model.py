"""Ask the true model behind a surrogate: it alone judges what was learned."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..blackbox import BlackBox, run_cells, times_before
from ..errors import DeclarationError, warn
from ..parameters.field import ParameterField
from ..scores import SCORES
from ..surrogate import Surrogate

if TYPE_CHECKING:
    from .result import Fit

__all__ = ["TrueLearner", "evaluate", "run_model", "true_fit"]

COUNT = "n"


class TrueLearner:
    """A learner whose model is the black box itself: the same parameters, no gradient.

    Parameters
    ----------
    learner : Learner
        Gives the parameters.
    box : BlackBox
        Is run with them.
    scheduler : optional
        How the runs are made side by side.
    """

    def __init__(self, learner: ParameterField, box: BlackBox, scheduler: Any = None) -> None:
        self._learner, self.box, self.scheduler = learner, box, scheduler

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_learner":
            raise AttributeError(name)
        return getattr(self._learner, name)

    def run(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float,
        time: pd.Index,
        label: NDArray[np.str_],
    ) -> dict[str, Tensor]:
        """Run the black box in some cells; outputs (time, cell), NaN where a run failed."""
        found, failures = run_cells(
            self.box,
            {name: series.numpy() for name, series in forcing.items()},
            {name: values.double().numpy() for name, values in parameter.items()},
            time=time,
            dt=dt,
            label=list(label),
            scheduler=self.scheduler,
        )
        if failures.found:
            warn(failures.message)
        return {name: torch.from_numpy(values) for name, values in found.items()}


def true_fit(fit: Fit, ds: xr.Dataset) -> Fit:
    """The same fit with the black box in the place of its surrogate."""
    if not isinstance(fit.model, Surrogate):
        raise DeclarationError(
            f"truth=True asks for the true model behind a surrogate; {fit.model.name} is no "
            "surrogate. Leave truth out."
        )
    true = copy.copy(fit)
    lazy = any(ds.chunks)
    # a task of dask that waits for other ones could wait for ever
    true.learner = TrueLearner(  # type: ignore[assignment]
        fit.learner, fit.model.true_model(), "synchronous" if lazy else None
    )
    return true


def run_model(
    fit: Fit,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    *,
    dt: float,
    outputs: Sequence[str],
    record: pd.Index,
    label: NDArray[np.str_],
) -> dict[str, Tensor]:
    """Run a fit's model, or the true one; outputs (time, cell).

    Parameters
    ----------
    fit : Fit
        Perhaps of `true_fit`.
    forcing, parameter, dt, outputs
        As of `Learner.simulate`; the forcings begin with a spin-up.
    record : Index
        Times of the steps without the spin-up.
    label : ndarray of str (cell,)
        Names of the cells.
    """
    learner: Any = fit.learner
    if not isinstance(learner, TrueLearner):
        return fit.simulator.simulate(forcing, parameter, dt=dt, outputs=outputs)
    spin_up = len(next(iter(forcing.values()))) - len(record)
    time = times_before(record, spin_up)
    return learner.run(forcing, parameter, dt=dt, time=time, label=label)


def evaluate(fit: Fit, ds: xr.Dataset, period: Any, truth: bool | None) -> xr.Dataset:
    """See `Fit.evaluate`."""
    from . import predict  # which asks this module to run the model

    surrogate = isinstance(fit.model, Surrogate)
    if truth is None and surrogate and fit.model.box is None:  # type: ignore[attr-defined]
        warn(
            f"these are scores of the {fit.model.name}: the true model is not at hand. Give it at "
            "load, xdpl.load(path, model=box), and it is the judge."
        )
        truth = False
    if not (surrogate if truth is None else truth):
        return predict.evaluate(fit, ds, period)
    true = predict.evaluate(true_fit(fit, ds), ds, period)
    own = predict.evaluate(fit, ds, period)
    beside: dict[str, xr.DataArray] = {}
    for name in SCORES:
        if name == COUNT or name not in own:
            continue
        long_name = own[name].attrs.get("long_name", name)
        ours = own[name].assign_attrs(long_name=f"{long_name}, of the surrogate")
        less = (true[name] - own[name]).assign_attrs(
            {**own[name].attrs, "long_name": f"{long_name}, of the true model less the surrogate's"}
        )
        beside |= {f"{name}_surrogate": ours, f"{name}_difference": less}
    return true.assign(beside)
