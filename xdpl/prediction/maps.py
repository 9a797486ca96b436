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
from ..rasters import dress
from .blockwise import Values, by_block
from .cell_knowledge import CellKnowledge, Piece, pieces
from .fit_state import FitState
from .past_observations import attach
from .recognition import warn_of_strangers
from .selection import existing, needed, reported_of
from .summary import provenance
from .trust import Layers

__all__ = ["parameters"]

_EXISTS = "_xdpl_exists"


def parameters(
    fit: FitState, ds: xr.Dataset, deviations: bool = True, trust: bool = False
) -> xr.Dataset:
    """Map the parameters of the cells of a Dataset; see `Fit.parameters`."""
    layers = Layers.of(fit, ds) if trust else None
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
    source = attach(fit, ds, source)
    reported = reported_of(fit.reported, ds, layout)
    if deviations:
        warn_of_strangers(fit, ds, layout, reported)
    maps = by_block(
        partial(_parameter_block, fit, layout, deviations, layers),
        source,
        layout,
        _parameter_dims(fit) | ({} if layers is None else layers.dims()),
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
    return maps


@torch.no_grad()
def _parameter_block(
    fit: FitState, layout: Layout, deviations: bool, layers: Layers | None, block: xr.Dataset
) -> tuple[Values, Findings]:
    series = fit.learner.reads_forcings or bool(fit.dynamic)
    evidence = layers is not None and layers.evidence
    cells = read(block, layout, forcing=series or evidence, observed=evidence)
    usable = cells.has_attributes & cells.has_forcing if series else cells.has_attributes
    if _EXISTS in block:
        usable = usable & np.asarray(block[_EXISTS].transpose(*layout.space)).ravel()
    known = CellKnowledge.of(fit, layout, block, cells)
    inputs_of = partial(known.inputs, deviations=deviations)
    dims = _parameter_dims(fit) | ({} if layers is None else layers.spread_dims())
    values: Values = {
        name: np.full((fit.components if extra else 1, len(usable)), np.nan, "f4")
        for name, extra in dims.items()
    }
    steps = block.sizes[layout.time] if fit.dynamic else 0
    for piece in _parameter_pieces(fit, layout, cells, usable):
        inputs = inputs_of(piece.index, piece.forcing)
        found = _static(fit, fit.learner.parameters_of(inputs), steps)
        if layers is not None:
            found |= layers.spread([_static(fit, one, steps) for one in layers.sets(inputs)])
        for name, tensor in found.items():
            wide = tensor if tensor.dim() > 1 else tensor[:, None]
            values[name][:, piece.index] = wide.T
    values = {name: value if dims[name] else value[0] for name, value in values.items()}
    if layers is not None:
        values |= layers.beside(cells, np.flatnonzero(usable), known.index, inputs_of)
    return values, cells.findings + known.without_past(fit, usable)


def _parameter_dims(fit: FitState) -> dict[str, tuple[str, ...]]:
    """Dimensions of each parameter besides those of space."""
    return {
        name: () if p.shared or fit.components == 1 else ("component",)
        for name, p in fit.model.parameters.items()
    }


def _parameter_pieces(
    fit: FitState, layout: Layout, cells: CellBlock, usable: NDArray[np.bool_]
) -> Iterator[Piece]:
    """All usable cells at once, but for dynamic parameters, which are series."""
    if fit.dynamic:
        return pieces(layout, cells, usable)
    return iter([Piece(np.flatnonzero(usable), {})])


def _static(fit: FitState, parameter: Mapping[str, Tensor], steps: int) -> dict[str, Tensor]:
    """Mean over the last steps, those without the spin-up, of parameters that are dynamic."""
    return {
        name: value[-steps:].mean(0) if name in fit.dynamic else value
        for name, value in parameter.items()
    }
