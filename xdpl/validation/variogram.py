"""How far a map is alike, and how much of it is noise: range and nugget of its variogram."""

from __future__ import annotations

from typing import overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import DataError
from ..spatial import positions
from .coherence import each_map, space_of

__all__ = ["nugget_share", "variogram_range"]

CELLS = 1500
"""Cells that stand for all where there are more."""

LAGS = 15
"""Classes of distance."""

STRUCTURE = 0.5
"""Share of the variance of the semivariances that the model explains, if there is a structure."""

FEWEST = 10
"""Cells with values from which there is a variogram."""

Array = NDArray[np.float64]


@overload
def variogram_range(map: xr.DataArray) -> float: ...
@overload
def variogram_range(map: xr.Dataset) -> xr.Dataset: ...
def variogram_range(map: xr.DataArray | xr.Dataset) -> float | xr.Dataset:
    """Practical range of the variogram: the distance beyond which cells are no longer alike.

    Where Moran's I tells how alike neighbours are, this tells how far that reaches.

    Parameters
    ----------
    map : DataArray or Dataset
        Over a grid, or over basins, with latitude and longitude or projected coordinates.

    Returns
    -------
    float or Dataset
        Kilometres where there are latitudes and longitudes, else units of the coordinates; 0 where
        semivariances don't rise with distance. For a Dataset one value per variable
        over space, with the dimensions that are not space (component) kept.

    Raises
    ------
    DataError
        Fewer than 10 cells have values.
    LayoutError
        The cells have no positions.

    Notes
    -----
    Semivariances after Matheron (1963), doi:10.2113/gsecongeo.58.8.1246, in 15 classes of distance
    up to half of the largest one; an exponential model with nugget, by least squares weighted with
    the pairs of each class. Its practical range is where 95 % of the sill is reached; it is given
    as the largest distance looked at where it lies beyond, and as 0 where the model explains less
    than half of the variance of the semivariances. Of more than 1500 cells 1500 are drawn.
    """
    return _each(map, 0, "range of the variogram", None)


@overload
def nugget_share(map: xr.DataArray) -> float: ...
@overload
def nugget_share(map: xr.Dataset) -> xr.Dataset: ...
def nugget_share(map: xr.DataArray | xr.Dataset) -> float | xr.Dataset:
    """Share of the variance of a map that has no structure in space: nugget over sill.

    0 for a smooth map, 1 where cells are no more alike than any. Where a map follows the
    climate of a continent its range is as large as the map, and this still tells scatter.

    Parameters
    ----------
    map : DataArray or Dataset
        As of `variogram_range`, which tells how the variogram is fitted.

    Returns
    -------
    float or Dataset
        Of the sill within the distances looked at.

    Raises
    ------
    DataError
        Fewer than 10 cells have values.
    LayoutError
        The cells have no positions.
    """
    return _each(map, 1, "nugget share of the variogram", "1")


def _each(
    map: xr.DataArray | xr.Dataset, which: int, long_name: str, units: str | None
) -> float | xr.Dataset:
    whole = map if isinstance(map, xr.Dataset) else map.to_dataset(name="_map")
    space = space_of(whole)
    place = positions(whole, space)
    if units is None:
        units = "km" if place.shape[1] == 3 else str(whole[space[-1]].attrs.get("units", "1"))
    attrs = {"units": units, "long_name": long_name}
    found = each_map(whole, space, lambda values: _variogram(place, values)[which], attrs)
    return found if isinstance(map, xr.Dataset) else float(found["_map"])


def _variogram(place: Array, values: Array) -> tuple[float, float]:
    """Practical range, and nugget share, of one map."""
    flat = values.ravel()
    there = np.flatnonzero(np.isfinite(flat) & np.isfinite(place).all(1))
    if len(there) < FEWEST:
        raise DataError(
            f"only {len(there)} cells have values and a position, too few for a variogram. "
            f"Give a map with {FEWEST} or more."
        )
    if len(there) > CELLS:
        there = np.sort(np.random.default_rng(0).choice(there, CELLS, replace=False))
    if np.ptp(flat[there]) <= 1e-10 * max(1e-30, float(np.abs(flat[there]).max())):
        return float("nan"), float("nan")  # a constant map
    return _fitted(*_semivariances(place[there], flat[there]))


def _semivariances(place: Array, values: Array) -> tuple[Array, Array, Array]:
    """Mean distance, semivariance and number of pairs of each class of distance."""
    one, other = np.triu_indices(len(place), 1)
    distance = np.sqrt(((place[one] - place[other]) ** 2).sum(1))
    limit = distance.max() / 2
    near = distance <= limit
    number = np.minimum((distance[near] / limit * LAGS).astype(int), LAGS - 1)
    half = 0.5 * (values[one[near]] - values[other[near]]) ** 2
    count = np.bincount(number, minlength=LAGS).astype(float)
    some = count > 0
    mean = np.bincount(number, distance[near], minlength=LAGS)[some] / count[some]
    return mean, np.bincount(number, half, minlength=LAGS)[some] / count[some], count[some]


def _fitted(lag: Array, semivariance: Array, count: Array) -> tuple[float, float]:
    """Range and nugget share of nugget + sill (1 - exp(-3 h / range)); 0 and 1 where all is nugget.

    The share is that of the nugget in the semivariance at the largest distance.
    """
    weight = np.sqrt(count)
    flat = (semivariance - np.average(semivariance, weights=count)) * weight
    least, found = (1 - STRUCTURE) * float((flat**2).sum()), (0.0, 1.0)
    for candidate in np.geomspace(lag[0] / 4, lag[-1], 200):
        rise = 1 - np.exp(-3 * lag / candidate)
        error, nugget, sill = _least_squares(rise, semivariance, weight)
        if error < least:
            least = error
            found = float(candidate), nugget / (nugget + sill * float(rise[-1]))
    return found


def _least_squares(rise: Array, target: Array, weight: Array) -> tuple[float, float, float]:
    """Sum of squares, nugget and sill, both not negative."""
    rows, wanted = np.stack([np.ones_like(rise), rise], 1) * weight[:, None], target * weight
    nugget, sill = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    if sill <= 0:
        return float("inf"), 0.0, 0.0
    if nugget < 0:
        nugget, sill = 0.0, max(0.0, float(rows[:, 1] @ wanted / (rows[:, 1] @ rows[:, 1])))
    error = rows @ np.array([nugget, sill]) - wanted
    return float((error**2).sum()), float(nugget), float(sill)
