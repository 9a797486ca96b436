"""One map on one pair of axes: cells of a grid, outlines of basins, or dots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS

from ..rasters.vector import has_geometry, outlines_of
from ..spatial import find_basin
from .background import Background, draw_coastlines, draw_outlines
from .colours import Colours, label_bar
from .map_axes import MapAxes, basin_positions, stretch
from .marks import CROSS, NO_VALUE, stipple, thin
from .panels import Panel

if TYPE_CHECKING:
    import geopandas
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

__all__ = ["Drawing", "draw_basins", "draw_grid"]

_DEGREES = ("longitude (°E)", "latitude (°N)")


@dataclass(frozen=True)
class Drawing:
    """What all maps of a figure share.

    Parameters
    ----------
    ds : Dataset
    points : (float, float)
        Width and height of a map in points (1/72 inch).
    geometries : GeoDataFrame or GeoSeries or None
        Outlines of basins.
    background : GeoDataFrame or GeoSeries or None
    coastlines : bool or None
    """

    ds: xr.Dataset
    points: tuple[float, float]
    geometries: geopandas.GeoDataFrame | geopandas.GeoSeries | None
    background: Background | None
    coastlines: bool | None

    def behind(self, axis: Axes, crs: CRS | None, scale: float) -> None:
        """Add coastlines and outlines to a map whose cells are drawn; its limits stay."""
        if self.background is not None:
            draw_outlines(axis, self.background, crs, scale)
        wanted = False if self.coastlines is None and self.background is not None else None
        draw_coastlines(axis, crs, scale, self.coastlines if wanted is None else wanted)


def draw_grid(
    axis: Axes, drawing: Drawing, panel: Panel, colours: Colours, on_map: MapAxes
) -> bool:
    """Draw a map of a grid; return whether cells are hatched."""
    values = panel.values.values
    if on_map.curvilinear:
        torn = on_map.torn()
        values = np.where(torn, np.nan, values)
        x, y = (np.nan_to_num(corner) for corner in on_map.corners())
    else:
        torn = np.zeros(values.shape, bool)
        x, y = on_map.corners()
    mesh = axis.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(values),
        cmap=colours.cmap,
        norm=colours.norm,
        rasterized=True,
    )
    if on_map.curvilinear:
        drawn = ~torn
        _limit(axis, on_map.x[drawn], on_map.y[drawn])
    hatched = bool((panel.missing & ~torn).any())
    if hatched:
        _hatch(axis, x, y, panel.missing & ~torn)
    if panel.flagged is not None:
        width, height = drawing.points
        dotted = np.nonzero(thin(panel.flagged, np.isfinite(values), height, width))
        stipple(axis, *on_map.at(*dotted))
    axis.set_aspect(on_map.aspect)
    axis.patch.set_facecolor("white")
    axis.set_xlabel(on_map.labels[0])
    axis.set_ylabel(on_map.labels[1])
    drawing.behind(axis, on_map.crs, on_map.scale)
    _decorate(axis, mesh, panel, colours)
    return hatched


def _limit(axis: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Show the cells that are drawn: the corners of others may lie anywhere."""
    if x.size:
        (left, right), (low, high) = ((v.min(), v.max()) for v in (x, y))
        aside, above = 0.02 * (right - left), 0.02 * (high - low)
        axis.set(xlim=(left - aside, right + aside), ylim=(low - above, high + above))


def _hatch(
    axis: Axes, x: NDArray[np.float64], y: NDArray[np.float64], missing: NDArray[np.bool_]
) -> None:
    """Hatch the cells that have no value although others maps have one there."""
    shown = np.ma.masked_where(~missing, np.ones(missing.shape))
    style = {"linewidth": 0, "facecolor": NO_VALUE["facecolor"], "edgecolor": NO_VALUE["edgecolor"]}
    axis.pcolor(x, y, shown, hatch=NO_VALUE["hatch"], gid="no value", zorder=1.5, **style)


def draw_basins(axis: Axes, drawing: Drawing, panel: Panel, colours: Colours) -> bool:
    """Draw values of basins; return whether some have none."""
    ds, values = drawing.ds, panel.values.values
    known = np.isfinite(values)
    if drawing.geometries is not None or has_geometry(ds):
        shapes = outlines_of(ds, drawing.geometries)
        mesh = _draw_shapes(axis, shapes, values, colours)
        if panel.flagged is not None:
            inside = shapes[panel.flagged[shapes.index]].representative_point()
            stipple(axis, inside.x.to_numpy(), inside.y.to_numpy())
        crs = CRS.from_user_input(shapes.crs)
    else:
        x, y = basin_positions(ds, find_basin(ds))
        axis.plot(x[~known], y[~known], linestyle="none", **CROSS)
        mesh = axis.scatter(
            x[known],
            y[known],
            c=values[known],
            s=18,
            cmap=colours.cmap,
            norm=colours.norm,
            edgecolor="white",
            linewidth=0.2,
            zorder=3.5,
        )
        if panel.flagged is not None:
            stipple(axis, x[panel.flagged], y[panel.flagged])
        axis.set_aspect(stretch(y))
        axis.set(xlabel=_DEGREES[0], ylabel=_DEGREES[1])
        crs = CRS.from_epsg(4326)
    drawing.behind(axis, crs, 1.0)
    _decorate(axis, mesh, panel, colours)
    return not known.all()


def _draw_shapes(
    axis: Axes, shapes: geopandas.GeoSeries, values: NDArray[np.float64], colours: Colours
) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable

    table = shapes.to_frame("geometry").assign(value=values[shapes.index])
    known = table["value"].notna()
    if not known.all():
        table[~known].plot(ax=axis, aspect=None, linewidth=0, **NO_VALUE)
    style: dict[str, Any] = {"cmap": colours.cmap, "norm": colours.norm}
    table[known].plot("value", ax=axis, aspect=None, edgecolor="white", linewidth=0.3, **style)
    geographic = shapes.crs.is_geographic
    _, south, _, north = shapes.total_bounds
    axis.set_aspect(stretch(np.array([south, north])) if geographic else 1)
    axis.set_xlabel(_DEGREES[0] if geographic else "easting (m)")
    axis.set_ylabel(_DEGREES[1] if geographic else "northing (m)")
    return ScalarMappable(**style)


def _decorate(axis: Axes, mesh: ScalarMappable, panel: Panel, colours: Colours) -> None:
    from matplotlib.ticker import MaxNLocator

    label_bar(axis, mesh, panel, colours)
    axis.set_title(panel.title.replace("_", " "), fontsize=9)
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(MaxNLocator(4))
        one.label.set_fontsize(8)
    axis.tick_params(labelsize=7)
    for spine in axis.spines.values():
        spine.set_linewidth(0.5)
