"""Marks on maps: what was not fitted, and what is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CROSS", "NOT_FITTED", "doubtful_key", "missing_key", "stipple", "thin"]

CROSS: dict[str, Any] = {"marker": "x", "color": "0.5", "markersize": 4, "markeredgewidth": 0.8}
NOT_FITTED: dict[str, Any] = {"facecolor": "0.95", "edgecolor": "0.72", "hatch": "////"}

_DOT: dict[str, Any] = {"marker": ".", "color": "black", "markersize": 2.5, "linestyle": "none"}

_MOST_DOTS = 50
"""Dots along an axis at most: more would hide the map."""


def thin(doubt: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep every n-th row and column of a mask, so that the map is seen between the dots."""
    kept = np.zeros_like(doubt)
    every = tuple(slice(None, None, -(-size // _MOST_DOTS)) for size in doubt.shape)
    kept[every] = doubt[every]
    return kept


def stipple(axis: Axes, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Put a dot on each place in doubt."""
    axis.plot(x, y, gid="doubtful", **_DOT)


def missing_key(dots: bool) -> Any:
    """Return what stands for places that were not fitted, for the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if dots:
        return Line2D([], [], linestyle="none", label="not fitted", **CROSS)
    return Patch(label="not fitted", linewidth=0, **NOT_FITTED)


def doubtful_key() -> Any:
    """Return what stands for places in doubt, for the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label="doubtful", **_DOT)
