"""Wall-clock times and peak memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def median_time(run: Callable[[], Any], repeats: int, budget: float = 1e9) -> float:
    """Return the median of ``repeats`` runs, in seconds, after one that doesn't count."""
    run()
    return statistics.median(times(run, repeats, budget))


def times(run: Callable[[], Any], repeats: int, budget: float) -> list[float]:
    """Return the seconds of ``repeats`` runs, or of as many as ``budget`` seconds hold."""
    spent: list[float] = []
    while len(spent) < repeats and (not spent or sum(spent) < budget):
        begin = time.perf_counter()
        run()
        spent.append(time.perf_counter() - begin)
    return spent


def peak() -> float:
    """Return the most memory that the process ever had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says counts what the parent had, too
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
