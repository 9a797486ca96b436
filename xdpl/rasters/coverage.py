"""Exact areas of polygons within the cells of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ..errors import RasterError

__all__ = ["Coverage", "cover"]

_BLOCK = 200_000
"""Cells of the bounding box of a polygon that are looked at together: bounds the memory."""

_SLIVER = 0.01
"""Share of the smaller of two basins below which an overlap is an inexact common border."""


@dataclass(frozen=True)
class Coverage:
    """Which basin covers how much of which cell.

    Parameters
    ----------
    y, x : array (row,), (column,)
        Centres of cells, y falling.
    basin, cell : array (pair,)
        Position of a basin, and of a cell in row-major order.
    area : array (pair,)
        Area of that basin within that cell, as a fraction of a cell.
    without_area : int
        Basins that have no pair.
    overlapping : int
        Pairs of basins that overlap.
    """

    y: NDArray[np.floating]
    x: NDArray[np.floating]
    basin: NDArray[np.intp]
    cell: NDArray[np.intp]
    area: NDArray[np.float64]
    without_area: int
    overlapping: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y.size, self.x.size

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean by area of the basins in each cell; NaN where there is none.

        Parameters
        ----------
        values : array (basin,)
            NaN for a basin that is not part of the mean.
        """
        size = self.y.size * self.x.size
        known = np.isfinite(values[self.basin])
        weight = np.where(known, self.area, 0.0)
        value = np.where(known, values[self.basin], 0.0)
        total = np.bincount(self.cell, weight, minlength=size)
        product = np.bincount(self.cell, weight * value, minlength=size)
        mean = np.divide(product, total, out=np.full(size, np.nan), where=total > 0)
        return mean.reshape(self.shape)

    def most(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value with the largest area in each cell; NaN where there is none.

        For flags, of which there is no mean. Of equal areas the smaller value.

        Parameters
        ----------
        values : array (basin,)
            NaN for a basin that does not count.
        """
        size = self.y.size * self.x.size
        largest, winner = np.zeros(size), np.full(size, np.nan)
        for value in np.unique(values[np.isfinite(values)]):
            area = np.where(values[self.basin] == value, self.area, 0.0)
            covered = np.bincount(self.cell, area, minlength=size)
            winner[covered > largest] = value
            largest = np.maximum(largest, covered)
        return winner.reshape(self.shape)


def cover(
    polygons: NDArray[np.object_],
    size: tuple[float, float],
    bounds: tuple[float, float, float, float] | None = None,
) -> Coverage:
    """Intersect polygons with the cells of a grid.

    Parameters
    ----------
    polygons : array of shapely geometries (basin,)
    size : (float, float)
        Of a cell (x, y).
    bounds : (float, float, float, float), optional
        Left, bottom, right, top.

    Raises
    ------
    RasterError
        A size that is not positive, bounds that are empty, or no polygon with an area in them.
    """
    width, height = size
    if not (width > 0 and height > 0):
        raise RasterError(f"resolution {size} is no size. Give positive numbers.")
    left, top, columns, rows = _frame(polygons, size, bounds)
    pairs = [_pairs(polygon, (left, top), size, (rows, columns)) for polygon in polygons]
    counts = np.array([cells.size for cells, _ in pairs], dtype=np.intp)
    if not counts.sum():
        raise RasterError("no basin has an area within the bounds. Check bounds and their CRS.")
    cell = np.concatenate([cells for cells, _ in pairs])
    area = np.concatenate([fractions for _, fractions in pairs])
    return Coverage(
        y=top - height * (np.arange(rows) + 0.5),
        x=left + width * (np.arange(columns) + 0.5),
        basin=np.repeat(np.arange(len(pairs)), counts),
        cell=cell,
        area=area,
        without_area=int((counts == 0).sum()),
        overlapping=_overlaps(polygons),
    )


def _frame(
    polygons: NDArray[np.object_],
    size: tuple[float, float],
    bounds: tuple[float, float, float, float] | None,
) -> tuple[float, float, int, int]:
    width, height = size
    if bounds is None:
        left, bottom, right, top = shapely.total_bounds(polygons)
        # Multiples of the resolution, so that maps of different basins lie on one grid.
        left, right = np.floor(left / width) * width, np.ceil(right / width) * width
        bottom, top = np.floor(bottom / height) * height, np.ceil(top / height) * height
    else:
        left, bottom, right, top = bounds
    if not (left < right and bottom < top):
        raise RasterError(
            f"bounds {(left, bottom, right, top)} are empty. Give (left, bottom, right, top)."
        )
    # The smallest part of a cell is rounding, not a further cell.
    columns = max(1, int(np.ceil((right - left) / width - 1e-9)))
    rows = max(1, int(np.ceil((top - bottom) / height - 1e-9)))
    return float(left), float(top), columns, rows


def _pairs(
    polygon: shapely.Geometry,
    corner: tuple[float, float],
    size: tuple[float, float],
    shape: tuple[int, int],
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the cells of one polygon and the fraction of each that it covers."""
    (left, top), (width, height), (rows, columns) = corner, size, shape
    west, south, east, north = polygon.bounds
    first, last = _range((west - left) / width, (east - left) / width, columns)
    upper, lower = _range((top - north) / height, (top - south) / height, rows)
    cells, areas = [np.empty(0, np.intp)], [np.empty(0)]
    shapely.prepare(polygon)
    step = max(1, _BLOCK // max(1, last - first))
    for start in range(upper, lower, step):
        row, column = np.mgrid[start : min(lower, start + step), first:last].reshape(2, -1)
        x, y = left + column * width, top - row * height
        boxes = shapely.box(x, y - height, x + width, y)
        inside = shapely.contains_properly(polygon, boxes)
        fraction = inside.astype(float)
        edge = ~inside & shapely.intersects(polygon, boxes)
        fraction[edge] = shapely.area(shapely.intersection(polygon, boxes[edge]))
        fraction[edge] /= width * height
        cells.append((row * columns + column)[fraction > 0])
        areas.append(fraction[fraction > 0])
    return np.concatenate(cells), np.concatenate(areas)


def _range(start: float, stop: float, size: int) -> tuple[int, int]:
    """Return the cells from first to last, of those that there are."""
    first, last = int(np.floor(start)), int(np.ceil(stop))
    return min(max(first, 0), size), min(max(last, 0), size)


def _overlaps(polygons: NDArray[np.object_]) -> int:
    """Count pairs of basins that share more than the rounding of a common border."""
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    once = one < other
    one, other = one[once], other[once]
    shared = shapely.area(shapely.intersection(polygons[one], polygons[other]))
    area = shapely.area(polygons)
    smaller = np.minimum(area[one], area[other])
    return int((shared > _SLIVER * smaller).sum())
