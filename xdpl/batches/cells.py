"""The cells to train on, and the series of any of them over any window.

Cells are kept in the order of their labels, so that with equal seed and batch size the batches
are the same however the Dataset lies in memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..layout import Layout, read
from ..losses import Loss
from .batch import Batch
from .cache import Block, BlockCache, machine_memory
from .survey import series_of, survey
from .times import spin_up_index

__all__ = ["Cells"]


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
        self._cache = BlockCache(machine_memory() // 3 if budget is None else budget)
        found = survey(
            ds, layout, period=period, losses=losses, wanted=wanted, admit=self._cache.put
        )
        self.findings, self.label = found.findings, found.label
        self.attribute, self.cycle = found.attribute, found.cycle
        self.scale, self.count = found.scale, found.count
        self._places, self._block, self._column = found.places, found.block, found.column
        self._merge(found.order)

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

    def _load(self, number: int) -> Block:
        block = self._cache.get(number)
        if block is None:
            place = self._places[number]
            block = series_of(read(self._ds.isel(place.block), self.layout), place.keep)
            self._cache.put(number, block)
        return block

    def _merge(self, order: Tensor) -> None:
        """Join the blocks to one, in the order of labels, where all of them are in memory."""
        self._whole: Block | None = None
        if len(self._cache) < len(self._places):
            return
        parts = [self._load(number) for number in range(len(self._places))]
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
