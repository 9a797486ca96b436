"""The public face: keywords that are checked by name, names that changed, warnings once a call."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import ParamSpec, TypeVar

from .errors import DeclarationError, reporting, warn
from .interrupts import interruptible

__all__ = ["did_you_mean", "hands_on", "named", "public", "renamed", "unknown_keyword"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that proposes the nearest known name, or nothing.

    Case plays no part: ``"kge"`` is near ``"KGE"``.
    """
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


_USUAL_ELSEWHERE = {
    "lr": "learning_rate",
    "target": "obs",
    "observed": "obs",
    "observations": "obs",
    "y": "obs",
    "features": "attributes",
    "static": "attributes",
    "inputs": "forcings",
    "dynamic_inputs": "forcings",
    "spinup": "warmup",
    "spin_up": "warmup",
    "time": "period",
    "criterion": "loss",
    "objective": "loss",
    "random_state": "seed",
    "verbose": "progress",
    "callback": "callbacks",
    "filename": "path",
}
"""Names that other packages give to keywords of ours, too different for a likeness of letters."""


def unknown_keyword(who: str, name: str, known: Iterable[str]) -> DeclarationError:
    """The error for a keyword that a function does not have."""
    known = list(known)
    usual = _USUAL_ELSEWHERE.get(name.lower())
    meant = f" Did you mean {usual!r}?" if usual in known else did_you_mean(name, known)
    return DeclarationError(f"{who} has no keyword {name!r}.{meant} It has {', '.join(known)}.")


def named(keyword: str, name: str, known: Sequence[type[T]]) -> type[T]:
    """Return the class of a name, in upper or lower case.

    Raises
    ------
    DeclarationError
        None of them has this name.
    """
    by_name = {one.__name__.lower(): one for one in known}
    if name.lower() not in by_name:
        names = [one.__name__ for one in known]
        raise DeclarationError(
            f"{keyword}={name!r} is no {keyword} of xdpl's own.{did_you_mean(name, names)} It has "
            f"{', '.join(names)}. Give one of these names, or an instance of your own class."
        )
    return by_name[name.lower()]


def public(**old_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of the public face; its signature stays as it is written.

    A keyword that the function does not have raises DeclarationError, which says what was
    probably meant. Each warning is shown once in a call, also where the call makes others.

    Parameters
    ----------
    **old_names : str
        ``old="new"``: keywords that were renamed. The old one works for a version, with a
        FutureWarning, and no editor shows it.

    Examples
    --------
    >>> from xdpl.public import public
    >>> @public(truth="true_model")
    ... def run(ds, *, true_model=False):
    ...     return true_model
    >>> run(None, true_modell=True)
    Traceback (most recent call last):
    xdpl.errors.DeclarationError: run has no keyword 'true_modell'. Did you mean 'true_model'? ...
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        who = function.__qualname__
        parameters = inspect.signature(function).parameters
        known = [name for name in parameters if name != "self"]
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())

        @functools.wraps(function)
        def called(*args: P.args, **keywords: P.kwargs) -> R:
            with reporting():
                if not (anything or keywords.keys() <= set(known)):
                    _rename(who, keywords, known, old_names)
                with interruptible(f"{who} was interrupted and gives no result."):
                    return function(*args, **keywords)

        called.old_names = old_names  # type: ignore[attr-defined]
        return called

    return decorate


def hands_on(
    to: Callable[..., object], without: Collection[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function that hands its ``**keywords`` on: editors see those of the other one.

    Parameters
    ----------
    to : callable
        Its keywords take the place of ``**keywords`` in the signature.
    without : collection of str
        Keywords of the other that this one does not take.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        hidden = {p.name for p in own} | set(without)
        more = [
            p
            for p in inspect.signature(to).parameters.values()
            if p.kind is p.KEYWORD_ONLY and p.name not in hidden
        ]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        return function

    return decorate


def _rename(
    who: str, keywords: dict[str, object], known: list[str], old_names: dict[str, str]
) -> None:
    """Put new names for old ones, in place; raise for a name that is neither."""
    for old in [name for name in keywords if name not in known]:
        if old not in old_names:
            raise unknown_keyword(who, old, [name for name in known if name != "ds"])
        new = old_names[old]
        if new in keywords:
            raise DeclarationError(
                f"{who} got both {new!r} and {old!r}, its old name. Give {new!r} only."
            )
        _warn_of_old(f"{who}({old}=...)", f"{who}({new}=...)")
        keywords[new] = keywords.pop(old)


def renamed(old: str, new: Callable[P, R]) -> Callable[P, R]:
    """Return a function or method under its old name, which warns at every call.

    Parameters
    ----------
    old : str
        The old name, with what a user writes ahead of it: ``"Fit.parts"``.
    new : callable
        The function under its new name.

    Examples
    --------
    >>> from xdpl.public import renamed
    >>> def quality_flags(maps):
    ...     return maps
    >>> doubtful = renamed("xdpl.validation.doubtful", quality_flags)
    """
    ahead, _, last = old.rpartition(".")
    name = ".".join(part for part in (ahead, new.__name__) if part)

    @functools.wraps(new)
    def called(*args: P.args, **keywords: P.kwargs) -> R:
        _warn_of_old(old, name)
        return new(*args, **keywords)

    called.__name__ = last
    called.__qualname__ = new.__qualname__.removesuffix(new.__name__) + last
    called.__doc__ = f"Old name of ``{name}``, for one version."
    return called


def _warn_of_old(old: str, new: str) -> None:
    warn(f"{old} is now {new}. The old name works in this version only.", FutureWarning)
