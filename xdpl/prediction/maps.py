"""From a FitState and a Dataset to maps of parameters, eager or by dask chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..layout import CellBlock, Findings, Layout, match, read
from ..parameters.transforms import central
from ..rasters import dress
from .blockwise import Values, by_block
from .cell_knowledge import CellKnowledge, Piece, attach_known, pieces
from .fit_state import FitState
from .recognition import warn_of_strangers
from .selection import existing, needed, reported_of
from .summary import provenance
from .trust import Layers

__all__ = ["parameters"]

_EXISTS = "_xdpl_exists"


def parameters(
    fit: FitState,
    ds: xr.Dataset,
    deviations: bool = True,
    trust: bool = False,
    sets: bool | None = None,
) -> xr.Dataset:
    """Map the parameters of the cells of a Dataset; see `Fit.parameters`."""
    sets = fit.components > 1 and (fit.shows_sets if sets is None else sets)
    layers = Layers.of(fit, ds, sets) if trust else None
    evidence = layers is not None and layers.evidence
    series = fit.learner.reads_forcings or bool(fit.dynamic)
    reads = series or evidence
    layout = match(ds, fit.layout, forcing=reads, observed=evidence)
    source = needed(ds, layout, forcing=reads, observed=evidence)
    if layers is not None and evidence and not series:
        source, layers = layers.cut(source)
    there = existing(ds, fit.layout)
    if there is not None:
        source = source.assign({_EXISTS: there.variable})
    reported = reported_of(fit.reported, ds, layout)
    source = attach_known(fit, ds, source, reported)
    if deviations:
        warn_of_strangers(fit, ds, layout, reported)
    maps = by_block(
        partial(_parameter_block, fit, layout, deviations, layers, sets),
        source,
        layout,
        _parameter_dims(fit, sets) | ({} if layers is None else layers.dims()),
        {"component": fit.components},
        reported,
        {} if layers is None else layers.dtypes(),
    )
    if layers is None:
        maps = dress(maps, ds, fit.model.parameters, provenance(fit))
    else:
        maps = layers.dressed(maps, ds)
    for name in fit.dynamic:
        # the standard name, as the maps have no dimension of time (CF-1.11, section 7.3.4)
        maps[name].attrs = {"cell_methods": "time: mean", **maps[name].attrs}
    if fit.components > 1 and not sets:
        for name, parameter in fit.model.parameters.items():
            if not parameter.shared:
                maps[name].attrs["comment"] = (
                    f"centre of {fit.components} parallel parameter sets, with each of which the "
                    "model is run; simulations are the mean of these runs"
                )
    return maps


@torch.no_grad()
def _parameter_block(
    fit: FitState,
    layout: Layout,
    deviations: bool,
    layers: Layers | None,
    sets: bool,
    block: xr.Dataset,
) -> tuple[Values, Findings]:
    series = fit.learner.reads_forcings or bool(fit.dynamic)
    evidence = layers is not None and layers.evidence
    cells = read(block, layout, forcing=series or evidence, observed=evidence)
    usable = cells.has_attributes & cells.has_forcing if series else cells.has_attributes
    if _EXISTS in block:
        usable = usable & np.asarray(block[_EXISTS].transpose(*layout.space)).ravel()
    known = CellKnowledge.of(fit, layout, block, cells)
    inputs_of = partial(known.inputs, deviations=deviations)
    dims = _parameter_dims(fit, sets) | ({} if layers is None else layers.spread_dims())
    values: Values = {
        name: np.full((fit.components if extra else 1, len(usable)), np.nan, "f4")
        for name, extra in dims.items()
    }
    steps = block.sizes[layout.time] if fit.dynamic else 0
    for piece in _parameter_pieces(fit, layout, cells, usable):
        inputs = inputs_of(piece.index, piece.forcing)
        shown = partial(_shown, fit, steps, sets)
        found = shown(fit.learner.parameters_of(inputs))
        if layers is not None:
            found |= layers.spread([shown(one) for one in fit.learner.each(inputs)])
        for name, tensor in found.items():
            wide = tensor if tensor.dim() > 1 else tensor[:, None]
            values[name][:, piece.index] = wide.T
    values = {name: value if dims[name] else value[0] for name, value in values.items()}
    if layers is not None:
        values |= layers.beside(cells, np.flatnonzero(usable), known.index, inputs_of)
    return values, cells.findings + known.without_past(fit, usable)


def _parameter_dims(fit: FitState, sets: bool) -> dict[str, tuple[str, ...]]:
    """Dimensions of each parameter besides those of space."""
    return {
        name: () if p.shared or not sets else ("component",)
        for name, p in fit.model.parameters.items()
    }


def _parameter_pieces(
    fit: FitState, layout: Layout, cells: CellBlock, usable: NDArray[np.bool_]
) -> Iterator[Piece]:
    """All usable cells at once, but for dynamic parameters, which are series."""
    if fit.dynamic:
        return pieces(layout, cells, usable)
    return iter([Piece(np.flatnonzero(usable), {})])


def _shown(
    fit: FitState, steps: int, sets: bool, parameter: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Parameters as maps show them.

    Dynamic ones are means over the last steps, those without the spin-up; of parallel sets the
    centre is shown, unless each is wanted.
    """
    static = {
        name: value[-steps:].mean(0) if name in fit.dynamic else value
        for name, value in parameter.items()
    }
    return static if sets or fit.components == 1 else central(static, fit.model.parameters)
