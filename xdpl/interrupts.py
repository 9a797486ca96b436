"""Ctrl-C: an error that carries the fit reached, and ends loops as any interrupt does."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import TracebackType

from .errors import Interrupted

__all__ = ["interactive", "interrupted", "interruptible"]


def interrupted(message: str, fit: object | None = None) -> Interrupted:
    """Return the error for an interrupt; a script that doesn't catch it ends by SIGINT.

    Only then does a loop of the shell that runs the script end as well. Python ends itself so for
    KeyboardInterrupt, but not for classes derived from it.
    """
    if os.name == "posix" and not interactive() and not isinstance(sys.excepthook, _EndBySignal):
        sys.excepthook = _EndBySignal(sys.excepthook)
    return Interrupted(message, fit)


class _EndBySignal:
    """Shows an uncaught error as before; where it is an interrupt, the program ends by SIGINT."""

    def __init__(self, before: Callable[..., object]) -> None:
        self._before = before

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self._before(kind, error, trace)
        if isinstance(error, Interrupted):
            atexit.register(_end)  # the last one registered is called first


def _end() -> None:
    """Do all that is left to do at exit, and end."""
    atexit.unregister(_end)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or closed
            stream.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def interruptible(message: str, *, anew: bool = False) -> Iterator[None]:
    """Turn a plain KeyboardInterrupt into an Interrupted without a fit.

    Parameters
    ----------
    message : str
        What was interrupted, what is lost, and what keeps it.
    anew : bool
        Say this of an Interrupted from further inside as well; its fit stays.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        if isinstance(stopped, Interrupted) and not anew:
            raise
        ended = interrupted(message, getattr(stopped, "fit", None))
        raise ended.with_traceback(stopped.__traceback__) from None


def interactive() -> bool:
    """Whether this is a notebook or a prompt."""
    ipython = sys.modules.get("IPython")  # a script may import it, too
    return hasattr(sys, "ps1") or (ipython is not None and ipython.get_ipython() is not None)
