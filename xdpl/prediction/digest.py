"""Names of computations that follow from what they are made of, in every process alike."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import sys
import types
import uuid
from collections.abc import Callable, Mapping

import torch
import xarray as xr

from ..blackbox import BlackBox

__all__ = ["digest"]

KNOWN = {"xdpl", "torch", "numpy", "pandas", "xarray", "dask", "pyproj", "shapely", "geopandas"}
"""Packages whose code isn't looked at: their versions are enough."""


_Description = tuple[Callable[..., None], tuple[object, ...]]
"""As pickle wants it: a function, and its arguments."""


def digest(thing: object) -> str:
    """Return a name that only equal things have; a random one where equality is unknown.

    Everything that pickle would keep counts, and the source text of classes and functions that are
    the user's own. What these call counts by its name alone, as in dask's names. Of an object with
    a method ``_lasting`` the result of that counts.
    """
    hashed = _Hashed()
    try:
        _Describer(hashed).dump(thing)
    except Exception:  # whatever can't be pickled: its name is its own
        return uuid.uuid4().hex
    return hashed.sha.hexdigest()[:32]


class _Hashed:
    """A file that keeps the digest of what is written."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()

    def write(self, some: bytes) -> int:
        """Take in some bytes."""
        self.sha.update(some)
        return len(some)


def _described(*facts: object) -> None:
    """Stand for a description in the bytes of a pickle, which nobody reads."""


class _Describer(pickle.Pickler):
    def reducer_override(self, thing: object) -> _Description:
        """Describe some things by their values instead of how to rebuild them."""
        if isinstance(thing, torch.Tensor):
            array = thing.detach().cpu().numpy()
            return _described, ("tensor", str(array.dtype), array.shape, array.tobytes())
        if isinstance(thing, (type, types.FunctionType)):
            return _code(thing)
        if isinstance(thing, BlackBox):
            raise pickle.PicklingError("what it runs may have changed")
        if isinstance(thing, torch.nn.Module):
            return _described, (type(thing), _ordered(vars(thing)))
        if isinstance(thing, xr.Variable) and thing._in_memory:
            return _described, (type(thing), thing.dims, thing.attrs, thing.values)
        if isinstance(thing, xr.Dataset):
            variables = sorted(thing.variables.items(), key=lambda item: str(item[0]))
            return _described, (type(thing), variables, thing.attrs, sorted(map(str, thing.coords)))
        lasting = getattr(type(thing), "_lasting", None)
        if lasting is not None:
            return _described, (type(thing), _ordered(lasting(thing)))
        return NotImplemented


def _ordered(state: Mapping[str, object]) -> dict[str, object]:
    """Sets in an order that is the same in every process."""
    return {k: sorted(map(str, v)) if isinstance(v, set) else v for k, v in state.items()}


def _code(thing: type | types.FunctionType) -> _Description:
    """Describe a class or function by its name, and by its text if no known package has it."""
    package = str(thing.__module__).partition(".")[0]
    if package in KNOWN or package in sys.stdlib_module_names - {"__main__"}:
        return NotImplemented
    if "<" in thing.__qualname__:  # it may hold values of the function that it was made in
        raise pickle.PicklingError("a local name identifies nothing")
    return _described, (thing.__module__, thing.__qualname__, inspect.getsource(thing))
