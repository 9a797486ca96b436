"""From a FitState and a Dataset with observations to scores, cell by cell."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from ..errors import warn
from ..layout import Findings, Layout, match, read
from ..layout.periods import resolve_period
from ..parameters.simulator import Simulator
from ..rasters import dress
from ..rasters import score as declare_score
from ..scores import SCORES, score
from ..surrogate import Surrogate
from .blockwise import Values, by_block
from .cell_knowledge import attach_known
from .fit_record import Period
from .fit_state import FitState
from .past_observations import check_apart
from .recognition import warn_of_strangers
from .selection import needed, reported_of
from .simulation import run_block
from .summary import provenance
from .true_model import true_model_of

__all__ = ["evaluate"]

COUNT = "n"


def evaluate(
    fit: FitState, ds: xr.Dataset, period: Period = None, true_model: bool | None = None
) -> xr.Dataset:
    """Score the simulation against the observations; see `Fit.evaluate`."""
    model = fit.model
    surrogate = isinstance(model, Surrogate)
    if true_model is None and isinstance(model, Surrogate) and model.box is None:
        warn(
            f"these are scores of the {model.name}: the true model is not at hand. Give it at "
            "load, xdpl.load(path, model=box), and it is the judge."
        )
        true_model = False
    if not (surrogate if true_model is None else true_model):
        return _scored(fit, ds, period, fit.simulator)
    true = _scored(fit, ds, period, true_model_of(fit, ds))
    return true.assign(_beside(true, _scored(fit, ds, period, fit.simulator)))


def _beside(true: xr.Dataset, own: xr.Dataset) -> dict[str, xr.DataArray]:
    """Scores of the surrogate, and their difference from those of the true model."""
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
    return beside


def _scored(fit: FitState, ds: xr.Dataset, period: Period, simulator: Simulator) -> xr.Dataset:
    """Scores of what one model simulates."""
    layout = match(ds, fit.layout, forcing=True, observed=True)
    span = resolve_period(ds, layout.time, period)
    check_apart(fit, ds.indexes[layout.time][span])
    source = needed(ds, layout, forcing=True, observed=True).isel({layout.time: slice(span.stop)})
    reported = reported_of(fit.reported, ds, layout)
    source = attach_known(fit, ds, source, reported)
    warn_of_strangers(fit, ds, layout, reported)
    several = len(layout.observed) > 1
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(SCORES, ("observation",) if several else ())
    scores = by_block(
        partial(_score_block, fit, simulator, layout, span),
        source,
        layout,
        dims,
        {"observation": len(layout.observed)},
        reported,
    )
    if not any(source.chunks) and not bool((scores["n"] > 0).any()):
        first, last = (str(ds[layout.time].values[i])[:10] for i in (span.start, span.stop - 1))
        warn(
            f"no cell has observations and a simulation from {first} to {last}: all scores are "
            "missing. Choose another period, or look at the attributes and forcings."
        )
    if several:
        variables = [role.variable for role in layout.observed.values()]
        scores = scores.assign_coords(observation=("observation", variables))
    return _dressed(fit, ds, layout, scores)


def _dressed(fit: FitState, ds: xr.Dataset, layout: Layout, scores: xr.Dataset) -> xr.Dataset:
    units = {fit.model.outputs[name].units for name in layout.observed}
    unit = units.pop() if len(units) == 1 else ""
    observed = ", ".join(role.variable for role in layout.observed.values())
    declared = {name: declare_score(name, unit, observed) for name in SCORES}
    return dress(scores, ds, declared, provenance(fit))


def _score_block(
    fit: FitState, simulator: Simulator, layout: Layout, span: slice, block: xr.Dataset
) -> tuple[Values, Findings]:
    cells = read(block, layout)
    names = tuple(layout.observed)
    simulated, findings = run_block(fit, simulator, layout, block, cells, span, names, fit.losses)
    rows = []
    for name in layout.observed:
        found = score(simulated[name].astype("f4", copy=False), cells.observed[name][span])
        rows.append({k: np.where(cells.exists, v, np.nan).astype("f4") for k, v in found.items()})
    if len(rows) == 1:
        return rows[0], findings
    return {name: np.stack([row[name] for row in rows]) for name in SCORES}, findings
