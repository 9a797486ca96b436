"""Batches in order, what they need read ahead of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ranks import ALONE, Ranks
from .batch import Batch
from .cache import Unit, UnitCache
from .cells import Cells

__all__ = ["Loader", "Task"]

AHEAD = 8
"""Units that may be on their way, or here and not yet used."""


class Task(NamedTuple):
    """One batch to cut: cells by place, first step and end of the window."""

    cells: NDArray[np.intp]
    start: int
    stop: int


class Loader:
    """Cuts batches from cells, reading ahead where they aren't in memory.

    Reading stops while as much as the cells' budget allows is on its way or asked for, and goes
    on as batches are done. What was read stays as long as there is room, also for the
    epochs to come.

    Parameters
    ----------
    cells : Cells
        What batches are cut from.
    warmup : int
        Steps of spin-up.
    pin : bool
        Put batches into pinned memory, from where a GPU copies while it computes.
    ranks : Ranks
        The processes that share each batch: only this one's series are read.

    Attributes
    ----------
    waited : float
        Seconds in which nobody could go on because data were missing.
    """

    def __init__(self, cells: Cells, warmup: int, pin: bool = False, ranks: Ranks = ALONE) -> None:
        self.cells, self.warmup, self.pin, self.ranks = cells, warmup, pin, ranks
        self.waited = 0.0
        self._reader: UnitCache | None = None

    @property
    def units_read(self) -> int:
        """How often a unit was read by now."""
        return 0 if self._reader is None else self._reader.read

    def __call__(self, tasks: Iterable[Task]) -> Iterator[Batch]:
        """Batches in the order of the tasks."""
        if self.cells.in_memory:
            for task in tasks:
                own = self.cells.share(task.cells, self.ranks)
                yield self._finished(self.cells.cut(*task, self.warmup, {}, own))
            return
        if self._reader is None:
            self._reader = self.cells.reader()
        yield from self._read_ahead(iter(tasks), self._reader)

    def _read_ahead(self, tasks: Iterator[Task], reader: UnitCache) -> Iterator[Batch]:
        waiting: deque[tuple[Task, list[Unit]]] = deque()
        try:
            following = self._next(tasks)
            while following is not None or waiting:
                while following is not None and (
                    not waiting or (reader.ahead < AHEAD and reader.room_for(following[1]))
                ):
                    reader.ask(following[1])
                    waiting.append(following)
                    following = self._next(tasks)
                task, units = waiting[0]
                began = time.perf_counter()
                series = {unit: reader.use(unit) for unit in units}
                own = self.cells.share(task.cells, self.ranks)
                batch = self.cells.cut(*task, self.warmup, series, own)
                del series
                self.waited += time.perf_counter() - began
                waiting.popleft()
                reader.give_back(units)
                yield self._finished(batch)
        finally:  # a step that failed, or an interrupt: what was asked for is no longer wanted
            for _, units in waiting:
                reader.give_back(units)

    def _next(self, tasks: Iterator[Task]) -> tuple[Task, list[Unit]] | None:
        task = next(tasks, None)
        if task is None:
            return None
        own = self.cells.share(task.cells, self.ranks)
        here = task.cells if own is None else task.cells[own]
        return task, self.cells.units(here, task.start, task.stop, self.warmup)

    def _finished(self, batch: Batch) -> Batch:
        return batch.pinned() if self.pin else batch

    def close(self) -> None:
        """Let go of what was read."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
