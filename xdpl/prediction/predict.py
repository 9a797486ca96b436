"""Ask a Fit for maps, simulations and scores: one function of a block, eager or by dask chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..batches import annual_cycle, seasons, spin_up_index
from ..errors import LayoutError, warn
from ..layout import CellBlock, Findings, Layout, match, read
from ..layout.cell_index import find_cells
from ..layout.periods import YEAR_DAYS, resolve_period
from ..losses import Loss
from ..parameters.cell_inputs import CellInputs
from ..rasters import dress
from ..rasters import score as declare_score
from ..scores import SCORES, score
from ..training.step_memory import values_at_a_time
from ..variables import Output, Parameter
from .blockwise import Values, by_block
from .past_observations import attach, check_apart, known_past
from .recognition import warn_of_strangers
from .selection import existing, needed, said_of
from .summary import provenance
from .true_model import run_model
from .trust import Layers

if TYPE_CHECKING:
    from .result import Fit

__all__ = ["evaluate", "parameters", "simulate"]

CHUNK_VALUES = 30_000_000
"""Values of one forcing that are simulated at a time, where there is room for them."""


def parameters(
    fit: Fit, ds: xr.Dataset, deviations: bool = True, trust: bool = False
) -> xr.Dataset:
    """See `Fit.parameters`."""
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
    said = said_of(fit.said, ds, layout)
    if deviations:
        warn_of_strangers(fit, ds, layout, said)
    maps = by_block(
        partial(_parameter_block, fit, layout, deviations, layers),
        source,
        layout,
        _parameter_dims(fit) | ({} if layers is None else layers.dims()),
        {"component": fit.components},
        said,
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


def simulate(
    fit: Fit, ds: xr.Dataset, period: Any = None, outputs: Sequence[str] | None = None
) -> xr.Dataset:
    """See `Fit.simulate`."""
    if isinstance(outputs, str):
        outputs = (outputs,)
    names = tuple(fit.model.outputs) if outputs is None else tuple(outputs)
    known: dict[str, Output | Parameter] = dict(fit.model.outputs)
    known |= {name: fit.model.parameters[name] for name in fit.dynamic}
    for name in names:
        if name not in known:
            raise LayoutError(
                f"{fit.model.name} has no output {name!r}. It has {', '.join(known)}."
            )
    layout = match(ds, fit.layout, forcing=True, observed=False)
    span = resolve_period(ds, layout.time, period)
    source = needed(ds, layout, forcing=True, observed=False).isel({layout.time: slice(span.stop)})
    source = attach(fit, ds, source)
    said = said_of(fit.said, ds, layout)
    warn_of_strangers(fit, ds, layout, said)
    run = partial(_simulated_block, fit, layout, span, names)
    results = by_block(
        run,
        source,
        layout,
        dict.fromkeys(names, (layout.time,)),
        {layout.time: span.stop - span.start},
        said,
    )
    results = results.assign_coords({layout.time: ds[layout.time].isel({layout.time: span})})
    declared = {name: known[name] for name in names}
    return dress(results, ds, declared, provenance(fit))


def evaluate(fit: Fit, ds: xr.Dataset, period: Any = None) -> xr.Dataset:
    """See `Fit.evaluate`."""
    layout = match(ds, fit.layout, forcing=True, observed=True)
    span = resolve_period(ds, layout.time, period)
    check_apart(fit, ds.indexes[layout.time][span])
    source = needed(ds, layout, forcing=True, observed=True).isel({layout.time: slice(span.stop)})
    source = attach(fit, ds, source)
    said = said_of(fit.said, ds, layout)
    warn_of_strangers(fit, ds, layout, said)
    several = len(layout.observed) > 1
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(SCORES, ("observation",) if several else ())
    scores = by_block(
        partial(_score_block, fit, layout, span),
        source,
        layout,
        dims,
        {"observation": len(layout.observed)},
        said,
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
    units = {fit.model.outputs[name].units for name in layout.observed}
    unit = units.pop() if len(units) == 1 else ""
    observed = ", ".join(role.variable for role in layout.observed.values())
    declared = {name: declare_score(name, unit, observed) for name in SCORES}
    return dress(scores, ds, declared, provenance(fit))


_EXISTS = "_xdpl_exists"


def _places(fit: Fit, cells: CellBlock) -> Tensor:
    """Place of each cell among the training cells, by label; -1 for the others; shape (cell,)."""
    if fit.label is None:
        return torch.full((len(cells.label),), -1)
    return torch.from_numpy(find_cells(fit.label, cells.label))


@dataclass(frozen=True)
class _Told:
    """What a network is told of the cells of a block, and what a Fit knows of them.

    Attributes
    ----------
    attribute : Tensor (cell, attribute)
        Raw values, and after them statistics of past observations where the network reads any.
    cycle : Tensor (season, cell, forcing), optional
    place : Tensor of int (cell,)
        Among the training cells; -1 for others.
    """

    attribute: Tensor
    cycle: Tensor | None
    place: Tensor


def _told(fit: Fit, layout: Layout, block: xr.Dataset, cells: CellBlock) -> _Told:
    place = _places(fit, cells)
    attribute = torch.from_numpy(cells.attribute)
    past = known_past(fit, block, layout, place)
    if past is not None:
        attribute = torch.cat([attribute, past], dim=1)
    return _Told(attribute, _cycle(fit, layout, block, cells, place), place)


def _cycle(
    fit: Fit, layout: Layout, block: xr.Dataset, cells: CellBlock, place: Tensor
) -> Tensor | None:
    """Mean annual cycle of the forcings: the stored one of cells that were trained on."""
    if not fit.learner.reads_forcings:
        return None
    forcing = {k: torch.from_numpy(v) for k, v in cells.forcing.items()}
    cycle = annual_cycle(forcing, seasons(block[layout.time]))
    if fit.cycle is None:
        return cycle
    stored = fit.cycle[:, place.clamp(min=0)]
    return torch.where(place[None, :, None] >= 0, stored, cycle)


def _inputs(
    fit: Fit,
    told: _Told,
    index: NDArray[np.intp],
    forcing: Mapping[str, Tensor],
    deviations: bool = True,
) -> CellInputs:
    """Inputs of some cells of a block; ``forcing`` is read for dynamic parameters alone."""
    columns = torch.from_numpy(index)
    return CellInputs(
        told.attribute[columns],
        None if told.cycle is None else told.cycle[:, columns],
        told.place[columns] if deviations else None,
        forcing,
        fit.layout.dt,
    )


def _without_past(fit: Fit, told: _Told, usable: NDArray[np.bool_]) -> Findings:
    """Count cells for which a network that reads past observations has none."""
    if fit.past is None:
        return Findings()
    unknown = torch.isnan(told.attribute[:, len(fit.layout.attributes) :]).all(1).numpy()
    return Findings({("no past", ""): int((unknown & usable).sum())})


@dataclass(frozen=True)
class _Piece:
    """Some usable cells of a block, as many as are run at a time."""

    index: NDArray[np.intp]
    forcing: dict[str, Tensor]


def _pieces(layout: Layout, cells: CellBlock, usable: NDArray[np.bool_]) -> Iterator[_Piece]:
    """Cut usable cells into pieces; forcings (year of spin-up + time, cell) on torch."""
    steps = len(next(iter(cells.forcing.values())))
    times = torch.from_numpy(spin_up_index(0, steps, _year(layout, steps), _year(layout, steps)))
    index = np.flatnonzero(usable)
    pieces = max(1, -(-len(index) * len(times) // values_at_a_time(CHUNK_VALUES)))
    for some in np.array_split(index, pieces):
        if len(some):
            yield _Piece(
                some,
                {
                    k: torch.from_numpy(np.ascontiguousarray(v[:, some]))[times]
                    for k, v in cells.forcing.items()
                },
            )


def _year(layout: Layout, steps: int) -> int:
    return max(1, min(steps, round(YEAR_DAYS / layout.dt)))


@torch.no_grad()
def _parameter_block(
    fit: Fit, layout: Layout, deviations: bool, layers: Layers | None, block: xr.Dataset
) -> tuple[Values, Findings]:
    series = fit.learner.reads_forcings or bool(fit.dynamic)
    evidence = layers is not None and layers.evidence
    cells = read(block, layout, forcing=series or evidence, observed=evidence)
    usable = cells.has_attributes & cells.has_forcing if series else cells.has_attributes
    if _EXISTS in block:
        usable = usable & np.asarray(block[_EXISTS].transpose(*layout.space)).ravel()
    told = _told(fit, layout, block, cells)
    inputs_of = partial(_inputs, fit, told, deviations=deviations)
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
        values |= layers.beside(cells, np.flatnonzero(usable), told.place, inputs_of)
    return values, cells.findings + _without_past(fit, told, usable)


def _parameter_dims(fit: Fit) -> dict[str, tuple[str, ...]]:
    """Dimensions of each parameter besides those of space."""
    return {
        name: () if p.shared or fit.components == 1 else ("component",)
        for name, p in fit.model.parameters.items()
    }


def _parameter_pieces(
    fit: Fit, layout: Layout, cells: CellBlock, usable: NDArray[np.bool_]
) -> Iterator[_Piece]:
    """All usable cells at once, but for dynamic parameters, which are series."""
    if fit.dynamic:
        return _pieces(layout, cells, usable)
    return iter([_Piece(np.flatnonzero(usable), {})])


def _static(fit: Fit, parameter: Mapping[str, Tensor], steps: int) -> dict[str, Tensor]:
    """Mean over the last steps, those without the spin-up, of parameters that are dynamic."""
    return {
        name: value[-steps:].mean(0) if name in fit.dynamic else value
        for name, value in parameter.items()
    }


@torch.no_grad()
def _run(
    fit: Fit,
    layout: Layout,
    block: xr.Dataset,
    cells: CellBlock,
    span: slice,
    names: Sequence[str],
    like: Mapping[str, Loss] | None = None,
) -> tuple[Values, Findings]:
    """Simulate all usable cells of a block: {output: (span, cell)}, NaN elsewhere.

    ``names`` may be dynamic parameters, too. ``like`` are losses that tell over how many steps an
    observation is a mean.
    """
    told = _told(fit, layout, block, cells)
    usable = cells.has_forcing & cells.has_attributes
    values: Values = {
        name: np.full((span.stop - span.start, len(cells.label)), np.nan, "f4") for name in names
    }
    outputs = [name for name in names if name not in fit.dynamic]
    first = _year(layout, span.stop) + span.start
    for piece in _pieces(layout, cells, usable):
        learned = fit.learner.parameters_of(_inputs(fit, told, piece.index, piece.forcing))
        results = {name: learned[name].mean(-1) for name in names if name in fit.dynamic}
        if outputs:
            results |= run_model(
                fit,
                piece.forcing,
                learned,
                dt=layout.dt,
                outputs=outputs,
                record=block.indexes[layout.time][: span.stop],
                label=cells.label[piece.index],
            )
        for name in names:
            series = like[name].averaged(results[name]) if like else results[name]
            values[name][:, piece.index] = series[first:].numpy()
    return values, cells.findings + _without_past(fit, told, usable)


def _simulated_block(
    fit: Fit, layout: Layout, span: slice, names: Sequence[str], block: xr.Dataset
) -> tuple[Values, Findings]:
    cells = read(block, layout, observed=False)
    return _run(fit, layout, block, cells, span, names)


def _score_block(
    fit: Fit, layout: Layout, span: slice, block: xr.Dataset
) -> tuple[Values, Findings]:
    cells = read(block, layout)
    names = tuple(layout.observed)
    simulated, findings = _run(fit, layout, block, cells, span, names, fit.losses)
    rows = []
    for name in layout.observed:
        found = score(simulated[name], cells.observed[name][span])
        rows.append({k: np.where(cells.exists, v, np.nan).astype("f4") for k, v in found.items()})
    if len(rows) == 1:
        return rows[0], findings
    return {name: np.stack([row[name] for row in rows]) for name in SCORES}, findings
