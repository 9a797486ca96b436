"""What an ensemble of seeds is good for on real data, and what the trust layers say there.

    XDPL_DATA=folder python benchmarks/ensemble.py

SMAP, trained on the first year on four fifths of the cells, scored in the year after: every member
by itself, and their centre, which is one set of parameters. In the cells held back the error is
compared between those whose attributes are like those of the training cells and the others. The
table holds, for every parameter, medians over the training cells and the share that is doubted.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from scores import CASES, folds_of
from studies import write_table

import xdpl
from xdpl import validation

CASE = CASES["smap"]
HEAD = (
    "parameter", "spread of seeds / of cells", "at bound", "sensitivity", "identifiability",
    "doubtful",
)  # fmt: skip


def medians(fit: xdpl.Fit, ds: xr.Dataset, where: xr.DataArray) -> str:
    """Median scores of the test year over some cells."""
    scores = fit.evaluate(ds, period=CASE["test"])
    return "  ".join(f"{k} {float(scores[k].where(where).median()):.4f}" for k in CASE["shown"])


def compare(fit: xdpl.Fit, ds: xr.Dataset, known: xr.DataArray, unseen: xr.DataArray) -> None:
    """Print the scores of every member and of their centre."""
    whole = fit.learner
    parts = [(f"seed {seed}", member) for seed, member in enumerate(fit.members)]
    for name, learner in [*parts, ("centre", whole)]:
        one = replace(fit, learner=learner)
        print(f"{name:<8} known {medians(one, ds, known)} | unseen {medians(one, ds, unseen)}")


def by_flag(fit: xdpl.Fit, ds: xr.Dataset, maps: xr.Dataset, unseen: xr.DataArray) -> None:
    """Print the error of cells held back, by what the extrapolation flag says of them."""
    scores = fit.evaluate(ds, period=CASE["test"])
    meanings = maps.extrapolation.attrs["flag_meanings"].split()
    for value, meaning in enumerate(meanings):
        some = unseen & (maps.extrapolation == value) & scores.rmse.notnull()
        if some.any():
            rmse = float(scores.rmse.where(some).median())
            print(f"held back, {meaning:<26} {int(some.sum()):>3} cells, rmse {rmse:.4f}")


def line(maps: xr.Dataset, name: str, doubt: xr.Dataset, known: xr.DataArray) -> list[str]:
    """One line of the table."""
    inside = maps.where(known)
    spread = (inside[f"{name}_standard_error"] / inside[name].std()).median()
    figures = (
        spread, inside[f"{name}_at_bound"].mean(), inside[f"{name}_sensitivity"].median(),
        inside[f"{name}_identifiability"].median(), doubt[name].where(known).mean(),
    )  # fmt: skip
    return [name, *(f"{float(value):.2f}" for value in figures)]


def main() -> None:
    """Train once, print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="for a trial")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--to", type=Path, default=Path("docs/_static"), help="folder of results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    with xdpl.tutorial.open_dataset(CASE["dataset"]) as opened:
        ds = opened.load()
    observed = ds[CASE["obs"]].notnull().any("time")
    unseen = observed & (folds_of(observed, 5) == 0)
    known = observed & ~unseen
    fit = xdpl.fit(
        ds, CASE["obs"], cells=known, period=CASE["train"], ensemble=given.members,
        epochs=given.epochs, progress=False,
    )  # fmt: skip
    maps = fit.parameters(ds, trust=True)
    compare(fit, ds, known, unseen)
    by_flag(fit, ds, maps, unseen)
    doubt = validation.quality_flags(maps) == 1
    lines = [line(maps, name, doubt, known) for name in fit.model.parameters]
    write_table(
        given.to / "study_ensemble.csv", HEAD, sorted(lines, key=lambda one: -float(one[4]))
    )
    chosen = [lines[0][0], *(one[0] for one in sorted(lines, key=lambda one: float(one[4]))[:2])]
    figure = maps.where(np.isfinite(maps[chosen[0]])).dpl.plot(chosen)
    figure.savefig(given.to / "study_ensemble.png", dpi=110)


if __name__ == "__main__":
    main()
