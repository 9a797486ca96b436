"""Parameter learning beside its rivals on real data: later years, and cells never seen.

    XDPL_DATA=folder python benchmarks/baselines.py smap
    XDPL_DATA=folder python benchmarks/baselines.py mopex --sce-ua

Every method runs the same model on the same cells and periods. Nothing is chosen by the test
period. ``--moran`` adds Moran's I, the median over the maps of all parameters.
"""

from __future__ import annotations

import argparse
import functools
import time
import warnings

import numpy as np
import torch
import xarray as xr
from scores import CASES

import xdpl
from xdpl import validation

METHODS = {
    "defaults": validation.defaults,
    "uniform": validation.uniform,
    "gA": functools.partial(xdpl.fit, deviations=False),
    "mixed effects": functools.partial(xdpl.fit, components=1, climate=False),
    "calibrate": validation.calibrate,
    "sce_ua": validation.sce_ua,
    "similarity": validation.regionalize,
    "distance": functools.partial(validation.regionalize, by="distance"),
    "regression": functools.partial(validation.regionalize, by="regression"),
    "lstm": validation.lstm,
}
CELL_BY_CELL = ("calibrate", "sce_ua")
"""They know nothing of other cells."""
CARRIED_ON = ("similarity", "distance", "regression")
"""In known cells they are what was calibrated there."""


def shown(found: xdpl.validation.CrossValidation | None, names: tuple[str, ...]) -> str:
    """Medians over the cells, mean over the seeds, and how many cells have scores; or dashes."""
    if found is None:
        return "   ".join(f"{'-':>6}" for _ in (*names, "cells"))
    medians = found.medians.mean("seed")
    finite = int(np.isfinite(found.scores[names[0]].isel(seed=0)).sum())
    return "   ".join(f"{float(medians[name]):6.4f}" for name in names) + f"   {finite:>6}"


def coherence(method: functools.partial, ds: xr.Dataset, obs: str, train: slice) -> float:
    """Median of Moran's I over the maps of all parameters; nearest cells, since SMAP is sparse."""
    maps = method(ds, obs, period=train, progress=False).parameters(ds)
    found = validation.moran(maps, neighbours=8)
    return float(np.nanmedian(np.concatenate([v.values.ravel() for v in found.values()])))


def row(name: str, ds: xr.Dataset, case: dict, arguments: argparse.Namespace, folds: int) -> str:
    """One line of the table."""
    method, pair = METHODS[name], [(case["train"], case["test"])]
    if arguments.components > 1 and name != "lstm":
        method = functools.partial(method, components=arguments.components)
    common = {"time": pair, "seeds": range(arguments.seeds), "method": method, "progress": False}
    began = time.perf_counter()
    known = unseen = None
    if name not in CARRIED_ON:
        known = xdpl.cross_validate(ds, case["obs"], **common)
    if name not in CELL_BY_CELL and folds:
        unseen = xdpl.cross_validate(ds, case["obs"], space=arguments.space, folds=folds, **common)
    seconds = time.perf_counter() - began
    smooth = "-"
    if arguments.moran and name not in ("lstm", "defaults", "uniform"):
        smooth = f"{coherence(method, ds, case['obs'], case['train']):.2f}"
    figures = (shown(part, case["shown"]) for part in (known, unseen))
    return f"{name:<14} {' | '.join(figures)} | {seconds:6.0f} s  {smooth}"


def main() -> None:
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--folds", type=int, help="folds of cells; 0 for none")
    parser.add_argument("--space", choices=("random", "regions"), default="random")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--components", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sce-ua", action="store_true", help="SCE-UA too: many model runs")
    parser.add_argument("--moran", action="store_true", help="spatial coherence too")
    parser.add_argument("--only", nargs="+", choices=METHODS, help="these methods alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    case = CASES[arguments.case]
    with xdpl.tutorial.open_dataset(case["dataset"]) as opened:
        ds = opened.load().sel(time=slice(None, case["test"].stop))
    folds = case["folds"] if arguments.folds is None else arguments.folds
    names = "   ".join(f"{name:>6}" for name in (*case["shown"], "cells"))
    print(f"{'':<14} {'known cells, later':<34}| {folds} folds of cells never seen, later")
    print(f"{'':<14} {names} | {names} | seconds  Moran's I", flush=True)
    for name in arguments.only or METHODS:
        if name == "sce_ua" and not arguments.sce_ua and not arguments.only:
            continue
        print(row(name, ds, case, arguments, folds), flush=True)


if __name__ == "__main__":
    main()
