"""Scores of the defaults on real data: later years, and cells never seen.

    XDPL_DATA=folder python benchmarks/scores.py smap
    XDPL_DATA=folder python benchmarks/scores.py mopex

``--inside`` tests within the training period instead, on its held-out part: choices are made by
that, never on the test period. ``--climate`` gives the network means and standard deviations of
the forcings over the training period as attributes. Options of ``fit`` can be given as Python:
``--fit "epochs=100"``. ``--once`` fits once, without the first fold, and scores known and unseen
cells.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
import xarray as xr

import xdpl

CASES = {
    "smap": {
        "dataset": "smap-conus",
        "obs": "SMAP",
        "train": slice("2015-04-01", "2016-03-31"),
        "test": slice("2016-04-01", "2017-03-31"),
        "inside": (slice("2015-04-01", "2015-12-31"), slice("2016-01-01", "2016-03-31")),
        "past": slice("2015-04-01", "2015-08-31"),
        "folds": 5,
        "shown": ("rmse", "ubrmse", "corr"),
        "climate": ("prcp", "tas", "rsds", "huss"),
    },
    "mopex": {
        "dataset": "mopex",
        "obs": "qobs",
        "train": slice("1975-10-01", "1986-09-30"),
        "test": slice("1986-10-01", "1990-09-30"),
        "inside": (slice("1975-10-01", "1983-09-30"), slice("1983-10-01", "1986-09-30")),
        "past": slice("1975-10-01", "1977-09-30"),
        "folds": 10,
        "shown": ("nse", "kge", "corr"),
        "climate": ("prcp", "tasmax", "tasmin"),
    },
}


def folds_of(observed: xr.DataArray, count: int) -> xr.DataArray:
    """Number of the fold of each cell, at random but the same in every run."""
    place = np.random.default_rng(0).permutation(observed.size) % count
    return observed.copy(data=place.reshape(observed.shape))


def report(name: str, scores: xr.Dataset, cells: xr.DataArray, shown: tuple[str, ...]) -> None:
    """Print the medians over the cells observed, and how many of them have finite scores."""
    there = cells & (scores.n > 0)
    finite = int((np.isfinite(scores[shown[0]]) & there).sum())
    medians = "  ".join(f"{k} {float(scores[k].where(there).median()):.4f}" for k in shown)
    print(f"{name:<22} {medians}  finite {finite} of {int(cells.sum())}", flush=True)


def once(
    ds: xr.Dataset,
    case: dict,
    train: slice,
    test: slice,
    held: xr.DataArray,
    observed: xr.DataArray,
    keywords: dict,
) -> None:
    """Fit once without the cells held back; score known and unseen ones."""
    fit = xdpl.fit(ds, period=train, cells=~held, **keywords)
    scores = fit.evaluate(ds, period=test)
    seed = keywords["seed"]
    report(f"seed {seed}: known, later", scores, observed & ~held, case["shown"])
    report(f"seed {seed}: never seen", scores, observed & held, case["shown"])


def main() -> None:
    """Fit, test in time, then fold by fold on cells never seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--inside", action="store_true", help="test within the training period")
    parser.add_argument(
        "--unseen-later",
        action="store_true",
        help="with --inside: score unseen cells over the later part, not over the training period",
    )
    parser.add_argument("--folds", type=int, help="folds of cells; 0 for none")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--once", action="store_true", help="one fit, without the first fold")
    parser.add_argument("--climate", action="store_true", help="attributes of climate, too")
    parser.add_argument("--fit", default="", help="options of fit, as Python keywords")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    case = CASES[arguments.case]
    space = {"losses": xdpl.losses, "networks": xdpl.networks, "models": xdpl.models}
    options = eval(f"dict({arguments.fit})", space)  # the caller's own words
    with xdpl.tutorial.open_dataset(case["dataset"]) as opened:
        ds = opened.load()
    if arguments.climate:
        ds = ds.merge(xdpl.climate(ds, case["climate"], period=case["train"]))
    train, test = case["inside"] if arguments.inside else (case["train"], case["test"])
    last = ds[case["obs"]].sel(time=slice(None, test.stop))
    observed = last.sel(time=test).notnull().any("time")
    ds = ds.sel(time=slice(None, test.stop))
    for seed in range(arguments.seeds):
        keywords = {"obs": case["obs"], "seed": seed, "progress": False, **options}
        if arguments.once:
            once(ds, case, train, test, folds_of(observed, case["folds"]) == 0, observed, keywords)
            continue
        began = time.perf_counter()
        fit = xdpl.fit(ds, period=train, **keywords)
        seconds = time.perf_counter() - began
        report(f"seed {seed}: later", fit.evaluate(ds, period=test), observed, case["shown"])
        print(f"{'':<22} {seconds:.1f} s", flush=True)
        count = case["folds"] if arguments.folds is None else arguments.folds
        fold = folds_of(observed, max(count, 1))
        parts = []
        for number in range(count):
            held = fold == number
            part = xdpl.fit(ds, period=train, cells=~held, **keywords)
            # inside the training period unseen cells are scored over the period itself
            span = train if arguments.inside and not arguments.unseen_later else test
            parts.append(part.evaluate(ds, period=span).where(held))
        if parts:
            unseen = parts[0]
            for part in parts[1:]:
                unseen = unseen.fillna(part)
            report(f"seed {seed}: never seen", unseen, observed, case["shown"])


if __name__ == "__main__":
    main()
