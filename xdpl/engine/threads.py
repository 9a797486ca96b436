"""Share independent blocks out among threads; compiled code runs without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

__all__ = ["share_out", "threads_for"]

_SMALL = 200_000


def threads_for(steps: int) -> int:
    """Return how many threads ``steps`` steps of single cells are worth."""
    return 1 if steps < _SMALL else torch.get_num_threads()


def share_out(call: Callable[[int, int], None], blocks: int, threads: int) -> None:
    """Call with (first, last) for parts of ``range(blocks)``, one part a thread."""
    count = max(1, min(threads, blocks))
    if count == 1:
        call(0, blocks)
        return
    cuts = [blocks * k // count for k in range(count + 1)]
    list(_pool(count).map(call, cuts[:-1], cuts[1:]))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="xdpl-engine")


if hasattr(os, "register_at_fork"):  # threads don't live on in a forked process
    os.register_at_fork(after_in_child=_pool.cache_clear)
