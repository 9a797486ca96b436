"""Fit real data on a GPU: seconds, scores, how busy the device is, and what it waits for.

    XDPL_DATA=folder python benchmarks/gpu_fit.py --out fit.json

Fits SMAP and MOPEX with all defaults but the device, scores them in the later period, and then
repeats some epochs under torch's profiler. ``--device cpu --epochs 2`` shows that the script works.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from scores import CASES  # beside this file

import xdpl
from xdpl.training import Callback, TrainState

PROFILED = 160
"""Iterations under the profiler, at least; those of the second half are counted."""
STARTED = 20
"""Iterations after which all is compiled and recorded."""
UPDATE = "FusedAdam"
"""Part of the name of the kernels that end an iteration."""


class Waiting(Callback):
    """Time that the training loop spends on making batches, and the whole of its time."""

    def __init__(self) -> None:
        self.batches, self.iterations = 0.0, 0
        self.started = self.ended = time.perf_counter()

    def on_step(self, state: TrainState) -> None:
        self.ended = time.perf_counter()
        self.batches, self.iterations = state.waited, self.iterations + 1
        if self.iterations == STARTED:
            self.started = self.ended


def opened(name: str) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the data of a case and what `xdpl.fit` is to do with them."""
    case = CASES[name]
    with xdpl.tutorial.open_dataset(case["dataset"]) as found:
        ds = found.load().sel(time=slice(None, case["test"].stop))
    return ds, {"obs": case["obs"], "period": case["train"], "progress": False}


def whole(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Fit and score one case."""
    ds, keywords = opened(name)
    case = CASES[name]
    waiting, begin = Waiting(), time.perf_counter()
    keywords |= {"device": options.device, "epochs": options.epochs, "callbacks": [waiting]}
    fit = xdpl.fit(ds, **keywords)
    seconds = time.perf_counter() - begin
    scores = fit.evaluate(ds, period=case["test"])
    return {
        "case": name,
        "seconds": seconds,
        "training s": fit.record["seconds"],
        "epochs": len(fit.record["loss"]),
        "iterations": waiting.iterations,
        "to the first iterations s": waiting.started - begin,
        "ms an iteration": 1e3
        * (waiting.ended - waiting.started)
        / max(1, waiting.iterations - STARTED),
        "making batches, ms an iteration": 1e3 * waiting.batches / waiting.iterations,
        **{k: float(np.nanmedian(scores[k])) for k in case["shown"]},
    }


def busy(name: str, epochs: int, device: str) -> dict[str, Any]:
    """Return what the device does in the iterations of the second half of a short fit."""
    ds, keywords = opened(name)
    activities = [torch.profiler.ProfilerActivity.CUDA]
    waiting = Waiting()
    with torch.profiler.profile(activities=activities) as profile:
        xdpl.fit(ds, device=device, epochs=epochs, callbacks=[waiting], **keywords)
    spans = sorted(
        (e.time_range.start, e.time_range.end, e.name)
        for e in profile.events()
        if e.device_type == torch.autograd.DeviceType.CUDA
    )
    ends = [end for _, end, what in spans if UPDATE in what]
    ends = ends[:: len(ends) // waiting.iterations]  # a kernel for each group of weights
    ends = ends[len(ends) // 2 :]
    inside = [s for s in spans if ends[0] <= s[0] and s[1] <= ends[-1]]
    by_name: dict[str, float] = defaultdict(float)
    covered, until = 0.0, ends[0]
    for begin, end, what in inside:
        by_name[what[:60]] += (end - begin) / 1e3 / (len(ends) - 1)
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    longest = sorted(by_name.items(), key=lambda item: -item[1])[:8]
    return {
        "busy": covered / (ends[-1] - ends[0]),
        "profiled": len(ends) - 1,
        "ms an iteration, profiled": (ends[-1] - ends[0]) / 1e3 / (len(ends) - 1),
        "kernels an iteration": len(inside) / (len(ends) - 1),
        "longest, ms an iteration": dict(longest),
    }


def main() -> None:
    """Run both cases, and write one file of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=["smap", "mopex"])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--epochs", type=int, help="fewer than by default, for a trial")
    parser.add_argument("--out", default="gpu_fit.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    cuda = options.device == "cuda"
    results = {"machine": torch.cuda.get_device_name() if cuda else "cpu", "fits": []}
    for name in options.cases:
        row = whole(name, options)
        if cuda:
            epochs = -(-PROFILED * row["epochs"] // row["iterations"])
            row |= busy(name, max(2, epochs), options.device)
        results["fits"].append(row)
        print(json.dumps(row, indent=1), flush=True)
        Path(options.out).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
