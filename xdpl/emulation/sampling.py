"""Make the runs that a store wants and does not have."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blackbox import BlackBox, Failures, Job, Outcome, failure_of, run_all
from ..blackbox.pool import shared_processes
from ..errors import ModelRunError, warn
from ..progress import tqdm
from .places import Places
from .store import CHUNK, DONE, FAILED, RunStore

__all__ = ["complete"]


def complete(
    store: RunStore,
    box: BlackBox,
    places: Places,
    *,
    scheduler: Any = None,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, int]:
    """Make all runs of a store that are not there yet; return the failed ones by cause.

    Raises
    ------
    ModelRunError
        More than a tenth of all runs failed.
    """
    journal, failed_before = store.in_journal()
    failures = Failures(box.name, len(store))
    known = {**store.failures(), **failed_before}
    failures.found = list(known.values())
    failures.done = int((store.status != 0).sum()) + len(journal) + len(failed_before)
    told = len(failures.found)
    bar = tqdm(
        total=len(store),
        initial=failures.done,
        desc="true runs",
        unit="run",
        disable=not progress,
        file=sys.stderr,
    )
    with bar, shared_processes(box, scheduler, workers):

        def each(outcome: Outcome) -> None:
            failure = failure_of(outcome, jobs[outcome.number])
            store.keep(outcome, failure)
            bar.update(1)
            failures.add(failure)

        for start in range(0, len(store), CHUNK):
            stop = min(start + CHUNK, len(store))
            missing = [n for n in _missing(store, start, stop) if n not in journal | set(known)]
            jobs = {n: _job(store, box, places, n) for n in missing}
            try:
                run_all(box, list(jobs.values()), each, scheduler=scheduler, workers=workers)
            except ModelRunError:
                store.forget_failures()
                raise
            store.fold(start, stop)
    if len(failures.found) > told:
        warn(failures.message)
    return failures.causes


def _missing(store: RunStore, start: int, stop: int) -> NDArray[np.intp]:
    status = store.status[start:stop]
    return start + np.flatnonzero((status != DONE) & (status != FAILED))


def _job(store: RunStore, box: BlackBox, places: Places, number: int) -> Job:
    values = dict(zip(box.parameters, store.parameter[number].tolist(), strict=True))
    return places.job(number, int(store.cell[number]), values)
