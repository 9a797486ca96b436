"""What is read at a time: the kept cells of a block over a span of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..layout import Findings, Layout
from .balance import SAMPLE_DAYS, water_balance
from .cache import Series, Unit
from .reading import read_block
from .survey import Place, series_of

__all__ = ["Source", "balance_at", "gather"]

GAP_DAYS = 8.0
"""Days read besides a span: gaps up to a week are filled as if the whole record were there."""


@dataclass(frozen=True)
class Source:
    """Where units are read from; whole, it can be sent to another process.

    Attributes
    ----------
    ds, layout
        The Dataset, and what its variables are.
    places : sequence of Place
        The kept cells, by block.
    spans : sequence of slice
        Spans of time, one after the other.
    """

    ds: xr.Dataset
    layout: Layout
    places: Sequence[Place]
    spans: Sequence[slice]

    def read(self, unit: Unit) -> Series:
        """Read one unit; runs in a thread or on a worker."""
        place, span = self.places[unit[0]], self.spans[unit[1]]
        steps = int(self.ds.sizes[self.layout.time])
        pad = int(np.ceil(GAP_DAYS / self.layout.dt))
        wide = slice(max(0, span.start - pad), min(steps, span.stop + pad))
        block = {**place.block, self.layout.time: wide}
        cells = read_block(self.ds, self.layout, block, attribute=False)
        series = series_of(cells, place.keep)
        if wide == span:
            return series
        inside = slice(span.start - wide.start, span.stop - wide.start)
        return {
            kind: {name: v[inside].clone() for name, v in part.items()}  # the rest is let go
            for kind, part in series.items()
        }

    def size(self, unit: Unit) -> int:
        """Bytes of a unit in memory."""
        span = self.spans[unit[1]]
        series = len(self.layout.forcings) + len(self.layout.observed)
        return 4 * series * (span.stop - span.start) * len(self.places[unit[0]].keep)

    def units(self, blocks: Iterable[int], steps: Iterable[slice]) -> list[Unit]:
        """Units that hold some blocks at some spans of steps."""
        touched = [
            number
            for number, span in enumerate(self.spans)
            if any(s.start < span.stop and s.stop > span.start for s in steps)
        ]
        return [(int(block), number) for block in blocks for number in touched]


def balance_at(source: Source, period: slice) -> Findings:
    """Water balance of the cells of the first block, over some years of the period."""
    steps = max(1, round(SAMPLE_DAYS / source.layout.dt))
    span = slice(period.start, min(period.stop, period.start + steps))
    series = replace(source, spans=[span]).read((0, 0))
    forcing, observed = (
        {name: v.numpy() for name, v in series[kind].items()} for kind in ("forcing", "observed")
    )
    return water_balance(source.layout, forcing, observed)


def gather(
    source: Source,
    units: Mapping[Unit, Series],
    kind: str,
    block: NDArray[np.intp],
    column: NDArray[np.intp],
    steps: NDArray[np.intp],
) -> dict[str, Tensor]:
    """Put the series of some cells together from the units that hold them: {name: (step, cell)}.

    Parameters
    ----------
    source : Source
        Of the units.
    units : mapping of (int, int) to series
        In memory.
    kind : {"forcing", "observed"}
        Of series.
    block, column : ndarray of int (cell,)
        Where each cell lies.
    steps : ndarray of int (step,)
        Steps of the record, in any order.
    """
    if not len(block):  # a process without cells: the same names, and no values
        layout = source.layout
        names = layout.forcings if kind == "forcing" else layout.observed
        return {name: torch.empty(len(steps), 0) for name in names}
    numbers = np.unique(block)
    cells = [np.flatnonzero(block == number) for number in numbers]
    columns = [torch.from_numpy(column[here]) for here in cells]
    order = np.argsort(np.concatenate(cells))
    back = None if (np.diff(order) == 1).all() else torch.from_numpy(order)
    result: dict[str, Tensor] = {}
    for span_number in sorted({number for _, number in units}):
        span = source.spans[span_number]
        rows = np.flatnonzero((steps >= span.start) & (steps < span.stop))
        if not len(rows):
            continue
        at = _rows(steps[rows] - span.start)
        parts = [units[int(number), span_number][kind] for number in numbers]
        for name in parts[0]:
            pieces = [p[name][at].index_select(1, c) for p, c in zip(parts, columns, strict=True)]
            joined = pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1)
            joined = joined if back is None else joined.index_select(1, back)
            if len(rows) == len(steps):
                result[name] = joined
                continue
            if name not in result:
                result[name] = joined.new_empty(len(steps), len(block))
            result[name][torch.from_numpy(rows)] = joined
    return result


def _rows(steps: NDArray[np.intp]) -> slice | Tensor:
    """Steps as an index along time: a slice, which copies nothing, where one follows another."""
    if (np.diff(steps) == 1).all():
        return slice(int(steps[0]), int(steps[-1]) + 1)
    return torch.from_numpy(steps)
