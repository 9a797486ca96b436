"""The cells to train on, and the series of any of them over any window.

Cells are kept in the order of their labels, so that with equal seed and batch size the batches
are the same however the Dataset lies in memory.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..layout import Findings, Layout
from ..losses import Loss
from ..runtime.distributed import ALONE, ProcessGroup
from ..runtime.memory import free_memory
from .balance import known_answers
from .batch import Batch, joined_batch
from .blocks import blocks_of, bytes_per_cell, spans_of
from .cache import Series, Unit, UnitCache
from .chunks import advise
from .reading import Background
from .survey import Question, Survey, glance, inspect, joined
from .times import spin_up_index
from .units import Source, balance_at, gather

__all__ = ["Cells"]


class Cells:
    """The cells to train on, in the order of their labels.

    Cells without attributes or observations are left out, and counted, before any forcing is
    read. What fits into ``budget`` bytes is read once and stays in memory, and cells with
    incomplete forcings are left out, too. Beyond it, forcings are read when batches ask for them,
    and a cell is left out of batches in whose window its forcings are incomplete.

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
        Bytes of memory for what was read; a third of what is free by default.
    cycle : bool
        Whether the annual cycle of the forcings is needed, which takes reading all of them.
    group : ProcessGroup
        The processes that train together. None holds the series unless all have room for them:
        gaps leave out other cells where series are held, and all must have the same cells.

    Attributes
    ----------
    climate, past : Tensor (cell, statistic), optional
        Climate, and statistics of past observations, where they were set.
    label, attribute, scale, count, cycle
        As in `Batch`, of all cells.
    findings : Findings
        What was left out.
    incomplete : Tensor of bool (cell,)
        Cells that were left out of any batch trained on, because their forcings are incomplete;
        see `count_left_out`.
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
        cycle: bool = False,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.layout, self.period = layout, period
        self.steps = int(ds.sizes[layout.time])
        self.bytes_per_cell = bytes_per_cell(ds, layout)
        self.budget = free_memory() // 3 if budget is None else budget
        question = Question(ds, layout, period, losses, wanted)
        found = self._survey(question, cycle, group)
        self.label, self.attribute, self.cycle = found.label, found.attribute, found.cycle
        self.climate: Tensor | None = None
        self.past: Tensor | None = None
        self.scale, self.count = found.scale, found.count
        self._block, self._column = found.block, found.column
        self.incomplete = torch.zeros(len(found.label), dtype=torch.bool)
        widest = int(np.bincount(found.block).max())
        self.source = Source(ds, layout, found.places, spans_of(ds, layout, widest))

    def _survey(self, question: Question, cycle: bool, group: ProcessGroup) -> Survey:
        """Find the cells; read all of what fits, and keep it in the order of labels."""
        blocks = blocks_of(question.ds, self.layout)
        advise(question.ds, self.layout, blocks)
        looks = list(glance(question, blocks))
        kept = [one for one, _ in looks if one is not None]
        needed = sum(len(one.label) for one in kept) * self.bytes_per_cell
        fits = not group.any(needed > self.budget)
        parts: list[Series] = []
        if fits or cycle:
            # what was found in a block that is read again is counted once
            looks = [look for look in looks if look[0] is None]
            for look, series in inspect(question, [one.place.block for one in kept]):
                looks.append(look)
                if fits and look[0] is not None:
                    parts.append(series)
        self.findings = sum((findings for _, findings in looks), Findings())
        survey = joined(
            [one for one, _ in looks if one is not None], self.findings, question.losses
        )
        self.findings += known_answers(self.layout, survey.attribute, survey.mean)
        self._whole = _ordered(parts, survey) if fits else None
        return survey

    def __len__(self) -> int:
        return len(self.label)

    def look_at_balance(self) -> None:
        """Add the water balance to what was found, of one block where not all was read."""
        if not self.in_memory and not self.findings.count("balanced"):
            self.findings += balance_at(self.source, self.period)

    @property
    def year(self) -> int:
        """Steps in a year, at most the length of the record."""
        return max(1, min(self.steps, round(365 / self.layout.dt)))

    @property
    def in_memory(self) -> bool:
        """Whether nothing needs to be read any more."""
        return self._whole is not None

    def to(self, device: torch.device) -> Cells:
        """Return the same cells with all series on a GPU, where they fit into half of its memory.

        Batches are cut there then, and nothing but the places of their cells is sent.
        """
        if self._whole is None or device == self.attribute.device:
            return self
        if len(self) * self.bytes_per_cell > _room(device):
            return self
        there = copy.copy(self)
        try:
            there._whole = {kind: _moved(part, device) for kind, part in self._whole.items()}
        except torch.OutOfMemoryError:  # a limit of this process, or memory in pieces
            return self
        there.scale, there.count = _moved(self.scale, device), _moved(self.count, device)
        there.attribute = self.attribute.to(device)
        there.cycle = None if self.cycle is None else self.cycle.to(device)
        there.climate = None if self.climate is None else self.climate.to(device)
        there.past = None if self.past is None else self.past.to(device)
        return there

    @cached_property
    def groups(self) -> list[NDArray[np.intp]]:
        """Cells of each block, as places in the order of labels."""
        order = np.argsort(self._block, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self._block))[:-1])

    def units(self, index: NDArray[np.intp], start: int, stop: int, warmup: int) -> list[Unit]:
        """Units to read for a batch; none where all is in memory."""
        if self._whole is not None:
            return []
        steps = [slice(max(0, start - warmup), stop)]
        if start < warmup:
            steps.append(slice(0, self.year))
        return self.source.units(np.unique(self._block[index]), steps)

    def share(self, index: NDArray[np.intp], group: ProcessGroup) -> NDArray[np.intp] | None:
        """Places in a batch of the cells that this process simulates; those of a block together."""
        if group.size == 1:
            return None
        order = np.argsort(self._block[index], kind="stable")
        return np.sort(np.array_split(order, group.size)[group.rank])

    def reader(self) -> UnitCache:
        """A cache that reads units in the background."""
        return UnitCache(Background(self.source.read), self.source.size, self.budget)

    def inputs(self, index: Tensor | None = None) -> Tensor:
        """What a network reads of cells: attributes, then climate, then past observations."""
        known = (self.attribute, self.climate, self.past)
        parts = [one for one in known if one is not None]
        return torch.cat([part if index is None else part[index] for part in parts], dim=1)

    def take(self, index: NDArray[np.intp], start: int, stop: int, warmup: int) -> Batch:
        """Cut one batch: cells by place, steps ``start`` to ``stop`` with a spin-up ahead.

        Where cells aren't in memory, one block is read after the other and let go again.
        """
        index = np.asarray(index)
        if self.in_memory or not len(index):
            return self.cut(index, start, stop, warmup, {})
        block, parts = self._block[index], []
        for number in np.unique(block):
            some = index[block == number]
            units = {u: self.source.read(u) for u in self.units(some, start, stop, warmup)}
            parts.append(self.cut(some, start, stop, warmup, units))
        place = np.empty(len(self), np.intp)
        place[index] = np.arange(len(index))
        return joined_batch(parts, lambda found: np.argsort(place[found]))

    def cut(
        self,
        index: NDArray[np.intp],
        start: int,
        stop: int,
        warmup: int,
        units: Mapping[Unit, Series],
        own: NDArray[np.intp] | None = None,
    ) -> Batch:
        """`take` from units that were read before; ``own``: only the series of these cells."""
        index = np.asarray(index)
        steps = spin_up_index(start, stop, warmup, self.year)
        columns = _sent(index, self.attribute.device)
        here = index if own is None else index[own]
        places = columns if own is None else _sent(here, self.attribute.device)
        forcing = self._series("forcing", here, places, steps, units)
        observed = self._series("observed", here, places, steps[warmup:], units)
        left_out = np.empty(0, np.intp)
        if self._whole is None:
            complete = _complete(forcing)
            if not bool(complete.all()):
                left_out = here[~complete.numpy()]
                forcing = {k: v[:, complete] for k, v in forcing.items()}
                observed = {k: v[:, complete] for k, v in observed.items()}
                if own is None:
                    index, columns = index[complete.numpy()], columns[complete]
                else:
                    own = own[complete.numpy()]
        return Batch(
            forcing=forcing,
            observed=observed,
            scale={k: v[columns] for k, v in self.scale.items()},
            attribute=self.inputs(columns),
            cycle=None if self.cycle is None else self.cycle[:, columns],
            label=self.label[index],
            index=columns,
            count=torch.stack([v[columns] for v in self.count.values()]).sum(0),
            start=start,
            own=None if own is None else _sent(own, self.attribute.device),
            left_out=left_out,
        )

    def count_left_out(self, batch: Batch) -> None:
        """Note the cells that were left out of a batch, in the thread that trains on it.

        Batches are cut in other threads, which write nothing here: a checkpoint may be reading.
        """
        self.incomplete[torch.from_numpy(batch.left_out)] = True

    def _series(
        self,
        kind: str,
        index: NDArray[np.intp],
        columns: Tensor,
        steps: NDArray[np.intp],
        units: Mapping[Unit, Series],
    ) -> dict[str, Tensor]:
        if self._whole is None:
            return gather(self.source, units, kind, self._block[index], self._column[index], steps)
        first, last = int(steps[0]), int(steps[-1])
        # no spin-up repeated: a view
        plain = last - first + 1 == len(steps)
        rows = slice(first, last + 1) if plain else _sent(steps, columns.device)
        whole = self._whole[kind]
        return {name: series[rows].index_select(1, columns) for name, series in whole.items()}


def _room(device: torch.device) -> float:
    """Bytes that series may take on a device."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else math.inf


def _moved(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _sent(places: NDArray[np.intp], device: torch.device) -> Tensor:
    """Places as a tensor on a device; nobody waits until it is there."""
    sent = torch.from_numpy(places)
    return (sent.pin_memory() if device.type == "cuda" else sent).to(device, non_blocking=True)


def _ordered(parts: list[Series], survey: Survey) -> Series:
    """Join the blocks' series in the order of labels, letting go of the parts on the way."""
    sizes = np.bincount(survey.block)
    place = np.cumsum(sizes) - sizes
    order = torch.from_numpy(place[survey.block] + survey.column)
    return {
        kind: {
            name: torch.cat([part[kind].pop(name) for part in parts], dim=1)[:, order]
            for name in list(parts[0][kind])
        }
        for kind in ("forcing", "observed")
    }


def _complete(forcing: Mapping[str, Tensor]) -> Tensor:
    """Cells without any missing value; of bool (cell,)."""
    return torch.stack([~torch.isnan(series).any(0) for series in forcing.values()]).all(0)
