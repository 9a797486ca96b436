"""Marks on maps: cells without a value, and flagged ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["CROSS", "NO_VALUE", "flagged_key", "missing_key", "stipple", "thin"]

CROSS: dict[str, Any] = {"marker": "x", "color": "0.5", "markersize": 4, "markeredgewidth": 0.8}
NO_VALUE: dict[str, Any] = {"facecolor": "0.95", "edgecolor": "0.72", "hatch": "////"}

_DOT: dict[str, Any] = {"marker": ".", "color": "black", "markersize": 2.5, "linestyle": "none"}

_APART = 6.0
"""Points (1/72 inch) from dot to dot at least: nearer ones run into lines and hide the map."""


def thin(
    flagged: NDArray[np.bool_], known: NDArray[np.bool_], height: float, width: float
) -> NDArray[np.bool_]:
    """Keep one flagged cell of each block of cells, where at least half of the block is flagged.

    Parameters
    ----------
    flagged, known : ndarray of bool (row, column)
        Cells that are flagged, and those that have a value at all.
    height, width : float
        Of the map in points, so that blocks are as large as dots need to stand apart.
    """
    rows, columns = flagged.shape
    down, right = (
        max(1, int(np.ceil(_APART * count / size)))
        for count, size in zip((rows, columns), (height, width), strict=True)
    )
    kept = np.zeros_like(flagged)
    for row in range(0, rows, down):
        for column in range(0, columns, right):
            block = np.s_[row : row + down, column : column + right]
            found = np.argwhere(flagged[block] & known[block])
            if len(found) and 2 * len(found) >= known[block].sum():
                off = np.abs(found - [(down - 1) / 2, (right - 1) / 2]).sum(1)
                kept[block][tuple(found[off.argmin()])] = True  # the nearest to the middle
    return kept


def stipple(axis: Axes, x: NDArray[np.generic], y: NDArray[np.generic]) -> None:
    """Put a dot on each flagged cell."""
    axis.plot(x, y, gid="flagged", zorder=4, **_DOT)


def missing_key(dots: bool) -> Artist:
    """Return what stands for cells without a value, for the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if dots:
        return Line2D([], [], linestyle="none", label="no value", **CROSS)
    return Patch(label="no value", linewidth=0, **NO_VALUE)


def flagged_key() -> Line2D:
    """Return what stands for flagged cells, for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label="flagged", **_DOT)
