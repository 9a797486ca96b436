"""From a FitState and a Dataset to simulations, eager or by dask chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr

from ..errors import LayoutError
from ..layout import CellBlock, Findings, Layout, match, read
from ..layout.periods import resolve_period
from ..losses import Loss
from ..parameters.simulator import Simulator, simulate_mean
from ..rasters import dress
from ..variables import Output, Parameter
from .blockwise import Values, by_block
from .cell_knowledge import CellKnowledge, attach_known, pieces, year_steps
from .fit_record import Period
from .fit_state import FitState
from .recognition import warn_of_strangers
from .selection import needed, reported_of
from .summary import provenance
from .true_model import true_model_of

__all__ = ["run_block", "simulate"]


def simulate(
    fit: FitState,
    ds: xr.Dataset,
    period: Period = None,
    outputs: Sequence[str] | None = None,
    true_model: bool = False,
) -> xr.Dataset:
    """Run the model with the learned parameters; see `Fit.simulate`."""
    simulator = true_model_of(fit, ds) if true_model else fit.simulator
    declared = _declared(fit, outputs)
    layout = match(ds, fit.layout, forcing=True, observed=False)
    span = resolve_period(ds, layout.time, period)
    source = needed(ds, layout, forcing=True, observed=False).isel({layout.time: slice(span.stop)})
    reported = reported_of(fit.reported, ds, layout)
    source = attach_known(fit, ds, source, reported)
    warn_of_strangers(fit, ds, layout, reported)
    results = by_block(
        partial(_simulated_block, fit, simulator, layout, span, tuple(declared)),
        source,
        layout,
        dict.fromkeys(declared, (layout.time,)),
        {layout.time: span.stop - span.start},
        reported,
    )
    results = results.assign_coords({layout.time: ds[layout.time].isel({layout.time: span})})
    return dress(results, ds, declared, provenance(fit))


def _declared(fit: FitState, outputs: Sequence[str] | None) -> dict[str, Output | Parameter]:
    """Declaration of each output wanted; all outputs by default."""
    if isinstance(outputs, str):
        outputs = (outputs,)
    known: dict[str, Output | Parameter] = dict(fit.model.outputs)
    known |= {name: fit.model.parameters[name] for name in fit.dynamic}
    names = tuple(fit.model.outputs) if outputs is None else tuple(outputs)
    for name in names:
        if name not in known:
            raise LayoutError(
                f"{fit.model.name} has no output {name!r}. It has {', '.join(known)}."
            )
    return {name: known[name] for name in names}


def _simulated_block(
    fit: FitState,
    simulator: Simulator,
    layout: Layout,
    span: slice,
    names: Sequence[str],
    block: xr.Dataset,
) -> tuple[Values, Findings]:
    cells = read(block, layout, observed=False)
    return run_block(fit, simulator, layout, block, cells, span, names)


@torch.no_grad()
def run_block(
    fit: FitState,
    simulator: Simulator,
    layout: Layout,
    block: xr.Dataset,
    cells: CellBlock,
    span: slice,
    names: Sequence[str],
    like: Mapping[str, Loss] | None = None,
) -> tuple[Values, Findings]:
    """Simulate all usable cells of a block: {output: (span, cell)}, NaN elsewhere.

    Parameters
    ----------
    fit, layout, block, cells
        The fit, and a block of the Dataset with what was read of it.
    simulator : Simulator
        Runs the model.
    span : slice
        Steps that are wanted.
    names : sequence of str
        Outputs, or dynamic parameters.
    like : mapping of str to Loss, optional
        Losses that define over how many steps an observation is a mean.
    """
    known = CellKnowledge.of(fit, layout, block, cells)
    usable = cells.has_forcing & cells.has_attributes
    values: Values = {
        name: np.full((span.stop - span.start, len(cells.label)), np.nan, "f4") for name in names
    }
    outputs = [name for name in names if name not in fit.dynamic]
    first = year_steps(layout, span.stop) + span.start
    for piece in pieces(layout, cells, usable):
        inputs = known.inputs(piece.index, piece.forcing)
        members = fit.learner.each(inputs)
        results = {}
        if any(name in fit.dynamic for name in names):
            centre = fit.learner.parameters_of(inputs)
            results = {name: centre[name].mean(-1) for name in names if name in fit.dynamic}
        if outputs:
            results |= simulate_mean(
                simulator,
                piece.forcing,
                members,
                dt=layout.dt,
                outputs=outputs,
                time=block.indexes[layout.time][: span.stop],
                label=cells.label[piece.index].tolist(),
            )
        for name in names:
            series = like[name].averaged(results[name]) if like else results[name]
            values[name][:, piece.index] = series[first:].numpy()
    return values, cells.findings + known.without_past(fit, usable)
