"""Functions and methods of a Fit as methods of an accessor: one signature, one docstring.

What a method does is loaded when it is first looked up. From then on the class has a plain
function in its place, whose signature and docstring are those of the function that it calls.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar

import xarray as xr

from .errors import Interrupted
from .public import public

__all__ = ["DatasetMethod", "FitMethod", "late"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F")

_FIT = """fit : Fit, optional
    What ``fit`` or `xdpl.load` returned; by default the last one made with this Dataset.
"""


class late:
    """A module of xdpl that is loaded when one of its names is first used."""

    def __init__(self, name: str) -> None:
        self._name = f"{__package__}.{name}"

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self._name), name)


class Accessor(Protocol):
    """What a method needs of its accessor."""

    @property
    def _dataset(self) -> xr.Dataset:
        """The Dataset it belongs to."""

    def _choose(self, fit: object, method: str) -> object:
        """The fit given, or the last one; raises NotFitted."""

    def _remember(self, fit: object) -> None:
        """Keep a fit for the next call."""


class DatasetMethod(Generic[P, R]):
    """A function whose first argument is a Dataset, as a method.

    Parameters
    ----------
    load : callable
        Returns the function.
    remembered : bool
        Whether the accessor keeps what it returns, or the fit that an interrupt carries.
    """

    def __init__(
        self,
        load: Callable[[], Callable[Concatenate[xr.Dataset, P], R]],
        *,
        remembered: bool = False,
    ) -> None:
        self._load, self._remembered = load, remembered

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, accessor: Accessor | None, owner: type) -> Callable[P, R]:
        function, remembered = self._load(), self._remembered

        def method(self: Accessor, *args: P.args, **keywords: P.kwargs) -> R:
            try:
                result = function(self._dataset, *args, **keywords)
            except Interrupted as stopped:
                if remembered and stopped.fit is not None:
                    self._remember(stopped.fit)
                raise
            if remembered:
                self._remember(result)
            return result

        doc = _described(function, "")
        return _install(self._owner, self._name, method, function, [], doc).__get__(accessor, owner)


class OfFit(Protocol[P, R_co]):
    """A method of a Fit that takes the fit instead of the Dataset."""

    def __call__(self, fit: object = None, *args: P.args, **keywords: P.kwargs) -> R_co:
        """Call it."""


class FitMethod(Generic[F, P, R]):
    """A method of a Fit whose first argument is a Dataset, as a method that takes the fit.

    Parameters
    ----------
    load : callable
        Returns the method, unbound.
    """

    def __init__(self, load: Callable[[], Callable[Concatenate[F, xr.Dataset, P], R]]) -> None:
        self._load = load

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, accessor: Accessor | None, owner: type) -> OfFit[P, R]:
        function = self._load()

        def method(self: Accessor, fit: F | None = None, *args: P.args, **keywords: P.kwargs) -> R:
            name = function.__name__
            return getattr(self._choose(fit, name), name)(self._dataset, *args, **keywords)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        fit = inspect.Parameter("fit", kind, default=None, annotation="Fit | None")
        doc = _described(function, _FIT)
        return _install(self._owner, self._name, method, function, [fit], doc).__get__(
            accessor, owner
        )


def _install(
    owner: type,
    name: str,
    method: Callable[..., R],
    function: Callable[..., R],
    ahead: list[inspect.Parameter],
    doc: str,
) -> Callable[..., R]:
    """Put the method into its class, with the signature of the function but for the Dataset."""
    signature = inspect.signature(function)
    rest = [p for name, p in signature.parameters.items() if name not in ("self", "ds")]
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = signature.replace(parameters=[this, *ahead, *rest])  # type: ignore[attr-defined]
    method.__name__, method.__doc__ = name, doc
    method.__qualname__ = f"ds.dpl.{name}"  # as messages call it
    checked = public(**getattr(function, "old_names", {}))(method)
    checked.__module__, checked.__qualname__ = owner.__module__, f"{owner.__name__}.{name}"
    setattr(owner, name, checked)
    return checked


def _described(function: Callable[..., object], instead: str) -> str:
    """The docstring, whose entry of the Dataset is replaced."""
    text = inspect.getdoc(function) or ""
    return re.sub(r"(?m)^ds : .*\n(?:[ ]+.*\n)+", instead, text, count=1)
