"""Read in the background: two threads, or the workers of an active dask Client; never a fork.

Each read computes its dask arrays in its own thread, so that two reads are two chunks at a time
and no pool waits for another. What fails is tried again, and then named.
"""

from __future__ import annotations

import contextvars
import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

import dask
import xarray as xr

from ..errors import DataError, XdplError, warn
from ..layout import CellBlock, Layout
from ..layout.read import read_once

__all__ = ["Background", "Pending", "in_order", "read_block"]

THREADS = 2
ATTEMPTS = 3
PAUSE = 0.5
"""Seconds before a read is tried again; doubled each time."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Made = TypeVar("Made", covariant=True)


class Pending(Protocol[Made]):
    """A result on its way, of a thread or of a cluster."""

    def result(self) -> Made:
        """Wait for it; raises what went wrong."""

    def cancel(self) -> object:
        """Say that nobody waits for it any more."""


class Background(Generic[Item, Result]):
    """Calls one function in the background: two threads, or the workers of a dask Client.

    Parameters
    ----------
    function : callable
        Of one item. It goes to each worker once, with all that it holds.
    """

    def __init__(self, function: Callable[[Item], Result]) -> None:
        self._client = _client()
        self._threads: ThreadPoolExecutor | None = None
        if self._client is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="xdpl-read")
            self._function: Any = function
        else:
            # a task, since what is scattered is lost with the worker that holds it; dask warns of
            # its size as if it were sent with every item
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
                self._function = self._client.submit(_itself, function, pure=False)

    def start(self, item: Item) -> Pending[Result]:
        """Begin with one item."""
        if self._threads is not None:
            here = contextvars.copy_context()  # a thread's warnings belong to the call
            return self._threads.submit(here.run, self._function, item)
        assert self._client is not None
        return _Remote(
            self._client.submit(_call, self._function, item, pure=False, retries=ATTEMPTS)
        )

    def close(self) -> None:
        """Let go of the threads; what is running ends first."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def _itself(function: Item) -> Item:
    return function


class _Remote(Generic[Result]):
    """A result on its way from a worker; says so where one worker after the other dies over it."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def result(self) -> Result:
        from distributed.scheduler import KilledWorker

        try:
            found: Result = self._future.result()
        except KilledWorker as problem:
            raise DataError(
                f"no worker lived through the reading of a chunk: {str(problem)[:300]} "
                "Give workers more memory, four chunks each, or choose smaller chunks."
            ) from problem
        return found

    def cancel(self) -> object:
        return self._future.cancel()


def _client() -> Any:
    """The dask Client that is active, or None; distributed is not imported for it."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], ahead: int = 2 * THREADS
) -> Iterator[Result]:
    """Results of a function, in the order of the items, a few of them computed ahead."""
    background = Background(function)
    waiting: deque[Pending[Result]] = deque()
    try:
        for item in items:
            waiting.append(background.start(item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for pending in waiting:
            pending.cancel()
        background.close()


def read_block(
    ds: xr.Dataset,
    layout: Layout,
    block: Mapping[str, slice],
    *,
    forcing: bool = True,
    observed: bool = True,
    attribute: bool = True,
) -> CellBlock:
    """Read a block as `xdpl.layout.read` does; try again where a store fails for a moment.

    Raises
    ------
    DataError
        The block can't be read; the message names variable, file and place.
    """
    piece = ds.isel(block)
    parts = {"forcing": forcing, "observed": observed, "attribute": attribute}
    for attempt in itertools.count(1):
        try:
            cells = read_once(piece, layout, **parts)
            break
        except XdplError:
            raise
        except OSError as problem:
            if attempt == ATTEMPTS:
                raise _unreadable(piece, layout, block, parts, problem) from problem
            time.sleep(PAUSE * 2 ** (attempt - 1))
        except (RuntimeError, ValueError, KeyError, MemoryError) as problem:
            raise _unreadable(piece, layout, block, parts, problem) from problem
    if attempt > 1:
        _say_again(block, attempt)
    return cells


_saying = threading.Lock()  # warnings.catch_warnings is not safe between threads


def _say_again(block: Mapping[str, slice], attempt: int) -> None:
    with _saying:
        warn(f"{_named(block)} could only be read at attempt {attempt}. Look at the storage.")


def _named(block: Mapping[str, slice]) -> str:
    return ", ".join(f"{dim} {s.start} to {s.stop - 1}" for dim, s in block.items()) or "all cells"


def _unreadable(
    piece: xr.Dataset,
    layout: Layout,
    block: Mapping[str, slice],
    parts: Mapping[str, bool],
    problem: BaseException,
) -> DataError:
    """Find out which variable it is, and say where it lies."""
    for name in layout.variables(**parts):
        try:
            piece[name].compute(scheduler="synchronous")
        except Exception as culprit:  # whatever the store raises: it is named, not swallowed
            source = piece[name].encoding.get("source")
            place = f" of {source!r}" if source else ""
            return DataError(
                f"{name!r}{place} can't be read at {_named(block)}: {type(culprit).__name__}: "
                f"{str(culprit)[:300]}. Repair or leave out that part of the store, for example "
                "with .isel(...)."
            )
    return DataError(
        f"the Dataset can't be used at {_named(block)}: {type(problem).__name__}: "
        f"{str(problem)[:300]}."
    )
