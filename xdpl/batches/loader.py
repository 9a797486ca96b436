"""Batches in order, what they need read ahead of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..runtime.distributed import ALONE, ProcessGroup
from .batch import Batch
from .cache import Series, Unit, UnitCache
from .cells import Cells
from .reading import Pending

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
    group : ProcessGroup
        The processes that share each batch: only this one's series are read.

    Attributes
    ----------
    waited : float
        Seconds in which nobody could go on because no batch was there yet.
    """

    def __init__(
        self, cells: Cells, warmup: int, pin: bool = False, group: ProcessGroup = ALONE
    ) -> None:
        self.cells, self.warmup, self.pin, self.group = cells, warmup, pin, group
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
                own = self.cells.share(task.cells, self.group)
                yield self._finished(self.cells.cut(*task, self.warmup, {}, own))
            return
        if self._reader is None:
            self._reader = self.cells.reader()
        yield from self._read_ahead(iter(tasks), self._reader)

    def _read_ahead(self, tasks: Iterator[Task], reader: UnitCache) -> Iterator[Batch]:
        """One batch is cut, by a thread, while the one before it is trained on."""
        waiting: deque[tuple[Task, list[Unit]]] = deque()
        cut: deque[tuple[list[Unit], Future[Batch]]] = deque()
        cutter = ThreadPoolExecutor(1, thread_name_prefix="xdpl-cut")
        try:
            following = self._next(tasks)
            while following is not None or waiting or cut:
                while following is not None and (
                    not (waiting or cut) or (reader.ahead < AHEAD and reader.room_for(following[1]))
                ):
                    reader.ask(following[1])
                    waiting.append(following)
                    following = self._next(tasks)
                while waiting and len(cut) < 2:
                    task, units = waiting.popleft()
                    pending = {unit: reader.use(unit) for unit in units}
                    cut.append((units, cutter.submit(self._cut, task, pending)))
                units, future = cut[0]
                began = time.perf_counter()
                try:
                    batch = future.result()
                except BaseException:
                    reader.drop(units)
                    raise
                self.waited += time.perf_counter() - began
                cut.popleft()
                del future  # it holds the batch
                reader.give_back(units)
                yield self._finished(batch)  # pinned here: another thread has another current GPU
                del batch
        finally:  # a step that failed, or an interrupt: what was asked for is no longer wanted
            cutter.shutdown(wait=False, cancel_futures=True)
            for _, units in waiting:
                reader.give_back(units)
            for units, _ in cut:
                reader.give_back(units)

    def _cut(self, task: Task, pending: Mapping[Unit, Pending[Series]]) -> Batch:
        series = {unit: one.result() for unit, one in pending.items()}
        own = self.cells.share(task.cells, self.group)
        return self.cells.cut(*task, self.warmup, series, own)

    def _next(self, tasks: Iterator[Task]) -> tuple[Task, list[Unit]] | None:
        task = next(tasks, None)
        if task is None:
            return None
        own = self.cells.share(task.cells, self.group)
        here = task.cells if own is None else task.cells[own]
        return task, self.cells.units(here, task.start, task.stop, self.warmup)

    def _finished(self, batch: Batch) -> Batch:
        return batch.pinned() if self.pin else batch

    def close(self) -> None:
        """Let go of what was read."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
