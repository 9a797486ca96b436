"""Draw the batches of an epoch: which cells, and which window of time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .cells import Cells
from .loader import Task

__all__ = ["schedule"]

BUFFERED = 4
"""Blocks whose cells are mixed, at least."""

BUFFER = 256 * 2**20
"""Bytes of series from which on no further block is mixed in."""


def schedule(
    cells: Cells, *, epoch: int, seed: int, batch_size: int, window: int, by_block: bool
) -> Iterator[Task]:
    """Draw the batches of one epoch: (cells, first step, end) of each.

    Every cell comes once for each window's length of the period. The windows' places are random;
    cells are random, too, or, ``by_block``, those of a buffer of a few chunks, so that a chunk
    is read once. Where the records of a chunk are read in several spans of time, each buffer has
    one window, and others come in between. All of this follows from seed, epoch and chunks,
    whatever memory there is.
    """
    draw = np.random.default_rng([seed, epoch])
    period = cells.period
    window = min(window, period.stop - period.start)
    rounds = max(1, round((period.stop - period.start) / window))
    if not by_block:
        yield from _mixed(draw, np.arange(len(cells)), batch_size, rounds, period, window)
        return
    buffers = list(_buffers(cells, draw, batch_size))
    if len(cells.source.spans) == 1:
        for buffer in buffers:
            yield from _mixed(draw, buffer, batch_size, rounds, period, window)
        return
    for at in draw.permutation(np.repeat(np.arange(len(buffers)), rounds)):
        start = _start(draw, period, window)
        for index in _split(draw.permutation(buffers[at]), batch_size):
            yield Task(index, start, start + window)


def _mixed(
    draw: np.random.Generator,
    members: NDArray[np.intp],
    batch_size: int,
    rounds: int,
    period: slice,
    window: int,
) -> Iterator[Task]:
    """Batches of some cells in random order, each with a window of its own."""
    plan = []
    for _ in range(rounds):
        for index in _split(draw.permutation(members), batch_size):
            plan.append((index, _start(draw, period, window)))
    for at in draw.permutation(len(plan)):
        index, start = plan[at]
        yield Task(index, start, start + window)


def _start(draw: np.random.Generator, period: slice, window: int) -> int:
    first, last = period.start, period.stop
    # drawn beyond the ends and cut back, so that the ends are not seen less often
    start = int(draw.integers(first - window // 2, last - window // 2 + 1))
    return min(max(start, first), last - window)


def _buffers(
    cells: Cells, draw: np.random.Generator, batch_size: int
) -> Iterator[NDArray[np.intp]]:
    """Cells of a few blocks at a time, blocks in random order."""
    most = BUFFER // cells.bytes_per_cell
    waiting: list[NDArray[np.intp]] = []
    size = 0
    for number in draw.permutation(len(cells.groups)):
        waiting.append(cells.groups[number])
        size += len(waiting[-1])
        if size >= most or (len(waiting) >= BUFFERED and size >= 2 * batch_size):
            yield np.concatenate(waiting)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _split(index: NDArray[np.intp], batch_size: int) -> list[NDArray[np.intp]]:
    return list(np.array_split(index, -(-len(index) // batch_size)))
