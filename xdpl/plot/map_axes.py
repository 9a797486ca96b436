"""Where cells lie on the axes of a map: corners, aspect, scale; and how units are printed."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS

from ..errors import RasterError
from ..spatial import crs_of, find_positions, is_latitude, is_longitude
from ..spatial.axes import LATITUDE, LONGITUDE
from ..spatial.longitudes import rolled
from ..spatial.metadata import axis_label

__all__ = ["MapAxes", "basin_positions", "edges", "in_one_piece", "pretty", "stretch"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MapAxes:
    """The axes that all maps of a grid are drawn on.

    Parameters
    ----------
    x, y : ndarray
        Centres: (column,) and (row,), or both (row, column) where the grid is curvilinear.
    crs : pyproj.CRS or None
    scale : float
        What coordinates are divided by: 1000 where metres are better read as kilometres.
    labels : (str, str)
        Of x and y.
    """

    x: Array
    y: Array
    crs: CRS | None
    scale: float
    labels: tuple[str, str]

    @classmethod
    def of(cls, ds: xr.Dataset, space: tuple[Hashable, Hashable]) -> MapAxes:
        """Axes of a grid: those of its dimensions, or latitudes and longitudes over both."""
        y, x = space
        names = find_positions(ds, space)
        if names and all(ds[name].ndim == 2 for name in names) and not set(space) <= set(ds.coords):
            lat, lon = (ds[name].transpose(*space).values.astype(float) for name in names)
            return cls(
                _unwrapped(lon), lat, CRS.from_epsg(4326), 1.0, ("longitude (°E)", "latitude (°N)")
            )
        metres = all(d in ds.coords and ds[d].attrs.get("units") in ("m", "metre") for d in space)
        large = metres and max(np.ptp(edges(ds, dim)) for dim in space) > 5000
        scale = 1000.0 if large else 1.0
        labels = axis_label(ds, x, scale), axis_label(ds, y, scale)
        centres = [_centres(ds, dim) / scale for dim in (x, y)]
        known = all(dim in ds.coords for dim in space)
        return cls(centres[0], centres[1], crs_of(ds) if known else None, scale, labels)

    @property
    def curvilinear(self) -> bool:
        """Whether rows and columns bend."""
        return self.x.ndim == 2

    @property
    def aspect(self) -> float:
        """How much longer a unit of y is drawn than one of x."""
        return stretch(self.y) if self.crs is not None and self.crs.is_geographic else 1.0

    @property
    def shape(self) -> float:
        """Height over width of the maps, kept within what looks well."""
        width, height = (_span(values) for values in (self.x, self.y))
        return float(np.clip(height * self.aspect / width if width else 1.0, 0.4, 1.6))

    def corners(self) -> tuple[Array, Array]:
        """Corners of cells: along each axis, or over (row + 1, column + 1)."""
        if not self.curvilinear:
            return _between(self.x), _between(self.y)
        return _corners(self.x), _corners(self.y)

    def torn(self) -> NDArray[np.bool_]:
        """Cells of a curvilinear grid that aren't drawn: they lie nowhere, or around a pole."""
        x, y = self.corners()
        four = np.stack([x[:-1, :-1], x[1:, :-1], x[:-1, 1:], x[1:, 1:]])
        lost = ~np.isfinite(four).all(0) | ~np.isfinite(self.x + self.y)
        return lost | (np.ptp(np.nan_to_num(four), axis=0) > 180)

    def at(self, row: NDArray[np.intp], column: NDArray[np.intp]) -> tuple[Array, Array]:
        """Centres of some cells."""
        if self.curvilinear:
            return self.x[row, column], self.y[row, column]
        return self.x[column], self.y[row]


def _span(values: Array) -> float:
    found = values[np.isfinite(values)]
    count = values.size if values.ndim == 1 else max(values.shape)
    return float(np.ptp(found)) * count / max(count - 1, 1) if found.size else 0.0


def _centres(ds: xr.Dataset | xr.DataArray, dim: Hashable) -> Array:
    """Return the centres of cells; numbers where there is no coordinate, or one of text."""
    if dim in ds.coords and ds[dim].dtype.kind in "fiu":
        return np.asarray(ds[dim].values, dtype=float)
    return np.arange(ds.sizes[dim] + 0.0)


def edges(ds: xr.Dataset | xr.DataArray, dim: Hashable) -> Array:
    """Return the edges of cells, halfway between their centres."""
    return _between(_centres(ds, dim))


def _between(centre: Array) -> Array:
    if centre.size == 1:
        return np.array([centre[0] - 0.5, centre[0] + 0.5])
    inner = (centre[1:] + centre[:-1]) / 2
    first, last = centre[0] - (inner[0] - centre[0]), centre[-1] + (centre[-1] - inner[-1])
    return np.concatenate([[first], inner, [last]])


def _corners(centre: Array) -> Array:
    """Corners of the cells of a curvilinear grid, (row + 1, column + 1), from their centres."""
    along = np.apply_along_axis(_between, 1, _filled(centre))
    return np.apply_along_axis(_between, 0, along)


def _filled(centre: Array) -> Array:
    """Positions with gaps filled along rows, so that a gap doesn't take its neighbours along."""
    filled = centre.copy()
    for row in filled:
        known = np.isfinite(row)
        if known.any():
            row[~known] = np.interp(np.flatnonzero(~known), np.flatnonzero(known), row[known])
    return filled


def _unwrapped(longitude: Array) -> Array:
    """Longitudes (row, column) that don't jump from 180 to -180 between neighbours."""
    along = np.unwrap(_filled(longitude), period=360, axis=1)
    first = along[:, 0]
    known = np.isfinite(first)
    turns = np.zeros(len(first))
    turns[known] = np.round((np.unwrap(first[known], period=360) - first[known]) / 360)
    along = along + 360 * turns[:, None]
    middle = np.nanmedian(along) if known.any() else 0.0
    return np.where(np.isfinite(longitude), along - 360 * np.round(middle / 360), np.nan)


def in_one_piece(ds: xr.Dataset, space: tuple[Hashable, Hashable]) -> xr.Dataset:
    """Return maps with longitudes of 0 to 360 rolled, so that the Atlantic isn't cut."""
    y, x = space
    if not (x in ds.coords and is_longitude(ds, x) and ds[x].dtype.kind in "fiu"):
        return ds
    values = ds[x].values
    if values.size > 1 and values[0] > values[-1]:
        ds = ds.isel({x: slice(None, None, -1)})
    return rolled(ds, x)


def stretch(latitude: NDArray[np.floating]) -> float:
    """Return how much longer a degree of latitude is than one of longitude."""
    middle = float(np.nanmean(latitude))
    return 1 / max(float(np.cos(np.radians(middle))), 0.2)


def basin_positions(ds: xr.Dataset, basin: Hashable) -> tuple[Array, Array]:
    """Return the longitudes and latitudes of basins.

    Raises
    ------
    RasterError
        There are none.
    """
    latitude, longitude = (
        [n for n in [*ds.coords, *ds.data_vars] if ds[n].dims == (basin,) and fits(ds, n)]
        for fits in (is_latitude, is_longitude)
    )
    for found, what in ((longitude, LONGITUDE), (latitude, LATITUDE)):
        if not found:
            raise RasterError(
                f"basins can't be drawn without {what}. Add a coordinate with standard_name "
                f"{what!r}, or give geometries=, the outlines of the basins."
            )
    x = ds[longitude[0]].values.astype(float)
    return np.where(x > 180, x - 360, x), ds[latitude[0]].values.astype(float)


def pretty(units: object) -> str:
    """Return units as they are printed: exponents raised, nothing for the unit 1."""
    if units is None or str(units) in ("", "1"):
        return "dimensionless" if units is not None else ""
    text = re.sub(r"(?<=[A-Za-z])(-?\d+)", r"$^{\1}$", str(units))
    return text.replace("degC", "°C").replace("percent", "%")
