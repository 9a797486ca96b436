"""Where cells lie: positions on one metric, nearest neighbours, contiguous blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import LayoutError

__all__ = ["blocks", "nearest", "positions"]

EARTH_RADIUS_KM = 6371.0
PAIRS = 4_000_000
"""Distances held in memory at a time."""

Array = NDArray[np.float64]


def positions(ds: xr.Dataset, space: Sequence[str], labels: Sequence[str] = ()) -> Array:
    """Positions of all cells, so that straight distances tell near from far.

    Parameters
    ----------
    ds : Dataset
        With latitude and longitude of its cells, or with projected coordinates.
    space : sequence of str
        Its space dimensions; cells are stacked in this order, the last fastest.
    labels : sequence of str
        The coordinates that name a cell, if known.

    Returns
    -------
    ndarray (cell, 3) or (cell, 2)
        Kilometres from the centre of the Earth where there are latitudes and longitudes; else in
        the units of the projected coordinates. NaN where a cell has no position.

    Raises
    ------
    LayoutError
        The Dataset says nothing of where its cells lie.
    """
    geographic = _pair(ds, space, ("latitude", "lat"), ("longitude", "lon"))
    if geographic is not None:
        lat, lon = (np.radians(values) for values in geographic)
        ring = np.cos(lat)
        return EARTH_RADIUS_KM * np.stack(
            [ring * np.cos(lon), ring * np.sin(lon), np.sin(lat)], axis=-1
        )
    for names in (labels, space):
        if len(names) == 2 and all(n in ds.coords and ds[n].dtype.kind in "fiu" for n in names):
            return np.stack([_flat(ds, name, space) for name in names], axis=-1)
    raise LayoutError(
        f"the cells have no positions: there is no latitude and longitude over {tuple(space)}, and "
        "no projected coordinate. Assign them: "
        f'ds = ds.assign_coords(lat=("{space[0]}", ...), lon=("{space[0]}", ...)).'
        if space
        else "a single cell has no neighbours. Give a Dataset with more cells."
    )


def _pair(
    ds: xr.Dataset, space: Sequence[str], y: tuple[str, str], x: tuple[str, str]
) -> tuple[Array, Array] | None:
    found = []
    for standard, short in (y, x):
        named = [
            str(name)
            for name, v in ds.variables.items()
            if v.attrs.get("standard_name", str(name).lower()) in (standard, short)
            and set(v.dims) <= set(space)
            and v.dtype.kind in "fiu"
        ]
        if not named:
            return None
        found.append(_flat(ds, named[0], space))
    return found[0], found[1]


def _flat(ds: xr.Dataset, name: str, space: Sequence[str]) -> Array:
    shape = {dim: ds.sizes[dim] for dim in space}
    values: Any = ds[name].variable.set_dims(shape).transpose(*space).values
    return np.asarray(values, dtype=np.float64).ravel()


def nearest(wanted: Array, among: Array, count: int) -> NDArray[np.intp]:
    """Places in ``among`` (donor, n) of the nearest to each of ``wanted`` (cell, n).

    Returns
    -------
    ndarray of int (cell, count)
        The nearest first; of equally near ones the first.
    """
    size = max(1, PAIRS // max(1, len(among)))
    found = np.empty((len(wanted), count), np.intp)
    squares = (among**2).sum(1)
    for at in range(0, len(wanted), size):
        part = wanted[at : at + size]
        distance = squares - 2 * part @ among.T  # the rest is the same for all of a row
        found[at : at + size] = np.argsort(distance, axis=1, kind="stable")[:, :count]
    return found


def blocks(position: Array, count: int) -> NDArray[np.intp]:
    """Cut cells into contiguous blocks of nearly equal numbers; the same in every run.

    The cells are halved across the direction in which they spread most, and the halves again, each
    into as many blocks as its share asks for.

    Parameters
    ----------
    position : ndarray (cell, n)
        From `positions`, without NaN.
    count : int
        Blocks wanted.

    Returns
    -------
    ndarray of int (cell,)
        Number of the block of each cell, 0 to ``count - 1``.
    """
    number = np.zeros(len(position), np.intp)
    waiting = [(np.arange(len(position)), 0, count)]
    while waiting:
        cells, first, wanted = waiting.pop()
        if wanted == 1:
            number[cells] = first
            continue
        own = position[cells] - position[cells].mean(0)
        _, _, axes = np.linalg.svd(own, full_matrices=False)
        axis = axes[0] * np.sign(axes[0][np.argmax(np.abs(axes[0]))])
        order = cells[np.argsort(np.round(own @ axis, 6), kind="stable")]
        left = wanted // 2
        cut = round(len(cells) * left / wanted)
        waiting += [(order[:cut], first, left), (order[cut:], first + left, wanted - left)]
    return number
