"""From a Dataset to minibatches of tensors: cells x time windows with a spin-up ahead.

Here, and in `fitting`, labels meet tensors. Cells are kept in the order of their labels, so that
with equal seed and batch size the batches are the same however the Dataset lies in memory.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from .errors import DataError
from .layout import CellBlock, Findings, Layout, read
from .losses import Loss

__all__ = ["Batch", "Cells", "annual_cycle", "blocks_of", "schedule", "seasons", "spin_up_index"]

SEASONS = 52


@dataclass
class Batch:
    """What one training step needs; times run from the start of the spin-up to the window's end.

    Attributes
    ----------
    forcing : dict of str to Tensor (spin-up + window, cell)
    observed : dict of str to Tensor (window, cell)
        NaN where nothing was observed.
    scale : dict of str to Tensor (cell,)
        Factor of each cell's loss, per output.
    attribute : Tensor (cell, attribute)
        Raw values.
    cycle : Tensor (season, cell, forcing), optional
        Mean annual cycle of the forcings.
    label : ndarray of str (cell,)
        Labels of the cells.
    index : Tensor of int (cell,)
        Places of the cells in the order of labels.
    count : Tensor (cell,)
        Observations of each cell in the training period, all outputs together.
    start : int
        Place of the window's first step in the record.
    """

    forcing: dict[str, Tensor]
    observed: dict[str, Tensor]
    scale: dict[str, Tensor]
    attribute: Tensor
    cycle: Tensor | None
    label: NDArray[np.str_]
    index: Tensor
    count: Tensor
    start: int

    def to(self, device: torch.device) -> Batch:
        """Copy to a device; the same object where it is there already."""
        if self.attribute.device == device:
            return self

        def move(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: v.to(device, non_blocking=True) for k, v in tensors.items()}

        return Batch(
            move(self.forcing),
            move(self.observed),
            move(self.scale),
            self.attribute.to(device),
            None if self.cycle is None else self.cycle.to(device),
            self.label,
            self.index.to(device),
            self.count.to(device),
            self.start,
        )


def spin_up_index(start: int, stop: int, warmup: int, year: int) -> NDArray[np.intp]:
    """Places in the record of a window and of the spin-up ahead of it.

    Where the record does not reach back far enough its own first year is repeated, in phase.

    Parameters
    ----------
    start, stop : int
        The window in the record.
    warmup : int
        Steps of spin-up.
    year : int
        Steps in a year, at most the length of the record.

    Returns
    -------
    ndarray of int (warmup + stop - start,)
    """
    wanted = np.arange(start - warmup, stop)
    return np.where(wanted < 0, wanted % year, wanted)


def seasons(times: xr.DataArray) -> Tensor:
    """Week of the year, 0 to 51, of each time (any calendar); shape (time,)."""
    day = torch.from_numpy(np.asarray(times.dt.dayofyear).astype("i8"))
    return ((day - 1) * SEASONS // 366).clamp(max=SEASONS - 1)


def annual_cycle(forcing: Mapping[str, Tensor], season: Tensor) -> Tensor:
    """Weekly means over all years: (season, cell, forcing) from {name: (time, cell)}.

    A week without any step in the record takes the mean of the whole record.
    """
    count = torch.bincount(season, minlength=SEASONS)[:, None]
    layers = []
    for series in forcing.values():
        total = series.new_zeros(SEASONS, series.shape[1]).index_add_(0, season, series)
        layers.append(torch.where(count > 0, total / count.clamp(min=1), series.mean(0)))
    return torch.stack(layers, dim=-1)


def blocks_of(ds: xr.Dataset, layout: Layout) -> list[dict[str, slice]]:
    """Chunks of a dask Dataset along its space dimensions; one block where nothing is chunked."""
    blocks: list[dict[str, slice]] = [{}]
    for dim in layout.space:
        sizes = ds.chunksizes.get(dim, (ds.sizes[dim],))
        edges = np.concatenate([[0], np.cumsum(sizes)])
        pieces = [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        blocks = [{**block, dim: piece} for block in blocks for piece in pieces]
    return blocks


def _tensors(
    arrays: Mapping[str, NDArray[np.float32]], keep: NDArray[np.intp]
) -> dict[str, Tensor]:
    return {k: torch.from_numpy(np.ascontiguousarray(v[:, keep])) for k, v in arrays.items()}


@dataclass
class _Place:
    """Where the kept cells of a block lie: slices of the Dataset, and columns of the block."""

    block: dict[str, slice]
    keep: NDArray[np.intp]


class Cells:
    """The cells to train on, in the order of their labels.

    All blocks are read once: cells without forcing, attributes or observations are left out and
    counted. What fits into ``budget`` bytes stays in memory; beyond it blocks are read again.

    Parameters
    ----------
    ds : Dataset
        Its times are the record: the training period and the spin-up before it.
    layout : Layout
        Roles of the variables.
    wanted : DataArray of bool (*space), optional
        Cells allowed, in the order of the Dataset.
    period : slice
        Steps of the record that carry observations to train on.
    losses : mapping of str to Loss
        By model output; each gives the scale of the cells.
    budget : int, optional
        Bytes of memory for what was read; a third of the machine's by default.
    """

    def __init__(
        self,
        ds: xr.Dataset,
        layout: Layout,
        *,
        period: slice,
        losses: Mapping[str, Loss],
        wanted: xr.DataArray | None = None,
        budget: int | None = None,
    ) -> None:
        self._ds, self.layout, self.period = ds, layout, period
        self.steps = int(ds.sizes[layout.time])
        self.findings = Findings()
        self._budget = _memory() // 3 if budget is None else budget
        self._cache: OrderedDict[int, dict[str, dict[str, Tensor]]] = OrderedDict()
        self._cached_bytes = 0
        self._survey(losses, wanted)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def year(self) -> int:
        """Steps in a year, at most the length of the record."""
        return max(1, min(self.steps, round(365 / self.layout.dt)))

    @property
    def groups(self) -> list[NDArray[np.intp]]:
        """Cells of each block, as places in the order of labels."""
        return [np.flatnonzero(self._block == b) for b in range(len(self._places))]

    def _survey(self, losses: Mapping[str, Loss], wanted: xr.DataArray | None) -> None:
        self._places: list[_Place] = []
        label, attribute, block_number, column, cycle = [], [], [], [], []
        season = seasons(self._ds[self.layout.time])
        scale: dict[str, list[Tensor]] = {name: [] for name in losses}
        count: dict[str, list[Tensor]] = {name: [] for name in losses}
        for slices in blocks_of(self._ds, self.layout):
            piece = self._ds.isel(slices)
            cells = read(piece, self.layout)
            allowed = cells.exists.copy()
            if wanted is not None:
                some = wanted.isel({d: s for d, s in slices.items() if d in wanted.dims})
                allowed &= np.asarray(some.transpose(*self.layout.space)).ravel()
            observed = {k: v[self.period] for k, v in cells.observed.items()}
            seen = np.zeros(len(allowed), bool)
            for series in observed.values():
                seen |= np.isfinite(series).any(0)
            self.findings = self.findings + _left_out(cells, allowed, seen)
            keep = np.flatnonzero(allowed & cells.has_forcing & cells.has_attributes & seen)
            if not len(keep):
                continue
            number = len(self._places)
            self._places.append(_Place(slices, keep))
            data = self._admit(number, cells, keep)
            label.append(cells.label[keep])
            attribute.append(torch.from_numpy(cells.attribute[keep]))
            block_number.append(np.full(len(keep), number))
            column.append(np.arange(len(keep)))
            cycle.append(annual_cycle(data["forcing"], season))
            for name, loss in losses.items():
                inside = data["observed"][name][self.period]
                scale[name].append(loss.scale(inside.double()).float())
                count[name].append((~torch.isnan(inside)).sum(0))
        if not label:
            found = " ".join(self.findings.messages()) or "None is wanted and has any forcing."
            raise DataError(
                "no cell is left to train on: none has forcing, attributes and observations "
                f"inside the period. {found} "
                "Check period=, cells= and the gaps of the forcings."
            )
        labels = np.concatenate(label)
        order = np.argsort(labels, kind="stable")
        by_label = torch.from_numpy(order)
        self.label: NDArray[np.str_] = labels[order]
        self.attribute = torch.cat(attribute)[by_label]
        self._block, self._column = (
            np.concatenate(block_number)[order],
            np.concatenate(column)[order],
        )
        self.cycle = torch.cat(cycle, dim=1)[:, by_label]
        self.scale = {k: torch.cat(v)[by_label] for k, v in scale.items()}
        self.count = {k: torch.cat(v)[by_label] for k, v in count.items()}
        self._merge(by_label)

    def _admit(
        self, number: int, cells: CellBlock, keep: NDArray[np.intp]
    ) -> dict[str, dict[str, Tensor]]:
        """Keep a block in memory, letting go of the one used longest ago where it is full."""
        data = {
            "forcing": _tensors(cells.forcing, keep),
            "observed": _tensors(cells.observed, keep),
        }
        self._cache[number] = data
        self._cached_bytes += _bytes(data)
        while self._cached_bytes > self._budget and len(self._cache) > 1:
            _, old = self._cache.popitem(last=False)
            self._cached_bytes -= _bytes(old)
        return data

    def _load(self, number: int) -> dict[str, dict[str, Tensor]]:
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        place = self._places[number]
        return self._admit(number, read(self._ds.isel(place.block), self.layout), place.keep)

    def _merge(self, order: Tensor) -> None:
        """Join the blocks to one, in the order of labels, where all of them are in memory."""
        self._whole: dict[str, dict[str, Tensor]] | None = None
        if len(self._cache) < len(self._places):
            return
        parts = [self._cache[b] for b in range(len(self._places))]
        self._whole = {
            kind: {
                name: torch.cat([part[kind][name] for part in parts], dim=1)[:, order]
                for name in parts[0][kind]
            }
            for kind in parts[0]
        }
        self._cache.clear()

    def _series(
        self, kind: str, index: NDArray[np.intp], times: NDArray[np.intp] | slice
    ) -> dict[str, Tensor]:
        columns = torch.from_numpy(np.asarray(index))
        if self._whole is not None:
            return {k: v[times].index_select(1, columns) for k, v in self._whole[kind].items()}
        numbers = self._block[index]
        parts: dict[str, Tensor] = {}
        for number in np.unique(numbers):
            here = np.flatnonzero(numbers == number)
            data = self._load(int(number))[kind]
            for name, series in data.items():
                rows = series[times].index_select(1, torch.from_numpy(self._column[index[here]]))
                if name not in parts:
                    parts[name] = rows.new_empty(rows.shape[0], len(index))
                parts[name][:, torch.from_numpy(here)] = rows
        return parts

    def take(self, index: NDArray[np.intp], start: int, stop: int, warmup: int) -> Batch:
        """Cut one batch: cells by place, steps ``start`` to ``stop`` with a spin-up ahead."""
        times: NDArray[np.intp] | slice = slice(start - warmup, stop)
        if start < warmup:
            times = spin_up_index(start, stop, warmup, self.year)
        columns = torch.from_numpy(np.asarray(index))
        return Batch(
            forcing=self._series("forcing", index, times),
            observed=self._series("observed", index, slice(start, stop)),
            scale={k: v[columns] for k, v in self.scale.items()},
            attribute=self.attribute[columns],
            cycle=self.cycle[:, columns],
            label=self.label[index],
            index=columns,
            count=torch.stack([v[columns] for v in self.count.values()]).sum(0),
            start=start,
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


def _bytes(data: Mapping[str, Mapping[str, Tensor]]) -> int:
    return sum(t.numel() * t.element_size() for part in data.values() for t in part.values())


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 8 * 2**30


def schedule(
    cells: Cells, *, epoch: int, seed: int, batch_size: int, window: int, by_block: bool
) -> Iterator[tuple[NDArray[np.intp], int, int]]:
    """Draw the batches of one epoch: (cells, first step, end) of each.

    Every cell comes once for each window's length of the period. The windows' places are random;
    cells are random, too, or, ``by_block``, those of one chunk: larger chunks are split, small
    ones merged.
    """
    draw = np.random.default_rng([seed, epoch])
    first, last = cells.period.start, cells.period.stop
    window = min(window, last - first)
    rounds = max(1, round((last - first) / window))
    plan = []
    for _ in range(rounds):
        for index in _groups(cells, draw, batch_size, by_block):
            # drawn beyond the ends and cut back, so that the ends are not seen less often
            start = int(draw.integers(first - window // 2, last - window // 2 + 1))
            plan.append((index, min(max(start, first), last - window)))
    for at in draw.permutation(len(plan)):
        index, start = plan[at]
        yield index, start, start + window


def _groups(
    cells: Cells, draw: np.random.Generator, batch_size: int, by_block: bool
) -> list[NDArray[np.intp]]:
    if not by_block:
        return _split(draw.permutation(len(cells)), batch_size)
    blocks = cells.groups
    groups: list[NDArray[np.intp]] = []
    waiting = np.empty(0, np.intp)
    for number in draw.permutation(len(blocks)):
        waiting = np.concatenate([waiting, draw.permutation(blocks[number])])
        if len(waiting) * 2 > batch_size:
            groups += _split(waiting, batch_size)
            waiting = np.empty(0, np.intp)
    return groups + _split(waiting, batch_size) if len(waiting) else groups


def _split(index: NDArray[np.intp], batch_size: int) -> list[NDArray[np.intp]]:
    return list(np.array_split(index, -(-len(index) // batch_size)))
