"""Every error and warning of xdpl: each says what was found, what was wanted and what to do."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = [
    "DataError",
    "DeclarationError",
    "EngineWarning",
    "FitFileError",
    "Interrupted",
    "LayoutError",
    "ModelRunError",
    "NonFiniteLoss",
    "NotFitted",
    "OutOfMemory",
    "RankError",
    "RasterError",
    "UnitsError",
    "XdplError",
    "XdplWarning",
]

_log = logging.getLogger("xdpl")


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but for tab and line feed, and those that turn the direction of text."""


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun, in the plural but for one.

    Examples
    --------
    >>> from xdpl.errors import counted
    >>> counted(1, "cell"), counted(3, "cell"), counted(2, "batch", "batches")
    ('1 cell', '3 cells', '2 batches')
    """
    return f"{number:g} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def printable(text: str) -> str:
    r"""Show control characters as escapes, so that text from a file can't command a terminal.

    Examples
    --------
    >>> from xdpl.errors import printable
    >>> print(printable("a\x1b[2Jb"))
    a\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


class XdplError(Exception):
    """Base of all errors that xdpl raises on purpose."""

    def __str__(self) -> str:
        return printable(super().__str__())


class DeclarationError(XdplError, TypeError):
    """A process model, network or loss is declared in a way that can't work."""


class LayoutError(XdplError, ValueError):
    """A variable, dimension or keyword is missing, unknown or ambiguous."""


class UnitsError(XdplError, ValueError):
    """Units are missing, unknown, inconvertible or contradict the values.

    ``problems`` lists them, each as a sentence and the code that mends it.
    """

    def __init__(self, message: str, problems: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class DataError(XdplError, ValueError):
    """The values of a Dataset can't be used: nothing observed, time unsorted, period outside."""


class NotFitted(XdplError, RuntimeError):
    """Something was asked of a Dataset or Fit that needs a fit first."""


class NonFiniteLoss(XdplError, ArithmeticError):
    """The loss became NaN or infinite; `fit` holds the last good weights where there were any."""

    def __init__(self, message: str, fit: object | None = None) -> None:
        super().__init__(message)
        self.fit = fit


class ModelRunError(XdplError, RuntimeError):
    """A run of a black box failed, or too many did; ``cause`` says how, in a word or two."""

    def __init__(self, message: str, cause: str = "error") -> None:
        super().__init__(message)
        self.cause = cause

    def __reduce__(self) -> tuple[type[ModelRunError], tuple[str, str]]:
        # the default would forget the cause on the way back from another process
        return type(self), (str(self), self.cause)


class FitFileError(XdplError, OSError):
    """A fit file is corrupt, truncated, foreign or of another version."""


class OutOfMemory(XdplError, MemoryError):
    """A batch has no place in memory, not even in parts."""


class RankError(XdplError, RuntimeError):
    """One of the processes that train together is gone, or at another place."""


class RasterError(XdplError, ValueError):
    """A map can't be written: irregular axes, no CRS, no grid, or no permission."""


class XdplWarning(UserWarning):
    """Something was left out, filled in or guessed; the message counts it."""


class EngineWarning(XdplWarning):
    """The fused engine can't run a model; the eager loop takes over."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a call; ``fit`` holds what was reached by then, or None.

    A KeyboardInterrupt, so that it ends loops and cells of a notebook as any other does.
    """

    def __init__(self, message: str = "interrupted", fit: object | None = None) -> None:
        super().__init__(message)
        self.fit = fit


class Messages:
    """Warnings of one public call, each text once, in the order in which they came."""

    def __init__(self, shown: bool = True) -> None:
        self.shown = shown
        self._texts: dict[str, type[Warning]] = {}
        self._shown_in: dict[str, Messages] = {}
        self._lock = threading.Lock()

    def add(self, text: str, category: type[Warning]) -> bool:
        """Keep a text; return whether it is new."""
        with self._lock:
            new = text not in self._texts
            self._texts.setdefault(text, category)
            return new

    def first(self, key: str, within: Messages) -> bool:
        """Return whether no call made by this one has shown the like, other than ``within``."""
        with self._lock:
            return self._shown_in.setdefault(key, within) is within

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts of what concerns data and fit; not of names that changed."""
        with self._lock:
            kept = self._texts.items()
            return tuple(text for text, category in kept if issubclass(category, XdplWarning))


_calls: ContextVar[tuple[Messages, ...]] = ContextVar("xdpl_calls", default=())
"""The public calls that are running in this context, the outermost first."""


_NUMBER = re.compile(r"(?<![\w'\"])\d[\d.,]*(?![\w'\"])")
"""A count or a date, but no part of a name."""


@contextlib.contextmanager
def reporting(*, show: bool = True) -> Iterator[Messages]:
    """Begin a public call: within it each warning is shown once, or never, and kept.

    Calls nest: what cross-validation has shown for one fold is not shown for the next, but
    every fold's fit keeps its own messages. Filters and memory of `warnings` are left alone.
    A thread begins with no call; start it by ``contextvars.copy_context().run`` to keep this one.
    """
    messages = Messages(show)
    token = _calls.set((*_calls.get(), messages))
    try:
        yield messages
    finally:
        _calls.reset(token)


def reported() -> tuple[str, ...]:
    """Messages of the innermost public call that is running, so far."""
    calls = _calls.get()
    return calls[-1].texts if calls else ()


def warn(message: str, category: type[Warning] = XdplWarning, *, key: str | None = None) -> None:
    """Warn at the line of the user's program that led here, however deep this is called.

    That line is the caller of the outermost function of xdpl: between the two there may be frames
    of torch or xarray, so that a fixed ``stacklevel`` would name one of theirs.

    Parameters
    ----------
    message : str
        What was found, and what to do.
    category : type of Warning
    key : str, optional
        What makes two messages of two folds or members the same, so that only the first is shown;
        the text without its counts by default.
    """
    message = printable(message)
    if not _is_new(message, category, _NUMBER.sub("#", message) if key is None else key):
        return
    _log.info("%s", message)
    level, outermost = 1, 1
    while True:
        try:
            frame = sys._getframe(level)
        except ValueError:
            break
        if frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
            outermost = level
        level += 1
    warnings.warn(message, category, stacklevel=outermost + 2)


def _is_new(message: str, category: type[Warning], key: str) -> bool:
    """Keep a message in all calls that are running; return whether it is to be shown."""
    new = True
    calls = _calls.get()
    for call in calls:
        added, first = call.add(message, category), call.first(key, within=calls[-1])
        new &= call.shown and first and (added or call is not calls[-1])
    return new


def __dir__() -> list[str]:
    return sorted(__all__)
