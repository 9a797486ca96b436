"""Colours of a map, and the bar that explains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .map_axes import pretty
from .panels import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, Normalize

__all__ = ["Colours", "Given", "colours_of", "label_bar"]

_DECADES = 30.0
"""Ratio of the bounds from which colours follow the logarithm."""

_EFFICIENCIES = ("nse", "kge", "corr")
"""Scores of which 1 is perfect and 0 no better than a constant; without a lower bound."""

_MOST_CLASSES = 20
"""Classes with a colour of their own; more can't be told apart."""


@dataclass(frozen=True)
class Given:
    """Colours that the user asks for; None leaves the choice to xdpl."""

    cmap: str | Colormap | None = None
    vmin: float | None = None
    vmax: float | None = None
    norm: Normalize | None = None


@dataclass(frozen=True)
class Colours:
    """Colours of one map, on which sides values go beyond, and the names of its classes."""

    cmap: str | Colormap
    norm: Normalize
    extend: str = "neither"
    classes: tuple[str, ...] = ()


def colours_of(panel: Panel, given: Given) -> Colours:
    """Return the colours of a map."""
    from matplotlib.colors import LogNorm, Normalize

    if panel.classes:
        return _of_classes(panel, given)
    values = panel.values.values[np.isfinite(panel.values.values)].astype(float)
    low, high, cmap = _range(panel.title, values)
    low = low if given.vmin is None else given.vmin
    high = high if given.vmax is None else given.vmax
    if not low < high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    bounds = np.ravel(panel.attrs.get("valid_range", (0.0, 0.0)))
    logarithmic = bounds[0] > 0 and bounds[-1] / bounds[0] >= _DECADES and low > 0
    norm = given.norm or (LogNorm if logarithmic else Normalize)(low, high)
    below = bool(values.size and norm.vmin is not None and values.min() < norm.vmin)
    above = bool(values.size and norm.vmax is not None and values.max() > norm.vmax)
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    return Colours(given.cmap or cmap, norm, extend)


def _range(title: str, values: NDArray[np.float64]) -> tuple[float, float, str]:
    """Lowest and highest colour, and the colour map, where none are given."""
    if not values.size:
        return 0.0, 1.0, "viridis"
    low, middle, high = np.percentile(values, [1, 50, 99])
    first = title.split(" ")[0].lower().split("_")[0]
    if first == "bias":  # the sign matters most
        return -max(abs(low), abs(high)), max(abs(low), abs(high)), "RdBu_r"
    if first in _EFFICIENCIES and middle > 0:  # a few cells of -8 would leave one colour for all
        return 0.0, 1.0, "viridis"
    return float(low), float(high), "viridis"


def _of_classes(panel: Panel, given: Given) -> Colours:
    """Return a colour for each class; the values of such a map are numbers of classes."""
    import matplotlib as mpl
    from matplotlib.colors import BoundaryNorm, ListedColormap

    count = len(panel.classes)
    if given.cmap is not None:
        chosen = mpl.colormaps[given.cmap] if isinstance(given.cmap, str) else given.cmap
        colours: Any = chosen(np.linspace(0, 1, count))
    elif count <= 8:
        colours = [f"#{code}" for code in _DISTINCT[:count]]
    elif count <= _MOST_CLASSES:
        colours = mpl.colormaps["tab20"](np.arange(count))
    else:
        colours = mpl.colormaps["turbo"](np.linspace(0, 1, count))
    norm = BoundaryNorm(np.arange(count + 1) - 0.5, count)
    return Colours(ListedColormap(colours), norm, classes=panel.classes)


_DISTINCT = ("56b4e9", "e69f00", "009e73", "cc79a7", "f0e442", "0072b2", "d55e00", "999999")
"""Colours that also colour-blind readers tell apart (Okabe and Ito)."""


def label_bar(axis: Axes, mesh: ScalarMappable, panel: Panel, colours: Colours) -> None:
    """Add a bar with units, or with the names of classes."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    bar = axis.figure.colorbar(
        mesh, ax=axis, extend=colours.extend, extendfrac=0.03, aspect=22, pad=0.02
    )
    if colours.classes:
        bar.set_ticks(list(range(len(colours.classes))))
        bar.set_ticklabels([word.replace("_", " ") for word in colours.classes])
        bar.ax.tick_params(length=0)
    bar.set_label(pretty(panel.attrs.get("units")), fontsize=8)
    if isinstance(colours.norm, LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.get_offset_text().set_fontsize(7)
    bar.outline.set_linewidth(0.5)
