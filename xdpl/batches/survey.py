"""Which cells can be trained on, and what must be known of each before the first batch.

That is: label, attributes, number of observations and the factor of the loss. Attributes are
read first, observations only where there are any, and forcings only where there are both; and
these not at all where they wouldn't fit into memory, unless a network reads their annual cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layout import CellBlock, Findings, Layout
from ..losses import Loss
from .balance import water_balance
from .cache import Series
from .reading import in_order, read_block
from .times import annual_cycle, seasons

__all__ = [
    "Kept",
    "Look",
    "Place",
    "Question",
    "Survey",
    "glance",
    "inspect",
    "joined",
    "series_of",
]

PIECE = 2**18
"""Values of which scales are computed at once."""


@dataclass(frozen=True)
class Place:
    """Where the kept cells of a block lie: slices of the Dataset, and columns of the block."""

    block: dict[str, slice]
    keep: NDArray[np.intp]


@dataclass(frozen=True)
class Kept:
    """What is known of the kept cells of one block.

    Attributes
    ----------
    place : Place
    label : ndarray of str (cell,)
    attribute : Tensor (cell, attribute)
    scale, count : dict of str to Tensor (cell,)
        Factor of the loss and number of observations, per output.
    mean : dict of str to Tensor (cell,)
        Mean of the observations, per output.
    cycle : Tensor (season, cell, forcing), optional
        Mean annual cycle, where forcings were read.
    """

    place: Place
    label: NDArray[np.str_]
    attribute: Tensor
    scale: dict[str, Tensor]
    count: dict[str, Tensor]
    mean: dict[str, Tensor]
    cycle: Tensor | None = None


@dataclass(frozen=True)
class Survey:
    """The cells to train on, in the order of their labels, and the blocks that hold them.

    Attributes
    ----------
    places : list of Place
        Blocks with any cell to train on.
    label, attribute, scale, count, mean, cycle
        As in `Kept`, of all blocks.
    block, column : ndarray of int (cell,)
        Place of each cell: number of the block, and column among its kept cells.
    """

    places: list[Place]
    label: NDArray[np.str_]
    attribute: Tensor
    scale: dict[str, Tensor]
    count: dict[str, Tensor]
    mean: dict[str, Tensor]
    cycle: Tensor | None
    block: NDArray[np.intp]
    column: NDArray[np.intp]


@dataclass(frozen=True)
class Question:
    """What the survey looks for; the same in every block, and sent to workers as it is."""

    ds: xr.Dataset
    layout: Layout
    period: slice
    losses: Mapping[str, Loss]
    wanted: xr.DataArray | None

    def allowed(self, block: Mapping[str, slice]) -> NDArray[np.bool_]:
        """Cells of a block that may be trained on, or one True for all."""
        if self.wanted is None:
            return np.ones(1, bool)
        here = {d: s for d, s in block.items() if d in self.wanted.dims}
        return np.asarray(self.wanted.isel(here).transpose(*self.layout.space)).ravel()


Look = tuple[Kept | None, Findings]
"""What was found in a block: its cells to train on, and what was left out."""


def glance(question: Question, blocks: Iterable[dict[str, slice]]) -> Iterator[Look]:
    """Find the cells with attributes and observations; forcings are not read."""
    return in_order(partial(_glance_at, question), blocks)


def _glance_at(question: Question, block: dict[str, slice]) -> Look:
    layout = question.layout
    fixed = read_block(question.ds, layout, block, forcing=False, observed=False)
    allowed = fixed.exists & question.allowed(block)
    usable = allowed & fixed.has_attributes
    if not usable.any():
        return None, _left_out(fixed, allowed, fixed.exists, fixed.exists)
    inside = {**block, layout.time: question.period}
    observed = read_block(question.ds, layout, inside, forcing=False, attribute=False)
    seen = observed.has_observation
    findings = _left_out(fixed, allowed, fixed.exists, seen) + Findings(
        {key: n for key, n in observed.findings.counts.items() if key[0] != "cells"}
    )
    keep = np.flatnonzero(usable & seen)
    if not len(keep):
        return None, findings
    series = {name: torch.from_numpy(v[:, keep]) for name, v in observed.observed.items()}
    return _kept(question, Place(block, keep), fixed, series), findings


def inspect(
    question: Question, blocks: Iterable[dict[str, slice]]
) -> Iterator[tuple[Look, Series]]:
    """Read blocks whole, and find the cells with complete forcings, too."""
    return in_order(partial(_inspect_one, question), blocks)


def _inspect_one(question: Question, block: dict[str, slice]) -> tuple[Look, Series]:
    cells = read_block(question.ds, question.layout, block)
    allowed = cells.exists & question.allowed(block)
    seen = np.zeros(len(allowed), bool)
    for values in cells.observed.values():
        seen |= np.isfinite(values[question.period]).any(0)
    findings = _left_out(cells, allowed, cells.has_forcing, seen)
    keep = np.flatnonzero(allowed & cells.has_forcing & cells.has_attributes & seen)
    if not len(keep):
        return (None, findings), {}
    series = series_of(cells, keep)
    inside = {name: v[question.period] for name, v in series["observed"].items()}
    cycle = annual_cycle(series["forcing"], seasons(question.ds[question.layout.time]))
    kept = _kept(question, Place(block, keep), cells, inside, cycle)
    forcing, observed = (
        {name: v.numpy() for name, v in found.items()} for found in (series["forcing"], inside)
    )
    rain = {name: v[question.period] for name, v in forcing.items()}
    return (kept, findings + water_balance(question.layout, rain, observed)), series


def series_of(cells: CellBlock, keep: NDArray[np.intp]) -> Series:
    """Series of some cells of a block, as tensors of their own."""

    def tensors(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
        return {
            k: torch.from_numpy(v if len(keep) == v.shape[1] else v.take(keep, axis=1))
            for k, v in arrays.items()
        }

    return {"forcing": tensors(cells.forcing), "observed": tensors(cells.observed)}


def _kept(
    question: Question,
    place: Place,
    cells: CellBlock,
    observed: Mapping[str, Tensor],
    cycle: Tensor | None = None,
) -> Kept:
    return Kept(
        place,
        cells.label[place.keep],
        torch.from_numpy(cells.attribute[place.keep]),
        {k: _scale(loss, observed[k]) for k, loss in question.losses.items()},
        {k: (~torch.isnan(observed[k])).sum(0) for k in question.losses},
        {k: observed[k].nanmean(0) for k in question.losses},
        cycle,
    )


def _scale(loss: Loss, observed: Tensor) -> Tensor:
    """Scale of each cell, some cells at a time: it takes several arrays of twice the size."""
    pieces = observed.split(max(1, PIECE // max(1, len(observed))), dim=1)
    return torch.cat([loss.scale(piece.double()).float() for piece in pieces])


def joined(kept: Sequence[Kept], findings: Findings, losses: Mapping[str, Loss]) -> Survey:
    """Put the blocks' cells in the order of labels; raise DataError where there are none."""
    if not kept:
        raise _no_cell(findings)
    labels = np.concatenate([part.label for part in kept])
    order = np.argsort(labels, kind="stable")
    by_label = torch.from_numpy(order)

    def per_output(name: str) -> dict[str, Tensor]:
        parts: list[dict[str, Tensor]] = [getattr(part, name) for part in kept]
        return {k: torch.cat([part[k] for part in parts])[by_label] for k in parts[0]}

    scale, count = per_output("scale"), per_output("count")
    cycles = [part.cycle for part in kept if part.cycle is not None]
    sizes = [len(part.label) for part in kept]
    return Survey(
        places=[part.place for part in kept],
        label=labels[order],
        attribute=torch.cat([part.attribute for part in kept])[by_label],
        scale={k: losses[k].settled(v, count[k]) for k, v in scale.items()},
        count=count,
        mean=per_output("mean"),
        cycle=torch.cat(cycles, dim=1)[:, by_label] if cycles else None,
        block=np.repeat(np.arange(len(kept)), sizes)[order],
        column=np.concatenate([np.arange(size) for size in sizes])[order],
    )


def _no_cell(findings: Findings) -> DataError:
    found = " ".join(findings.messages()) or "None is wanted and has any forcing."
    return DataError(
        "no cell is left to train on: none has forcing, attributes and observations "
        f"inside the period. {found} "
        "Check period=, cells= and the gaps of the forcings."
    )


def _left_out(
    cells: CellBlock,
    allowed: NDArray[np.bool_],
    driven: NDArray[np.bool_],
    seen: NDArray[np.bool_],
) -> Findings:
    """What was found in a block, counting only cells that were to be trained on."""
    counts = dict(cells.findings.counts)
    counts["cells", ""] = int(allowed.sum())
    for kind, fine in (
        ("no forcing", driven),
        ("no attributes", cells.has_attributes),
        ("no observation", seen),
    ):
        counts[kind, ""] = int((allowed & ~fine).sum())
    return Findings({key: n for key, n in counts.items() if n})
