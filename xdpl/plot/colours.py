"""Colours of a map, and the bar that explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .map_axes import pretty
from .panels import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["colours_of", "label_bar"]

_DECADES = 30.0
"""Ratio of the bounds from which colours follow the logarithm."""


def colours_of(panel: Panel, given: dict[str, Any]) -> dict[str, Any]:
    """Return cmap and norm for a map, and on which sides values go beyond."""
    from matplotlib.colors import LogNorm, Normalize

    if "flag_values" in panel.attrs:
        return _flag_colours(panel)
    values = panel.values.values[np.isfinite(panel.values.values)].astype(float)
    low, high = np.percentile(values, [1, 99]) if values.size else (0.0, 1.0)
    cmap = "viridis"
    if panel.title.startswith("bias"):  # the sign matters most
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
        cmap = "RdBu_r"
    low, high = given.get("vmin", low), given.get("vmax", high)
    if not low < high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    bounds = np.ravel(panel.attrs.get("valid_range", (0.0, 0.0)))
    logarithmic = bounds[0] > 0 and bounds[-1] / bounds[0] >= _DECADES and low > 0
    norm = given.get("norm") or (LogNorm if logarithmic else Normalize)(low, high)
    below = bool(values.size and values.min() < low)
    above = bool(values.size and values.max() > high)
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    return {"cmap": given.get("cmap", cmap), "norm": norm, "extend": extend}


def _flag_colours(panel: Panel) -> dict[str, Any]:
    """Return a colour for each value of a flag."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, ListedColormap

    values = np.ravel(panel.attrs["flag_values"]).astype(float)
    colours = mpl.colormaps["viridis"](np.linspace(0.15, 0.95, len(values)))
    middle = (values[1:] + values[:-1]) / 2
    norm = BoundaryNorm([values[0] - 0.5, *middle, values[-1] + 0.5], len(values))
    return {"cmap": ListedColormap(colours), "norm": norm, "extend": "neither"}


def label_bar(axis: Axes, mesh: Any, panel: Panel, options: dict[str, Any]) -> None:
    """Add a bar with units, or with the meanings of a flag."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    bar = axis.figure.colorbar(
        mesh, ax=axis, extend=options["extend"], extendfrac=0.03, aspect=22, pad=0.02
    )
    if "flag_values" in panel.attrs:
        words = str(panel.attrs["flag_meanings"]).split()
        bar.set_ticks(np.ravel(panel.attrs["flag_values"]).astype(float).tolist())
        bar.set_ticklabels([word.replace("_", " ") for word in words])
    bar.set_label(pretty(panel.attrs.get("units")), fontsize=8)
    if isinstance(options["norm"], LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.get_offset_text().set_fontsize(7)
    bar.outline.set_linewidth(0.5)
