"""Draw the batches of an epoch: which cells, and which window of time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .cells import Cells

__all__ = ["schedule"]


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
