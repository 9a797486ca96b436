"""How far a map is alike: the range of its variogram."""

from __future__ import annotations

import functools
from typing import overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import DataError
from .coherence import each_map, space_of
from .places import positions

__all__ = ["variogram_range"]

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
    whole = map if isinstance(map, xr.Dataset) else map.to_dataset(name="_map")
    space = space_of(whole)
    place = positions(whole, space)
    units = "km" if place.shape[1] == 3 else str(whole[space[-1]].attrs.get("units", "1"))
    attrs = {"units": units, "long_name": "range of the variogram"}
    found = each_map(whole, space, functools.partial(_range, place), attrs)
    return found if isinstance(map, xr.Dataset) else float(found["_map"])


def _range(place: Array, values: Array) -> float:
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
        return float("nan")  # a constant map
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


def _fitted(lag: Array, semivariance: Array, count: Array) -> float:
    """Practical range of nugget + sill (1 - exp(-3 h / range)); 0 where it is all nugget."""
    weight = np.sqrt(count)
    flat = (semivariance - np.average(semivariance, weights=count)) * weight
    least, found = (1 - STRUCTURE) * float((flat**2).sum()), 0.0
    for candidate in np.geomspace(lag[0] / 4, lag[-1], 200):
        rise = 1 - np.exp(-3 * lag / candidate)
        error = _least_squares(np.stack([np.ones_like(lag), rise], 1), semivariance, weight)
        if error < least:
            least, found = error, float(candidate)
    return found


def _least_squares(design: Array, target: Array, weight: Array) -> float:
    """Sum of squares of the fit with nugget and sill that are not negative."""
    rows, wanted = design * weight[:, None], target * weight
    coefficient = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    if coefficient[1] <= 0:
        return float("inf")
    if coefficient[0] < 0:
        sill = max(0.0, float(rows[:, 1] @ wanted / (rows[:, 1] @ rows[:, 1])))
        coefficient = np.array([0.0, sill])
    return float(((rows @ coefficient - wanted) ** 2).sum())
