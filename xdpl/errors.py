"""Every error and warning of xdpl: each says what was found, what was wanted and what to do."""

from __future__ import annotations

import sys
import warnings

__all__ = [
    "DataError",
    "DeclarationError",
    "EngineWarning",
    "FitFileError",
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
    "warn",
]


class XdplError(Exception):
    """Base of all errors that xdpl raises on purpose."""


class DeclarationError(XdplError, TypeError):
    """A process model, network or loss is declared in a way that can't work."""


class LayoutError(XdplError, ValueError):
    """A variable, dimension or keyword is missing, unknown or ambiguous."""


class UnitsError(XdplError, ValueError):
    """Units are missing, unknown, inconvertible or contradict the values."""


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


def warn(message: str, category: type[Warning] = XdplWarning) -> None:
    """Warn at the line of the user's program that led here, however deep this is called.

    That line is the caller of the outermost function of xdpl: between the two there may be frames
    of torch or xarray, so that a fixed ``stacklevel`` would name one of theirs.
    """
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
