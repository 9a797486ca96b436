"""Many runs of a black box, side by side, over dask."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import dask

from ..errors import DeclarationError
from .base import BlackBox
from .dispatch import execute
from .isolated import workers_of
from .outcome import Job, Outcome, quietly

__all__ = ["run_all", "shared_processes"]

SCHEDULERS = ("threads", "processes", "synchronous")
TOGETHER = 64
"""Runs in one call of a vectorised box."""


def run_all(
    box: BlackBox,
    jobs: Sequence[Job],
    each: Callable[[Outcome], None],
    *,
    scheduler: object = None,
    workers: int | None = None,
) -> None:
    """Make runs side by side, and hand over each outcome as soon as it is there.

    Parameters
    ----------
    box : BlackBox
        What is run.
    jobs : sequence of Job
        In the order in which they are begun.
    each : callable
        Called with every outcome, in this thread, one at a time, in the order of their ends.
    scheduler : {"threads", "processes", "synchronous"} or distributed.Client, optional
        Of dask. By default the client that is there, if any, else what dask is set to, else
        threads. Contained runs have processes of their own, so that threads do for them.
    workers : int, optional
        Runs at a time, of threads and processes; as many as there are processors by default.
    """
    size = TOGETHER if box.vectorised else 1
    groups = [jobs[at : at + size] for at in range(0, len(jobs), size)]
    client = _client(scheduler)
    if client is not None:
        _on_cluster(client, box, groups, each)
        return
    chosen = scheduler or dask.config.get("scheduler", None) or "threads"
    if chosen not in SCHEDULERS:
        raise DeclarationError(
            f"scheduler={scheduler!r} is unknown. Use one of {', '.join(SCHEDULERS)}, or a "
            "distributed.Client."
        )
    if chosen == "processes" and _in_threads(box):
        chosen = "threads"
    # threads can't hush what they run: it is done for them here
    hushed = quietly() if chosen == "threads" else contextlib.nullcontext()
    with shared_processes(box, chosen, workers), hushed:
        for wave in _waves(groups):
            _locally(box, wave, each, chosen, workers)


@contextlib.contextmanager
def shared_processes(box: BlackBox, scheduler: object, workers: int | None) -> Iterator[None]:
    """Let all runs made inside share their processes: each takes seconds to start.

    Left to itself, dask starts new ones at every call; and those of a contained box are ended with
    the last call that uses them.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(workers_of(box))
        if scheduler == "processes" and _no_pool() and not _in_threads(box):
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context)
            held.enter_context(pool)
            held.enter_context(dask.config.set(pool=pool))
        yield


def _no_pool() -> bool:
    return dask.config.get("pool", None) is None


def _in_threads(box: BlackBox) -> bool:
    """Whether threads do as well as processes: contained runs have processes of their own.

    In a process of dask, the box is another object at each run, with another process of its own.
    """
    return box.contained and _no_pool()


def _waves(groups: Sequence[Sequence[Job]], size: int = 256) -> Iterator[Sequence[Sequence[Job]]]:
    """Parts of the work: dask keeps the results of a part until it is done."""
    for at in range(0, len(groups), size):
        yield groups[at : at + size]


def _locally(
    box: BlackBox,
    groups: Sequence[Sequence[Job]],
    each: Callable[[Outcome], None],
    scheduler: str,
    workers: int | None,
) -> None:
    # of equal tasks dask begins the one whose name comes last
    tasks = [
        dask.delayed(execute, pure=False)(
            box, group, dask_key_name=f"run-{len(groups) - number:06d}"
        )
        for number, group in enumerate(groups)
    ]
    keys = {task.key for task in tasks}

    def ended(key: object, outcomes: list[Outcome], *_: object) -> None:
        if key in keys:
            for outcome in outcomes:
                each(outcome)

    dask.compute(
        *tasks,
        scheduler=scheduler,
        optimize_graph=False,
        # given, not entered as a context: that belongs to the whole process, so that computations
        # made at the same time would take each other's outcomes
        callbacks=[(None, None, None, ended, None)],
        **({"num_workers": workers} if workers else {}),
        **({"chunksize": 1} if scheduler == "processes" else {}),
    )


def _client(scheduler: object) -> Any:
    """The client of a cluster that was given, or that is there where nothing was given."""
    if hasattr(scheduler, "submit"):
        return scheduler
    if scheduler is not None:
        return None
    try:
        from distributed import get_client
    except ImportError:
        return None
    try:
        return get_client()
    except ValueError:
        return None


def _itself(box: BlackBox) -> BlackBox:
    return box


def _on_cluster(
    client: Any,
    box: BlackBox,
    groups: Sequence[Sequence[Job]],
    each: Callable[[Outcome], None],
) -> None:
    from distributed import as_completed

    # a task, that is made anew where the worker dies which holds it: what is scattered is lost
    shared = client.submit(_itself, box, pure=False)
    futures = [client.submit(execute, shared, group, pure=False) for group in groups]
    try:
        for _, outcomes in as_completed(futures, with_results=True):
            for outcome in outcomes:
                each(outcome)
    finally:
        client.cancel(futures)
