"""Run a black box in many cells with one parameter set each: what judges a surrogate in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .base import BlackBox
from .failures import Failure, Failures
from .outcome import Job, Outcome
from .pool import run_all

__all__ = ["failure_of", "run_cells", "times_before"]


def times_before(index: pd.Index, count: int) -> pd.Index:
    """The times of a record with ``count`` steps ahead of it, for a year that is repeated."""
    if not count:
        return index
    step = index[1] - index[0]
    return (index[:count] - step * count).append(index)


def run_cells(
    box: BlackBox,
    forcing: Mapping[str, NDArray[np.generic]],
    parameter: Mapping[str, NDArray[np.generic]],
    *,
    time: pd.Index,
    dt: float,
    label: Sequence[str],
    scheduler: object = None,
    workers: int | None = None,
) -> tuple[dict[str, NDArray[np.float32]], Failures]:
    """Run a black box once in each cell, or once for each component, whose outputs are averaged.

    Parameters
    ----------
    box : BlackBox
        What is run.
    forcing : mapping of str to array (time, cell)
        In the declared units.
    parameter : mapping of str to array (cell, component), or (cell,) where shared
        In the declared units.
    time : Index
        Time of each step.
    dt : float
        Length of a step in days.
    label : sequence of str (cell,)
        Names of the cells.
    scheduler, workers
        As of `run_all`.

    Returns
    -------
    outputs : dict of str to array (time, cell)
        NaN in cells of which a run failed.
    failures : Failures
        The runs that failed.

    Raises
    ------
    ModelRunError
        More than a tenth of the runs failed.
    """
    columns = {k: v[:, None] if v.ndim == 1 else v for k, v in parameter.items()}
    components = max(v.shape[1] for v in columns.values())
    sets = {k: np.broadcast_to(v, (len(label), components)) for k, v in columns.items()}
    jobs = [
        Job(
            cell * components + component,
            {name: series[:, cell] for name, series in forcing.items()},
            {name: float(values[cell, component]) for name, values in sets.items()},
            time,
            dt,
            str(label[cell]),
        )
        for cell in range(len(label))
        for component in range(components)
    ]
    failures = Failures(box.name, len(jobs))
    total = {name: np.zeros((len(time), len(label)), "f4") for name in box.outputs}

    def each(outcome: Outcome) -> None:
        cell = outcome.number // components
        for name, values in total.items():
            values[:, cell] += outcome.values[name] / components if outcome.values else np.nan
        failures.add(failure_of(outcome, jobs[outcome.number]))

    run_all(box, jobs, each, scheduler=scheduler, workers=workers)
    return total, failures


def failure_of(outcome: Outcome, job: Job) -> Failure | None:
    """What is told of a failed run; None where it did not fail."""
    if not outcome.cause:
        return None
    return Failure(job.cell, dict(job.parameter), outcome.cause, outcome.message)
