"""What lies behind maps: coastlines, which xdpl brings along, and outlines that the user gives."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from ..errors import RasterError

if TYPE_CHECKING:
    import geopandas
    from matplotlib.axes import Axes

__all__ = ["Background", "as_outlines", "draw_coastlines", "draw_outlines"]

Background: TypeAlias = "geopandas.GeoDataFrame | geopandas.GeoSeries"
Line: TypeAlias = NDArray[np.float64]

_FEWEST_DEGREES = 8.0
"""Height of a map in degrees from which coastlines are fine enough."""


@functools.cache
def _coastlines() -> tuple[Line, ...]:
    """Coastlines as longitudes and latitudes, each (point, 2); those of Natural Earth 1:110m."""
    with np.load(Path(__file__).with_name("coastlines.npz"), allow_pickle=False) as stored:
        point, start = stored["point"] / 100.0, stored["start"]
    return tuple(point[a:b] for a, b in zip(start[:-1], start[1:], strict=True))


def draw_coastlines(axis: Axes, crs: CRS | None, scale: float, wanted: bool | None) -> None:
    """Draw the coastlines of the part of the world that an axis shows.

    Parameters
    ----------
    axis : Axes
        With its limits set; they stay.
    crs : pyproj.CRS or None
        Of the map; without one nothing is drawn.
    scale : float
        What the coordinates were divided by.
    wanted : bool or None
        None: on maps that are large enough.
    """
    if crs is None or wanted is False:
        return
    if wanted is None and _height_in_degrees(axis, crs, scale) < _FEWEST_DEGREES:
        return
    _add(axis, _placed(list(_coastlines()), crs, scale, axis), "coastlines")


def _height_in_degrees(axis: Axes, crs: CRS, scale: float) -> float:
    low, high = sorted(axis.get_ylim())
    if crs.is_geographic:
        return high - low
    return (high - low) * scale / 111_000


def as_outlines(background: Background | None) -> Background | None:
    """Check what is to be drawn behind the maps.

    Raises
    ------
    RasterError
        It is no GeoDataFrame or GeoSeries, or has no CRS.
    """
    if background is None:
        return None
    if not hasattr(background, "geometry") or not hasattr(background, "crs"):
        raise RasterError(
            f"background is a {type(background).__name__}. Give a geopandas.GeoDataFrame or "
            "GeoSeries, such as geopandas.read_file(path)."
        )
    if background.crs is None:
        raise RasterError(
            "background has no coordinate reference system (CRS). State it first: "
            'background = background.set_crs("EPSG:4326"), or the code that it is in.'
        )
    return background


def draw_outlines(axis: Axes, background: Background, crs: CRS | None, scale: float) -> None:
    """Draw outlines over a map, in the map's own CRS.

    Raises
    ------
    RasterError
        The map has no CRS.
    """
    if crs is None:
        raise RasterError(
            "the maps have no coordinate reference system (CRS), so it isn't known where "
            'background lies. State it first: maps = maps.rio.write_crs("EPSG:..."), or leave '
            "background out."
        )
    import shapely

    shapes = background.geometry.values
    lines = shapely.get_parts(shapely.boundary(shapes[shapely.get_dimensions(shapes) == 2]))
    lines = [*lines, *shapely.get_parts(shapes[shapely.get_dimensions(shapes) == 1])]
    points = [shapely.get_coordinates(line) for line in lines]
    _add(axis, _placed(points, crs, scale, axis, CRS.from_user_input(background.crs)), "background")


def _placed(
    lines: list[Line], crs: CRS, scale: float, axis: Axes, own: CRS | None = None
) -> Iterator[Line]:
    """Lines in the coordinates of the map, cut where they leave it or jump across it."""
    if not lines:
        return
    source = CRS.from_epsg(4326) if own is None else own
    transformer = Transformer.from_crs(source, crs, always_xy=True)
    point = np.concatenate([np.vstack([line, [[np.nan, np.nan]]]) for line in lines])
    edge = _edge_of_the_world(point) if source.is_geographic else np.zeros(len(point), bool)
    x, y = (np.asarray(v, float) / scale for v in transformer.transform(*point.T))
    x[edge] = np.nan
    (left, right), (low, high) = sorted(axis.get_xlim()), sorted(axis.get_ylim())
    turns = (0.0, 360.0, -360.0) if crs.is_geographic else (0.0,)
    jump = 180.0 if crs.is_geographic else 2 * (right - left)
    margin = (right - left) * 0.1, (high - low) * 0.1
    for turn in turns:
        inside = (x + turn > left - margin[0]) & (x + turn < right + margin[0])
        inside &= (y > low - margin[1]) & (y < high + margin[1])
        near = np.abs(np.diff(x, prepend=np.nan)) < jump
        runs = np.cumsum(~(inside & near)) * inside
        for run in np.unique(runs[runs > 0]):
            found = np.flatnonzero(inside & (runs == run))
            if len(found) > 1:
                yield np.stack([x[found] + turn, y[found]], axis=1)


def _edge_of_the_world(point: Line) -> NDArray[np.bool_]:
    """Points where polygons were cut at the 180th meridian or at the pole: no coast is there."""
    return (np.abs(point[:, 0]) > 179.99) | (point[:, 1] < -89.9)


def _add(axis: Axes, lines: Iterator[Line], gid: str) -> None:
    from matplotlib.collections import LineCollection

    limits = axis.get_xlim(), axis.get_ylim()
    axis.add_collection(
        LineCollection(list(lines), gid=gid, colors="0.25", linewidths=0.5, zorder=3), autolim=False
    )
    axis.set(xlim=limits[0], ylim=limits[1])
