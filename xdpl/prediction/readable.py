"""Dask arrays of files whose errors name the variable and the file that can't be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol, cast

import dask.array
import numpy as np
import xarray as xr
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from ..errors import DataError, XdplError

__all__ = ["Readable", "readable"]

_ORIGINAL = re.compile(r"original-(?:open_dataset-)?(.+)-[0-9a-f]{32}")
"""Name of the layer in which dask keeps the array of a file."""


class Source(Protocol):
    """An array of a file, as dask takes it."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def __getitem__(self, key: object) -> object:
        """Values of a selection."""


@dataclass(frozen=True)
class Readable:
    """An array of a file, whose selections say what can't be read.

    Parameters
    ----------
    array : Source
        Of the file.
    name : str
        Of its variable, and of the file where that is known.
    """

    array: Source
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the values."""
        return self.array.dtype

    def __getitem__(self, key: object) -> object:
        try:
            found = self.array[key]
            return found if hasattr(found, "__array_function__") else np.asarray(found)
        except XdplError:
            raise
        except Exception as problem:  # whatever a damaged file leads to
            raise DataError(
                f"{self.name} can't be read: {type(problem).__name__}: {str(problem)[:300]}. "
                "Repair the file, or leave out what is broken with .isel(...)."
            ) from problem


def readable(variable: xr.Variable) -> xr.Variable:
    """The same lazy variable, whose errors of reading are DataErrors that name it."""
    data = variable.data
    if not isinstance(data, dask.array.Array):
        return variable
    file = variable.encoding.get("source")
    layers = dict(data.dask.layers)
    for key, layer in data.dask.layers.items():
        found = _ORIGINAL.fullmatch(key)
        if found is None or not isinstance(layer, MaterializedLayer):
            continue
        which = repr(found[1]) + (f" of {file!r}" if file else "")
        layers[key] = MaterializedLayer({k: _guarded(one, which) for k, one in layer.items()})
    graph = HighLevelGraph(layers, data.dask.dependencies)
    same = dask.array.Array(graph, data.name, data.chunks, meta=data._meta)
    return xr.Variable(variable.dims, same, variable.attrs, variable.encoding)


def _guarded(one: object, name: str) -> object:
    """The array of a file, guarded; a node of a graph as it is."""
    value = getattr(one, "value", one)  # dask wraps some in a node
    array = hasattr(value, "shape") and hasattr(value, "__getitem__")
    guarded = array and not isinstance(value, np.ndarray)
    return Readable(cast(Source, value), name) if guarded else one
