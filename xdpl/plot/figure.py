"""Maps of all parameters at a glance."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import RasterError
from ..rasters.vector import has_geometry, outlines_of
from ..spatial import find_basin, find_grid
from ..spatial.metadata import axis_label
from .colours import colours_of, label_bar
from .map_axes import (
    aspect,
    axis_scale,
    basin_positions,
    edges,
    place_along,
    shape_of,
    stretch,
)
from .marks import CROSS, NOT_FITTED, doubtful_key, missing_key, stipple, thin
from .panels import Panel, chosen, panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(
    ds: xr.Dataset,
    variables: str | Sequence[str] | None = None,
    *,
    geometries: Any = None,
    columns: int | None = None,
    size: float = 2.9,
    **colours: Any,
) -> Figure:
    """Draw a map of every variable, with units; show cells not fitted and cells in doubt.

    Parameters
    ----------
    ds : Dataset
        Maps over (y, x), or values of basins with coordinates of longitude and latitude.
        Components are drawn side by side.
    variables : str or sequence of str, optional
        What to draw; by default all variables of numbers that don't depend on time, but for the
        layers that stand beside others (trust).
    geometries : GeoDataFrame, optional
        Outlines of basins, found by id as in ``rasterize``; by default the geometry coordinate of
        ``ds``, and dots where there is none.
    columns : int, optional
        Maps in a row.
    size : float
        Width of a map in inches.
    **colours : Any
        For all maps: ``cmap``, ``vmin``, ``vmax``, ``norm``, as matplotlib knows them.

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
    a parameter span decades. Of large rasters every n-th cell is drawn. Where ``ds`` has trust
    layers, dots mark the cells that ``xdpl.validation.doubtful`` doubts.
    """
    plt = _pyplot()
    panels = panels_of(ds, chosen(ds, variables))
    columns = columns or min(4, _columns(len(panels)))
    rows = -(-len(panels) // columns)
    space = find_grid(ds)
    height = size * shape_of(ds, space) + 0.28
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * (size + 0.75) + 0.5, rows * height + 0.75),
        squeeze=False,
        layout="compressed",  # maps have a fixed aspect
    )
    missing = False
    with _not_drawn_yet(figure):
        for axis, panel in zip(axes.flat, panels, strict=False):
            draw = _draw_grid if space is not None else _draw_basins
            options = colours_of(panel, colours)
            missing |= draw(axis, ds, panel, options, geometries)
    _finish(axes, len(panels))
    if ds.attrs.get("title"):
        figure.suptitle(str(ds.attrs["title"]), fontsize=11)
    dots = space is None and geometries is None and not has_geometry(ds)
    keys = [missing_key(dots)] if missing else []
    if any(panel.doubt is not None and panel.doubt.any() for panel in panels):
        keys.append(doubtful_key())
    if keys:
        style = {"fontsize": 8, "frameon": False, "ncols": len(keys)}
        figure.legend(handles=keys, loc="outside lower right", **style)
    return figure


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise RasterError(
            'plot needs matplotlib, which is not installed. Run pip install "xdpl[viz]".'
        ) from error
    return plt


def _columns(count: int) -> int:
    return count if count <= 3 else int(np.ceil(np.sqrt(count)))


def _draw_grid(
    axis: Axes, ds: xr.Dataset, panel: Panel, options: dict[str, Any], geometries: Any
) -> bool:
    """Draw one map; return whether some cells have no value."""
    y, x = panel.values.dims
    scale = axis_scale(ds, (y, x))
    mesh = axis.pcolormesh(
        edges(panel.values, x) / scale,
        edges(panel.values, y) / scale,
        np.ma.masked_invalid(panel.values.values.astype(float)),
        cmap=options["cmap"],
        norm=options["norm"],
        rasterized=True,
    )
    if panel.doubt is not None:
        rows, columns = np.nonzero(thin(panel.doubt))
        centre = [place_along(panel.values, dim) / scale for dim in (y, x)]
        stipple(axis, centre[1][columns], centre[0][rows])
    axis.set_aspect(aspect(ds, (y, x)))
    axis.patch.set(linewidth=0, **NOT_FITTED)
    axis.set_xlabel(axis_label(ds, x, scale))
    axis.set_ylabel(axis_label(ds, y, scale))
    _decorate(axis, mesh, panel, options)
    return bool(np.isnan(panel.values.values.astype(float)).any())


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


def _draw_basins(
    axis: Axes, ds: xr.Dataset, panel: Panel, options: dict[str, Any], geometries: Any
) -> bool:
    values = panel.values.values.astype(float)
    known = np.isfinite(values)
    if geometries is not None or has_geometry(ds):
        shapes = outlines_of(ds, geometries)
        mesh = _draw_shapes(axis, shapes, values, options)
        if panel.doubt is not None:
            inside = shapes[panel.doubt[shapes.index]].representative_point()
            stipple(axis, inside.x.to_numpy(), inside.y.to_numpy())
    else:
        x, y = basin_positions(ds, find_basin(ds))
        axis.plot(x[~known], y[~known], linestyle="none", **CROSS)
        mesh = axis.scatter(
            x[known],
            y[known],
            c=values[known],
            s=18,
            cmap=options["cmap"],
            norm=options["norm"],
            edgecolor="white",
            linewidth=0.2,
        )
        if panel.doubt is not None:
            stipple(axis, x[panel.doubt], y[panel.doubt])
        axis.set_aspect(stretch(y))
        axis.set(xlabel="longitude (°E)", ylabel="latitude (°N)")
    _decorate(axis, mesh, panel, options)
    return not known.all()


def _draw_shapes(
    axis: Axes, shapes: Any, values: NDArray[np.float64], options: dict[str, Any]
) -> Any:
    from matplotlib.cm import ScalarMappable

    table = shapes.to_frame("geometry").assign(value=values[shapes.index])
    known = table["value"].notna()
    if not known.all():
        table[~known].plot(ax=axis, aspect=None, linewidth=0, **NOT_FITTED)
    style = {"cmap": options["cmap"], "norm": options["norm"]}
    table[known].plot("value", ax=axis, aspect=None, edgecolor="white", linewidth=0.3, **style)
    geographic = shapes.crs.is_geographic
    _, south, _, north = shapes.total_bounds
    axis.set_aspect(stretch(np.array([south, north])) if geographic else 1)
    axis.set_xlabel("longitude (°E)" if geographic else "easting (m)")
    axis.set_ylabel("latitude (°N)" if geographic else "northing (m)")
    return ScalarMappable(**style)


def _decorate(axis: Axes, mesh: Any, panel: Panel, options: dict[str, Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    label_bar(axis, mesh, panel, options)
    axis.set_title(panel.title.replace("_", " "), fontsize=9)
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(MaxNLocator(4))
        one.label.set_fontsize(8)
    axis.tick_params(labelsize=7)
    for spine in axis.spines.values():
        spine.set_linewidth(0.5)


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
