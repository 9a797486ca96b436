"""Small samples of large variables: enough to judge units, never the whole array."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator
from contextvars import ContextVar

import numpy as np
import xarray as xr

from ..errors import DataError
from .inventory import plain
from .packing import unpack

__all__ = ["UNREAD", "load", "sample", "tiles"]

UNREAD: ContextVar[frozenset[str]] = ContextVar("xdpl_unread", default=frozenset())
"""Variables of which nothing is to be read, as in a preview: their sample is one NaN."""

_ENOUGH = 2000
_TILES, _LARGE_TILES = 8, 3
_LARGE = 2**24
_STEPS, _CELLS = 366, 24


def _edges(size: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, size)) for start in range(0, size, tile)]


def tiles(variable: xr.Variable, time: str) -> Iterator[dict[Hashable, slice]]:
    """Selections that cover a variable: its chunks, or pieces of a year and a few cells.

    They come in a scattered order that is always the same, so that the first few of them are a
    sample of all places and seasons.
    """
    if variable.chunks is not None:
        edges = []
        for lengths in variable.chunks:
            ends = np.cumsum(lengths).tolist()
            edges.append([slice(e - n, e) for e, n in zip(ends, lengths, strict=True)])
    else:
        edges = [
            _edges(variable.sizes[dim], _STEPS if dim == time else _CELLS) for dim in variable.dims
        ]
    count = int(np.prod([len(e) for e in edges], dtype=int))
    order: Iterable[int]
    if count <= 100_000:
        order = np.random.default_rng(0).permutation(count)
    else:  # a permutation of billions would itself be large: stride through instead
        order = itertools.chain.from_iterable(range(k, count, 997) for k in range(997))
    shape = tuple(len(e) for e in edges)
    for flat in order:
        place = np.unravel_index(int(flat), shape) if shape else ()
        yield {dim: e[i] for dim, e, i in zip(variable.dims, edges, place, strict=True)}


def load(variable: xr.Variable, name: object = "") -> np.ndarray:
    """Values of a variable, unpacked, without leaving them in the caller's Dataset.

    Raises
    ------
    DataError
        They can't be read, whatever the store says; the message says so of ``name``.
    """
    try:
        variable = plain(variable)
        if variable.chunks is not None:
            values = np.asarray(variable.compute(scheduler="synchronous").values)
        else:
            values = np.asarray(variable.copy(deep=False).values)
    except Exception as problem:
        source = variable.encoding.get("source")
        raise DataError(
            f"{str(name)!r}{f' of {source!r}' if source else ''} can't be read: "
            f"{type(problem).__name__}: {str(problem)[:300]}. Repair the store, or leave out what "
            "is broken with .isel(...)."
        ) from problem
    return unpack(values, variable.attrs, name)


def sample(array: xr.DataArray, time: str) -> np.ndarray:
    """Up to a few thousand finite values from all over a variable.

    More tiles are looked at only while nothing finite was found: a sparse grid may be empty
    almost everywhere. An empty result means that there is no value at all.
    """
    if str(array.name) in UNREAD.get():
        return np.array([np.nan])
    variable = array.variable
    found: list[np.ndarray] = []
    enough = _TILES
    for looked, tile in enumerate(tiles(variable, time)):
        if found and looked >= enough:
            break
        raw = load(variable.isel(tile), array.name)
        enough = _TILES if raw.nbytes < _LARGE else _LARGE_TILES
        values = raw.ravel() if raw.dtype.kind == "f" else raw.astype(float).ravel()
        values = values[np.isfinite(values)]
        if values.size:  # a copy: a view would hold the whole tile
            found.append(values[:: max(1, values.size // _ENOUGH)].astype(float))
    return np.concatenate(found) if found else np.empty(0)
