"""Make the runs that a store wants and does not have."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from ..blackbox import BlackBox, Failures, Job, Outcome, failure_of, run_all
from ..blackbox.pool import shared_processes
from ..errors import ModelRunError, warn
from ..runtime.progress import tqdm
from .sites import Sites
from .store import CHUNK, PENDING, RunStore

__all__ = ["complete"]


def complete(
    store: RunStore,
    box: BlackBox,
    sites: Sites,
    runs: NDArray[np.intp],
    *,
    scheduler: object = None,
    workers: int | None = None,
    progress: bool = True,
    kept: bool = True,
) -> dict[str, int]:
    """Make those of some runs that are not there yet; return the failed ones by cause.

    In memory, a chunk of runs at a time.

    Parameters
    ----------
    store, box, sites
        What keeps the runs, what is run, and where.
    runs : ndarray of int
        Numbers of the runs that are wanted.
    scheduler, workers
        As of `run_all`.
    progress : bool
        Show a bar.
    kept : bool
        Whether the store outlives the call.

    Raises
    ------
    ModelRunError
        More than a tenth of these runs failed.
    """
    journal, failed_before = store.in_journal()
    known = {**store.failures(), **failed_before}
    failures = Failures(box.name, len(runs), kept=str(store.folder) if kept else "")
    failures.found = [known[n] for n in runs.tolist() if n in known]
    ended = (store.status[runs] != PENDING) | np.isin(runs, [*journal, *known])
    failures.done = int(ended.sum())
    before = len(failures.found)
    bar = tqdm(
        total=len(runs),
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

        for chunk in np.unique(runs // CHUNK).tolist():
            start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, len(store))
            missing = runs[~ended & (runs // CHUNK == chunk)].tolist()
            jobs = {n: _job(store, box, sites, n) for n in missing}
            try:
                run_all(box, list(jobs.values()), each, scheduler=scheduler, workers=workers)
            except ModelRunError:
                store.forget_failures()
                raise
            store.fold(start, stop)
    if len(failures.found) > before:
        warn(failures.message)
    return failures.causes


def _job(store: RunStore, box: BlackBox, sites: Sites, number: int) -> Job:
    values = dict(zip(box.parameters, store.parameter[number].tolist(), strict=True))
    return sites.job(number, int(store.cell[number]), values)
