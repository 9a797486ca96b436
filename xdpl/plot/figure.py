"""Maps of all parameters at a glance."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..errors import RasterError
from ..public import public
from ..rasters.vector import has_geometry
from ..spatial import find_grid
from .background import Background, as_outlines
from .colours import Given, colours_of
from .drawing import Drawing, draw_basins, draw_grid
from .map_axes import MapAxes, in_one_piece
from .marks import flagged_key, missing_key
from .panels import chosen, panels_of, thinned

if TYPE_CHECKING:
    import geopandas
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

__all__ = ["plot"]

_WIDTHS = {1: 5.6, 2: 4.2}
"""Width of a map in inches where there are few; the more, the smaller."""

_WIDTH = 2.9


@public()
def plot(
    ds: xr.Dataset,
    variables: str | Sequence[str] | None = None,
    *,
    geometries: geopandas.GeoDataFrame | geopandas.GeoSeries | None = None,
    background: Background | None = None,
    coastlines: bool | None = None,
    columns: int | None = None,
    size: float | None = None,
    cmap: str | Colormap | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    norm: Normalize | None = None,
) -> Figure:
    """Draw a map of every variable, with units, flags and coastlines.

    Parameters
    ----------
    ds : Dataset
        Maps over (y, x), regular or curvilinear, or values of basins with coordinates of longitude
        and latitude. Components are drawn side by side.
    variables : str or sequence of str, optional
        What to draw; by default all variables of numbers that don't depend on time, except
        layers beside others (trust).
    geometries : GeoDataFrame, optional
        Outlines of basins, found by id as in ``rasterize``; by default the geometry coordinate of
        ``ds``, and dots where there is none.
    background : GeoDataFrame or GeoSeries, optional
        Outlines to draw over the maps, such as countries, in any CRS.
    coastlines : bool, optional
        Whether to draw coastlines (Natural Earth, 1:110 million); by default on maps with a CRS
        that are higher than 8 degrees and have no ``background``.
    columns : int, optional
        Maps in a row.
    size : float, optional
        Width of a map in inches: by default 5.6 for one, 4.2 for two, 2.9 for more.
    cmap, vmin, vmax, norm : optional
        Colours of all maps, as matplotlib knows them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RasterError
        matplotlib is missing, a variable is unknown, or there is nothing that can be drawn.

    Notes
    -----
    Colours span the values from the 1st to the 99th percentile, logarithmically where the bounds of
    a parameter span decades; efficiencies (NSE, KGE) run from 0 to 1, and classes have colours and
    names of their own. Of large rasters every n-th cell is drawn. Where ``ds`` has trust layers,
    dots mark the cells that ``xdpl.validation.quality_flags`` flags. Cells without a value are
    hatched where another map has one; all others, such as those of the sea, stay blank. Longitudes
    of 0 to 360 are rolled, so that no continent is cut.

    Examples
    --------
    >>> maps = fit.parameters(ds)  # doctest: +SKIP
    >>> maps.dpl.plot()  # doctest: +SKIP
    >>> maps.dpl.plot("field_capacity", cmap="magma", vmin=0)  # doctest: +SKIP
    """
    plt = _pyplot()
    outlines = as_outlines(background)
    names = chosen(ds, variables)
    space = find_grid(ds)
    on_map = None
    if space is not None:
        ds = thinned(in_one_piece(ds, space))
        on_map = MapAxes.of(ds, space)
    panels = panels_of(ds, names)
    columns = columns or min(4, _columns(len(panels)))
    rows = -(-len(panels) // columns)
    size = size or _WIDTHS.get(len(panels), _WIDTH)
    height = size * (0.6 if on_map is None else on_map.shape)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * (size + 0.75) + 0.5, rows * (height + 0.28) + 0.75),
        squeeze=False,
        layout="compressed",  # maps have a fixed aspect
    )
    given = Given(cmap, vmin, vmax, norm)
    drawing = Drawing(ds, (size * 72, height * 72), geometries, outlines, coastlines)
    missing = False
    with _not_drawn_yet(figure):
        for axis, panel in zip(axes.flat, panels, strict=False):
            colours = colours_of(panel, given)
            if on_map is not None:
                missing |= draw_grid(axis, drawing, panel, colours, on_map)
            else:
                missing |= draw_basins(axis, drawing, panel, colours)
    _finish(axes, len(panels))
    if ds.attrs.get("title"):
        letters = int(figure.get_size_inches()[0] * 11)
        figure.suptitle(textwrap.fill(str(ds.attrs["title"]), max(letters, 20)), fontsize=11)
    dots = space is None and geometries is None and not has_geometry(ds)
    keys = [missing_key(dots)] if missing else []
    if any(panel.flagged is not None and panel.flagged.any() for panel in panels):
        keys.append(flagged_key())
    if keys:
        style = {"fontsize": 8, "frameon": False, "ncols": len(keys)}
        figure.legend(handles=keys, loc="outside lower right", **style)
    return figure


def _pyplot() -> ModuleType:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise RasterError(
            'plot needs matplotlib, which is not installed. Run pip install "xdpl[viz]".'
        ) from error
    return plt


def _columns(count: int) -> int:
    return count if count <= 3 else int(np.ceil(np.sqrt(count)))


@contextlib.contextmanager
def _not_drawn_yet(figure: Figure) -> Iterator[None]:
    """Give the figure a canvas that draws nothing: geopandas draws all of it with every map."""
    from matplotlib.backend_bases import FigureCanvasBase

    canvas = figure.canvas
    FigureCanvasBase(figure)
    try:
        yield
    finally:
        figure.set_canvas(canvas)


def _finish(axes: Any, count: int) -> None:
    """Label outer axes only, and drop empty ones."""
    columns = axes.shape[1]
    for index, axis in enumerate(axes.flat):
        if index >= count:
            axis.remove()
            continue
        if index % columns:
            axis.set_ylabel("")
            axis.tick_params(labelleft=False)
        if index + columns < count:
            axis.set_xlabel("")
            axis.tick_params(labelbottom=False)
