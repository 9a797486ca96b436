"""One run of a black box: made in a folder of its own, and judged."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ModelRunError, UnitsError, XdplError
from ..units import conversion
from .base import BlackBox, Forcings

__all__ = ["Job", "Outcome", "execute_here", "one_run", "quietly"]

Values = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Job:
    """What one run needs.

    Attributes
    ----------
    number : int
        By which its outcome is known.
    forcing : dict of str to ndarray (time,)
        In the declared units.
    parameter : dict of str to float
        In the declared units.
    time : Index
        Time of each step.
    dt : float
        Length of a step in days.
    cell : str
        Label.
    """

    number: int
    forcing: Mapping[str, NDArray[np.generic]]
    parameter: Mapping[str, float]
    time: pd.Index
    dt: float
    cell: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: with values, or with the cause of its failure.

    Attributes
    ----------
    number : int
        Of the job.
    values : dict of str to ndarray (time,)
        By output; empty where the run failed.
    cause : str
        In a word or two; empty where it did not fail.
    message : str
        What is known of the failure, stderr included.
    seconds : float
        How long it took.
    """

    number: int
    values: Values = field(default_factory=dict)
    cause: str = ""
    message: str = ""
    seconds: float = 0.0


Run: TypeAlias = Callable[[BlackBox, Job], Values]
"""Makes one run."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Ignore warnings of runs: thousands of them would say the same thousands of times.

    Only in the main thread: filters belong to the whole process, and of two threads that put them
    back, the second puts back those of the first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def execute_here(box: BlackBox, jobs: Sequence[Job], run: Run | None = None) -> list[Outcome]:
    """Make some runs, one after another or, if the box can, in one call; never raises for them.

    Parameters
    ----------
    box : BlackBox
        What is run.
    jobs : sequence of Job
        What each run needs.
    run : callable, optional
        Makes one run, ``run(box, job)``; in this process by default.
    """
    with quietly():
        outcomes = _together(box, jobs) if box.vectorised and len(jobs) > 1 else None
        return outcomes or _one_by_one(box, jobs, run or _in_this_process)


def _in_this_process(box: BlackBox, job: Job) -> Values:
    return one_run(box, [job])[0]


def _one_by_one(box: BlackBox, jobs: Sequence[Job], run: Run) -> list[Outcome]:
    found = []
    for job in jobs:
        began = time.perf_counter()
        try:
            values = run(box, job)
        except Exception as problem:  # noqa: BLE001  whatever a foreign model raises is recorded
            cause, message = _failure(problem)
            found.append(Outcome(job.number, {}, cause, message, time.perf_counter() - began))
        else:
            found.append(Outcome(job.number, values, seconds=time.perf_counter() - began))
    return found


def _together(box: BlackBox, jobs: Sequence[Job]) -> list[Outcome] | None:
    """Make all runs in one call; None where that failed, so that each is tried alone."""
    began = time.perf_counter()
    try:
        values = one_run(box, jobs)
    except Exception:  # noqa: BLE001  which of the runs is to blame is found out one by one
        return None
    share = (time.perf_counter() - began) / len(jobs)
    return [Outcome(job.number, v, seconds=share) for job, v in zip(jobs, values, strict=True)]


def _failure(problem: Exception) -> tuple[str, str]:
    if isinstance(problem, ModelRunError):
        return problem.cause, str(problem)
    if isinstance(problem, XdplError):
        raise problem  # a mistake in the declarations, not in the run
    last = traceback.extract_tb(problem.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return type(problem).__name__, f"{type(problem).__name__}: {problem} ({where})."


def one_run(box: BlackBox, jobs: Sequence[Job], folder: Path | None = None) -> list[Values]:
    """Call ``run`` once, in a folder of its own, and check what it returned.

    Raises
    ------
    ModelRunError
        An output is missing, has too few steps, other units, or values that are not finite.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="xdpl-run-", ignore_cleanup_errors=True) as made:
            return one_run(box, jobs, Path(made))
    many = box.vectorised
    given = Forcings(
        {
            name: np.stack([np.asarray(job.forcing[name], np.float64) for job in jobs], axis=-1)
            if many
            else np.array(jobs[0].forcing[name], np.float64)
            for name in box.forcings
        }
    )
    given.time, given.dt, given.folder = jobs[0].time, jobs[0].dt, folder
    given.cell = [job.cell for job in jobs] if many else jobs[0].cell
    given.units = {name: forcing.units for name, forcing in box.forcings.items()}
    parameters: dict[str, float | NDArray[np.float64]] = {
        name: np.array([job.parameter[name] for job in jobs])
        if many
        else float(jobs[0].parameter[name])
        for name in box.parameters
    }
    found = box.run(given, parameters)
    shape = (len(given.time), len(jobs)) if many else (len(given.time),)
    series = {name: _output(box, name, found, shape) for name in box.outputs}
    if not many:
        return [series]
    return [{name: v[:, i].copy() for name, v in series.items()} for i in range(len(jobs))]


def _output(box: BlackBox, name: str, found: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """One output of a run, checked, in the declared units."""
    declared = box.outputs[name].units
    if name not in found:
        there = ", ".join(map(str, found)) or "nothing"
        raise ModelRunError(f"the run gave {there}, and no {name}.", "missing output")
    values, units = found[name], getattr(found[name], "attrs", {}).get("units")
    series = np.asarray(values, dtype=np.float64)
    if units is not None:
        try:
            scale, offset = conversion(str(units), declared, variable=name)
        except UnitsError as problem:
            raise ModelRunError(
                f"{name} came in units {str(units)!r}, which can't be converted to {declared!r}.",
                "units",
            ) from problem
        series = series * scale + offset
    if series.shape != shape:
        raise ModelRunError(
            f"{name} came with shape {series.shape}, not {shape}: one value for each step.", "steps"
        )
    bad = int((~np.isfinite(series)).sum())
    if bad:
        raise ModelRunError(f"{bad} of {series.size} values of {name} are NaN or infinite.", "NaN")
    return series.astype(np.float32)
