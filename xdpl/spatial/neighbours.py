"""Neighbours: pairs on a grid, the nearest of all, and contiguous blocks."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHIFTS", "blocks", "grid_pairs", "nearest"]

PAIRS = 4_000_000
"""Distances held in memory at a time."""

SHIFTS = {"rook": ((0, 1), (1, 0)), "queen": ((0, 1), (1, 0), (1, 1), (1, -1))}
"""Steps (rows, columns) to the neighbours of a cell of a grid, each pair once."""

Array: TypeAlias = NDArray[np.float64]


def nearest(wanted: Array, among: Array, count: int) -> NDArray[np.intp]:
    """Indices in ``among`` (donor, n) of the nearest to each of ``wanted`` (cell, n).

    Returns
    -------
    ndarray of int (cell, count)
        The nearest first; of equally near ones the first.
    """
    size = max(1, PAIRS // max(1, len(among)))
    found = np.empty((len(wanted), count), np.intp)
    squares = (among**2).sum(1)
    for at in range(0, len(wanted), size):
        piece = wanted[at : at + size]
        distance = squares - 2 * piece @ among.T  # the rest is the same for all of a row
        found[at : at + size] = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return found


def blocks(position: Array, count: int) -> NDArray[np.intp]:
    """Cut cells into contiguous blocks of nearly equal numbers; the same in every run.

    The cells are halved across the direction in which they spread most, and the halves again, each
    into as many blocks as its share asks for.

    Parameters
    ----------
    position : ndarray (cell, n)
        From `positions`, without NaN.
    count : int
        Blocks wanted.

    Returns
    -------
    ndarray of int (cell,)
        Number of the block of each cell, 0 to ``count - 1``.
    """
    number = np.zeros(len(position), np.intp)
    waiting = [(np.arange(len(position)), 0, count)]
    while waiting:
        cells, first, wanted = waiting.pop()
        if wanted == 1:
            number[cells] = first
            continue
        own = position[cells] - position[cells].mean(0)
        _, _, axes = np.linalg.svd(own, full_matrices=False)
        axis = axes[0] * np.sign(axes[0][np.argmax(np.abs(axes[0]))])
        order = cells[np.argsort(np.round(own @ axis, 6), kind="stable")]
        left = wanted // 2
        cut = round(len(cells) * left / wanted)
        waiting += [(order[:cut], first, left), (order[cut:], first + left, wanted - left)]
    return number


def grid_pairs(there: NDArray[np.bool_], kind: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each pair of neighbours on a grid once, as places in stack order.

    Parameters
    ----------
    there : ndarray of bool (row, column)
        Cells that count.
    kind : {"rook", "queen"}
        Cells that share an edge, or an edge or a corner.
    """
    rows, columns = there.shape
    number = np.arange(there.size).reshape(there.shape)
    one, other = [], []
    for down, right in SHIFTS[kind]:
        left = slice(max(0, -right), columns - max(0, right))
        a = number[: rows - down, left]
        b = number[down:, left.start + right : left.stop + right]
        both = there.ravel()[a] & there.ravel()[b]
        one.append(a[both])
        other.append(b[both])
    return np.concatenate(one), np.concatenate(other)
