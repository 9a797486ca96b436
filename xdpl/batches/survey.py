"""Which cells can be trained on, and what must be known of each before the first batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..layout import CellBlock, Findings, Layout, read
from ..losses import Loss
from .blocks import blocks_of
from .cache import Block
from .times import annual_cycle, seasons

__all__ = ["Place", "Survey", "series_of", "survey"]


@dataclass(frozen=True)
class Place:
    """Where the kept cells of a block lie: slices of the Dataset, and columns of the block."""

    block: dict[str, slice]
    keep: NDArray[np.intp]


@dataclass(frozen=True)
class Survey:
    """The cells to train on, in the order of their labels, and the blocks that hold them.

    Attributes
    ----------
    places : list of Place
        Blocks with any cell to train on.
    label : ndarray of str (cell,)
    attribute : Tensor (cell, attribute)
    cycle : Tensor (season, cell, forcing)
    scale, count : dict of str to Tensor (cell,)
        Factor of the loss and number of observations, per output.
    block, column : ndarray of int (cell,)
        Place of each cell: number of the block, and column among its kept cells.
    order : Tensor of int (cell,)
        Sorts by label what was put one block after the other.
    findings : Findings
        What was left out, over all blocks.
    """

    places: list[Place]
    label: NDArray[np.str_]
    attribute: Tensor
    cycle: Tensor
    scale: dict[str, Tensor]
    count: dict[str, Tensor]
    block: NDArray[np.intp]
    column: NDArray[np.intp]
    order: Tensor
    findings: Findings


@dataclass(frozen=True)
class _Kept:
    """What is known of the kept cells of one block."""

    place: Place
    label: NDArray[np.str_]
    attribute: Tensor
    cycle: Tensor
    scale: dict[str, Tensor]
    count: dict[str, Tensor]


def survey(
    ds: xr.Dataset,
    layout: Layout,
    *,
    period: slice,
    losses: Mapping[str, Loss],
    wanted: xr.DataArray | None,
    admit: Callable[[int, Block], None],
) -> Survey:
    """Read all blocks once, and find the cells that can be trained on.

    Parameters
    ----------
    ds, layout, period, losses, wanted
        As in `Cells`.
    admit : callable
        Given the number of each block with cells to train on, and their series.

    Raises
    ------
    DataError
        No cell is left.
    """
    season = seasons(ds[layout.time])
    findings = Findings()
    kept: list[_Kept] = []
    for slices in blocks_of(ds, layout):
        cells = read(ds.isel(slices), layout)
        allowed = cells.exists & _wanted(wanted, slices, layout)
        seen = np.zeros(len(allowed), bool)
        for series in cells.observed.values():
            seen |= np.isfinite(series[period]).any(0)
        findings = findings + _left_out(cells, allowed, seen)
        keep = np.flatnonzero(allowed & cells.has_forcing & cells.has_attributes & seen)
        if not len(keep):
            continue
        data = series_of(cells, keep)
        admit(len(kept), data)
        inside = {name: data["observed"][name][period] for name in losses}
        kept.append(
            _Kept(
                Place(slices, keep),
                cells.label[keep],
                torch.from_numpy(cells.attribute[keep]),
                annual_cycle(data["forcing"], season),
                {name: loss.scale(inside[name].double()).float() for name, loss in losses.items()},
                {name: (~torch.isnan(inside[name])).sum(0) for name in losses},
            )
        )
    if not kept:
        raise _no_cell(findings)
    return _joined(kept, findings, losses)


def series_of(cells: CellBlock, keep: NDArray[np.intp]) -> Block:
    """Series of some cells of a block, as tensors of their own."""

    def tensors(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
        return {k: torch.from_numpy(np.ascontiguousarray(v[:, keep])) for k, v in arrays.items()}

    return {"forcing": tensors(cells.forcing), "observed": tensors(cells.observed)}


def _wanted(
    wanted: xr.DataArray | None, slices: Mapping[str, slice], layout: Layout
) -> NDArray[np.bool_]:
    if wanted is None:
        return np.ones(1, bool)
    some = wanted.isel({d: s for d, s in slices.items() if d in wanted.dims})
    return np.asarray(some.transpose(*layout.space)).ravel()


def _joined(kept: list[_Kept], findings: Findings, losses: Mapping[str, Loss]) -> Survey:
    """Put the blocks' cells in the order of labels."""
    labels = np.concatenate([part.label for part in kept])
    order = np.argsort(labels, kind="stable")
    by_label = torch.from_numpy(order)

    def per_output(name: str) -> dict[str, Tensor]:
        parts: list[dict[str, Tensor]] = [getattr(part, name) for part in kept]
        return {k: torch.cat([part[k] for part in parts])[by_label] for k in parts[0]}

    count = per_output("count")
    scale = per_output("scale")
    sizes = [len(part.label) for part in kept]
    return Survey(
        places=[part.place for part in kept],
        label=labels[order],
        attribute=torch.cat([part.attribute for part in kept])[by_label],
        cycle=torch.cat([part.cycle for part in kept], dim=1)[:, by_label],
        scale={k: losses[k].settled(v, count[k]) for k, v in scale.items()},
        count=count,
        block=np.repeat(np.arange(len(kept)), sizes)[order],
        column=np.concatenate([np.arange(size) for size in sizes])[order],
        order=by_label,
        findings=findings,
    )


def _no_cell(findings: Findings) -> DataError:
    found = " ".join(findings.messages()) or "None is wanted and has any forcing."
    return DataError(
        "no cell is left to train on: none has forcing, attributes and observations "
        f"inside the period. {found} "
        "Check period=, cells= and the gaps of the forcings."
    )


def _left_out(cells: CellBlock, allowed: NDArray[np.bool_], seen: NDArray[np.bool_]) -> Findings:
    """What was found in a block, counting only cells that were to be trained on."""
    counts = dict(cells.findings.counts)
    counts["cells", ""] = int(allowed.sum())
    for kind, fine in (
        ("no forcing", cells.has_forcing),
        ("no attributes", cells.has_attributes),
        ("no observation", seen),
    ):
        counts[kind, ""] = int((allowed & ~fine).sum())
    return Findings({key: n for key, n in counts.items() if n})
