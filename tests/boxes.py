"""Black boxes for tests: the Bucket of toy, in numpy, and whatever can go wrong with one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import toy

from xdpl.blackbox import BlackBox, Function, Job
from xdpl.surrogate import EmulatorLSTM

BUCKET = toy.Bucket()
DECLARED = {
    "forcings": BUCKET.forcings,
    "parameters": BUCKET.parameters,
    "outputs": {"streamflow": BUCKET.outputs["streamflow"]},
}


def bucket(forcings, parameters):
    """Streamflow of the Bucket, of one cell or of many."""
    storage, flow = 20.0, []
    for rain, demand in zip(
        forcings["precipitation"], forcings["potential_evaporation"], strict=True
    ):
        full = storage + rain
        left = full - np.minimum(parameters["evaporation_factor"] * demand, 0.5 * full)
        out = parameters["recession"] * left
        storage = left - out
        flow.append(out)
    return {"streamflow": np.array(flow)}


class NumpyBucket(BlackBox):
    """The Bucket, many cells at a time."""

    precipitation = BUCKET.forcings["precipitation"]
    potential_evaporation = BUCKET.forcings["potential_evaporation"]
    recession = BUCKET.parameters["recession"]
    evaporation_factor = BUCKET.parameters["evaporation_factor"]
    streamflow = BUCKET.outputs["streamflow"]
    vectorised = True

    def run(self, forcings, parameters):
        return bucket(forcings, parameters)


def of(function, **keywords) -> Function:
    """A function declared as the Bucket."""
    return Function(function, **{**DECLARED, **keywords})


def jobs(count: int = 1, steps: int = 30, **parameter: float) -> list[Job]:
    """Runs of the Bucket in some weather."""
    draw = np.random.default_rng(0)
    forcing = {
        "precipitation": draw.gamma(0.5, 8.0, steps),
        "potential_evaporation": np.full(steps, 3.0),
    }
    given = {"recession": 0.2, "evaporation_factor": 0.8, **parameter}
    time = pd.date_range("2000-01-01", periods=steps)
    return [Job(i, forcing, given, time, 1.0, f"cell {i}") for i in range(count)]


class Counted(NumpyBucket):
    """Counts its runs."""

    vectorised = False

    def __init__(self):
        self.runs = []

    @property
    def name(self):
        return "NumpyBucket"

    def run(self, forcings, parameters):
        self.runs.append((forcings.cell, *(round(v, 9) for v in parameters.values())))
        return super().run(forcings, parameters)


SMALL = {
    "samples": 8, "epochs": 1, "batch_size": 8, "sensitivity": 2, "progress": False,
    "network": EmulatorLSTM(hidden=8), "scheduler": "synchronous", "device": "cpu",
}  # fmt: skip
"""Keywords of an emulation that takes a second."""
