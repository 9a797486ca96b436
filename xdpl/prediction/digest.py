"""Names of computations that follow from what they are made of, in every process alike."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import sys
import types
import uuid
from typing import Any

import torch
import xarray as xr

from ..blackbox import BlackBox

__all__ = ["digest"]

KNOWN = {"xdpl", "torch", "numpy", "pandas", "xarray", "dask", "pyproj", "shapely", "geopandas"}
"""Packages whose code isn't looked at: their versions tell enough."""


def digest(thing: Any) -> str:
    """Return a name that only equal things have; a random one where that can't be told.

    All that pickle would keep counts, and the source text of classes and functions that are the
    user's own; what these call counts by its name alone, as in dask's names. Of an object with a
    method ``_lasting`` what that gives counts.
    """
    heard = _Heard()
    try:
        _Teller(heard).dump(thing)
    except Exception:  # whatever can't be pickled: its name is its own
        return uuid.uuid4().hex
    return heard.sha.hexdigest()[:32]


class _Heard:
    """A file that keeps the digest of what is written."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()

    def write(self, some: Any) -> int:
        """Take in some bytes."""
        self.sha.update(some)
        return len(some)


def _told(*parts: Any) -> None:
    """Stand for what was told in the bytes of a pickle, which nobody reads."""


class _Teller(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        """Tell of some things in another way than to rebuild them."""
        if isinstance(thing, torch.Tensor):
            array = thing.detach().cpu().numpy()
            return _told, ("tensor", str(array.dtype), array.shape, array.tobytes())
        if isinstance(thing, (type, types.FunctionType)):
            return _code(thing)
        if isinstance(thing, BlackBox):
            raise pickle.PicklingError("what it runs may have changed")
        if isinstance(thing, torch.nn.Module):
            return _told, (type(thing), _ordered(vars(thing)))
        if isinstance(thing, xr.Variable) and thing._in_memory:
            return _told, (type(thing), thing.dims, thing.attrs, thing.values)
        if isinstance(thing, xr.Dataset):
            variables = sorted(thing.variables.items(), key=lambda item: str(item[0]))
            return _told, (type(thing), variables, thing.attrs, sorted(map(str, thing.coords)))
        if hasattr(type(thing), "_lasting"):
            return _told, (type(thing), _ordered(thing._lasting()))
        return NotImplemented


def _ordered(state: dict[str, Any]) -> dict[str, Any]:
    """Sets in an order that is the same in every process."""
    return {k: sorted(map(str, v)) if isinstance(v, set) else v for k, v in state.items()}


def _code(thing: Any) -> Any:
    """Tell of a class or function by its name, and by its text where it is not a package's."""
    package = str(thing.__module__).partition(".")[0]
    if package in KNOWN or package in sys.stdlib_module_names - {"__main__"}:
        return NotImplemented
    if "<" in thing.__qualname__:  # it may hold values of the function that it was made in
        raise pickle.PicklingError("a local name tells nothing")
    return _told, (thing.__module__, thing.__qualname__, inspect.getsource(thing))
