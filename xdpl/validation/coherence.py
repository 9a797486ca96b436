"""Spatial coherence of maps as a number: Moran's I."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import DataError, DeclarationError, LayoutError
from ..spatial import find_grid, grid_pairs, nearest, positions
from ..spatial.neighbours import SHIFTS

__all__ = ["each_map", "moran", "space_of"]

NEAREST = 8

Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]


@overload
def moran(map: xr.DataArray, neighbours: str | int | None = None) -> float: ...
@overload
def moran(map: xr.Dataset, neighbours: str | int | None = None) -> xr.Dataset: ...
def moran(
    map: xr.DataArray | xr.Dataset,
    neighbours: str | int | None = None,
) -> float | xr.Dataset:
    """Moran's I (Moran 1950, doi:10.1093/biomet/37.1-2.17): how alike neighbours are.

    Near 1 for a smooth map, near ``-1 / (n - 1)`` for values dealt out at random, negative where
    neighbours contrast. Cells without a value are no neighbours.

    Parameters
    ----------
    map : DataArray or Dataset
        Over a grid, or over basins with latitude and longitude.
    neighbours : {"queen", "rook"} or int, optional
        Cells of a grid that share a corner or an edge; an edge; or the given number of nearest
        cells, weighted by the inverse of their distance. By default "queen" for grids and 8 for
        all else. A grid that is sparsely filled needs a number.

    Returns
    -------
    float or Dataset
        For a Dataset one value per variable over space, with the dimensions that are not space
        (component) kept.

    Raises
    ------
    DataError
        No two neighbours have values.
    LayoutError
        The cells have no positions.
    """
    whole = map if isinstance(map, xr.Dataset) else map.to_dataset(name="_map")
    space = space_of(whole)
    if neighbours is None:
        neighbours = "queen" if len(space) == 2 else NEAREST
    _check(neighbours, space)
    reduce = functools.partial(_moran, whole, space=space, neighbours=neighbours)
    found = each_map(whole, space, reduce, {"units": "1", "long_name": "Moran's I"})
    return found if isinstance(map, xr.Dataset) else float(found["_map"])


def each_map(
    ds: xr.Dataset,
    space: tuple[str, ...],
    reduce: Callable[[NDArray[np.float64]], float],
    attrs: Mapping[str, str],
) -> xr.Dataset:
    """Reduce each map of numbers to one number; dimensions that are not space are kept.

    Parameters
    ----------
    ds : Dataset
        Maps.
    space : tuple of str
        Dimensions of space.
    reduce : callable
        Takes values over space and gives a number.
    attrs : mapping of str to str
        Of the results; the long name is completed by that of the variable.
    """
    results = {}
    for name, variable in ds.data_vars.items():
        if not set(space) <= set(variable.dims) or variable.dtype.kind not in "fiu":
            continue
        rest = [dim for dim in variable.dims if dim not in space]
        stacked = variable.transpose(*rest, *space)
        values = stacked.values.astype(np.float64).reshape(-1, *(ds.sizes[d] for d in space))
        shape = tuple(variable.sizes[dim] for dim in rest)
        of = variable.attrs.get("long_name", name)
        own = {**attrs, "long_name": f"{attrs['long_name']} of {of}"}
        results[name] = (rest, np.reshape([reduce(layer) for layer in values], shape), own)
    return xr.Dataset(results)


def space_of(ds: xr.Dataset) -> tuple[str, ...]:
    """Dimensions of space of maps over a grid or over basins."""
    grid = find_grid(ds)
    if grid is not None:
        return str(grid[0]), str(grid[1])
    dims = [str(dim) for dim in ds.dims if str(dim) != "component"]
    if len(dims) == 1:
        return (dims[0],)
    raise LayoutError(
        f"it is not known which of the dimensions {', '.join(dims) or 'none'} are space. Give maps "
        "over a grid or over basins; select one time or seed first."
    )


def _check(neighbours: str | int, space: tuple[str, ...]) -> None:
    if isinstance(neighbours, int) and not isinstance(neighbours, bool) and neighbours > 0:
        return
    if neighbours in SHIFTS and len(space) == 2:
        return
    wanted = "'queen', 'rook' or a number" if len(space) == 2 else "a number of nearest cells"
    raise DeclarationError(f"neighbours={neighbours!r} can't be used here. Give {wanted}.")


def _moran(
    ds: xr.Dataset, values: NDArray[np.float64], space: tuple[str, ...], neighbours: str | int
) -> float:
    flat = values.ravel()
    if isinstance(neighbours, str):
        one, other = grid_pairs(np.isfinite(values), neighbours)
        weight = np.ones(len(one))
    else:
        one, other, weight = _near_pairs(ds, np.isfinite(flat), space, neighbours)
    if not len(one):
        raise DataError(
            "no two neighbouring cells have values, so there is no coherence to measure. On a "
            "sparse grid give a number of nearest cells: neighbours=8."
        )
    anomaly = flat - flat[np.isfinite(flat)].mean()
    variance = np.nanmean(anomaly**2)
    if variance <= 1e-20 * max(1e-30, float(np.nanmax(flat**2))):
        return float("nan")  # a constant map
    return float((weight * anomaly[one] * anomaly[other]).sum() / weight.sum() / variance)


def _near_pairs(
    ds: xr.Dataset, there: NDArray[np.bool_], space: tuple[str, ...], count: int
) -> Pairs:
    place = positions(ds, space)
    index = np.flatnonzero(there & np.isfinite(place).all(1))
    count = min(count, len(index) - 1)
    if count < 1:
        return index[:0], index[:0], np.empty(0)
    own = place[index]
    found = nearest(own, own, count + 1)
    one = np.repeat(np.arange(len(index)), count + 1)
    other = found.ravel()
    apart = one != other
    one, other = one[apart], other[apart]
    distance = np.sqrt(((own[one] - own[other]) ** 2).sum(1))
    weight = 1 / np.maximum(distance, 1e-6 * distance.max() + 1e-12)
    return index[one], index[other], weight
