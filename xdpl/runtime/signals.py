"""Between two steps of training: keep its state now and then, and end it where a signal asks."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

__all__ = ["Keeper", "Stopped", "leave"]

EVERY = 300.0
"""Seconds after which the state is kept within an epoch."""


class Stopped(BaseException):
    """Training ends here because a signal asked for it; its state is kept."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class Keeper:
    """Writes checkpoints every few minutes, and ends training between two steps on a signal.

    Parameters
    ----------
    write : callable
        Keeps the state, if it is to be kept.
    every : float
        Seconds.
    agree : callable
        Whether any of the processes that train together has something to do.
    """

    write: Callable[[], None]
    every: float = field(default_factory=lambda: EVERY)
    agree: Callable[[bool], bool] = bool
    asked: int = 0
    _last: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Say whether it is time to write, or to end."""
        late = time.monotonic() - self._last >= self.every
        return self.agree(late or self.asked != 0)

    def rest(self) -> None:
        """Write, and raise Stopped where a signal came."""
        self.write()
        self._last = time.monotonic()
        if self.agree(self.asked != 0):
            raise Stopped(self.asked or signal.SIGTERM)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a wish to end after this step; the second one ends at once.

        Raises
        ------
        Stopped
            A signal came that no step has looked at any more.
        """
        before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        if threading.current_thread() is threading.main_thread():  # others may not listen
            for number in (signal.SIGINT, signal.SIGTERM):
                before[int(number)] = signal.signal(number, self._hear)
        try:
            yield
        finally:
            for heard, handler in before.items():
                signal.signal(heard, handler if handler is not None else signal.SIG_DFL)
        if self.agree(self.asked != 0):  # after the last step that looked
            raise Stopped(self.asked or signal.SIGTERM)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = int(number)


def leave(number: int) -> None:
    """End as the signal would have ended the program; return after an interrupt.

    What was learned by then is raised with the interrupt, so that whoever catches it has it.
    """
    if number != signal.SIGINT:
        os.kill(os.getpid(), number)
