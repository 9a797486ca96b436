"""Soil moisture from fewer and fewer cells: parameter learning beside its rivals.

    XDPL_DATA=folder python benchmarks/study_smap.py

VIC, SMAP over the United States; trained on the first year, tested on the second. Trained on every
cell of the grid, on every 2nd row and column (1/4), on every 4th (1/16). "Known" cells were trained
on; "unseen" ones are all others, and for the full grid those of random folds. The network of gZ
reads what was observed in the first five months, in unseen cells, too, and is trained on the rest
of the year. All methods are given the climate of the training year as attributes. ``--rows FILE``
keeps what was computed, so that an interrupted study goes on.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from scores import CASES
from studies import CELL_BY_CELL, Row, Rows, averaged, cost, figure, medians, methods, write_table

import xdpl

CASE = CASES["smap"]
DENSITIES = {"all": 1, "1/4": 2, "1/16": 4}
METHODS = methods(4, past=CASE["past"])
ONE_SEED = ("defaults", "SCE-UA", "LSTM")
"""Without chance, or too dear to repeat."""


def every(ds: xr.Dataset, step: int) -> xr.DataArray:
    """Cells in every ``step``-th row and column of the grid that are observed."""
    seen = ds[CASE["obs"]].sel(time=CASE["train"]).notnull().any("time")
    rows = xr.DataArray([i % step == 0 for i in range(ds.sizes["y"])], dims="y")
    columns = xr.DataArray([i % step == 0 for i in range(ds.sizes["x"])], dims="x")
    return (seen & rows & columns).transpose(*seen.dims)


def trained(ds: xr.Dataset, method: Any, step: int, seed: int) -> Row:
    """Scores in known cells and in all others, and the cost, of one fit."""
    cells = every(ds, step)
    fit = method(ds, CASE["obs"], cells=cells, period=CASE["train"], seed=seed, progress=False)
    scores = fit.evaluate(ds, period=CASE["test"])
    row = medians(scores, cells, CASE["shown"], "known")
    if step > 1:
        row |= medians(scores, every(ds, 1) & ~cells, CASE["shown"], "unseen")
    return row | cost(fit)


def held_back(ds: xr.Dataset, method: Any, seed: int, folds: int) -> Row:
    """Scores in cells never seen where all others are known, fold by fold."""
    found = xdpl.cross_validate(
        ds, CASE["obs"], space="random", folds=folds, time=[(CASE["train"], CASE["test"])],
        seeds=(seed,), method=method, progress=False,
    )  # fmt: skip
    return medians(found.scores.isel(seed=0), every(ds, 1), CASE["shown"], "unseen")


def study(ds: xr.Dataset, rows: Rows, arguments: argparse.Namespace) -> list[Row]:
    """All rows: one for each method, density and seed."""
    for seed in range(arguments.seeds):
        for name in arguments.only or METHODS:
            if seed and name in ONE_SEED:
                continue
            for density in arguments.densities:
                step = DENSITIES[density]
                make = functools.partial(trained, ds, METHODS[name], step, seed)
                rows(make, method=name, density=density, held="rest", seed=seed)
            if name not in CELL_BY_CELL and arguments.folds:
                make = functools.partial(held_back, ds, METHODS[name], seed, arguments.folds)
                rows(make, method=name, density="all", held="folds", seed=seed)
    return joined(rows.found)


def joined(found: list[Row]) -> list[Row]:
    """Rows of single fits, completed by the folds of the same method and seed."""
    folds = {(r["method"], r["seed"]): r for r in found if r["held"] == "folds"}
    complete = []
    for row in found:
        if row["held"] == "rest":
            more = folds.get((row["method"], row["seed"]), {}) if row["density"] == "all" else {}
            unseen = {f"unseen_{k}": None for k in CASE["shown"]}
            complete.append({**unseen, **row, **{k: v for k, v in more.items() if "unseen" in k}})
    return averaged(complete, ("method", "density"))


def table(rows: list[Row], folder: Path) -> None:
    """Write and print the table."""
    scores = [f"{kind}_{k}" for kind in ("known", "unseen") for k in CASE["shown"]]
    head = ["method", "cells", "seeds", *(s.replace("_", " ") for s in scores),
            "runs a cell", "seconds a cell"]  # fmt: skip
    lines = [
        [r["method"], f"{r['density']} ({r['trained_cells']:.0f})", str(r["seeds"]),
         *(figure(r, s) for s in scores), figure(r, "runs_a_cell", 0), f"{r['seconds_a_cell']:.3f}"]
        for r in rows
    ]  # fmt: skip
    write_table(folder / "study_smap.csv", head, lines)


def draw(rows: list[Row], path: Path) -> None:
    """Draw scores and cost against the number of cells trained on."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    wanted = {
        "known_rmse": "known cells: RMSE (m3 m-3)",
        "unseen_rmse": "unseen cells: RMSE (m3 m-3)",
        "seconds_a_cell": "seconds a trained cell",
    }
    chart, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    methods = [m for m in dict.fromkeys(r["method"] for r in rows) if m != "defaults"]
    cells = sorted({round(r["trained_cells"]) for r in rows})
    for axis, (name, label) in zip(axes, wanted.items(), strict=True):
        for colour, method in enumerate(methods):
            own = [r for r in rows if r["method"] == method and r.get(name) is not None]
            if not own or (method == "uniform" and name != "seconds_a_cell"):
                continue  # off the scale of all others
            x = [r["trained_cells"] for r in own]
            spread = None if name == "seconds_a_cell" else [r.get(f"{name}_sd", 0.0) for r in own]
            axis.errorbar(
                x, [r[name] for r in own], spread, marker="o", ms=4, label=method,
                color=f"C{colour}",
            )  # fmt: skip
        axis.set(xscale="log", xlabel="cells trained on", title=label)
        axis.set_xticks(cells, labels=map(str, cells))
        axis.set_xticks([], minor=True)
    axes[2].set_yscale("log")
    chart.legend(*axes[2].get_legend_handles_labels(), loc="outside right", fontsize=7)
    chart.savefig(path, dpi=110)


def main() -> None:
    """Compute the rows that are not there, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5, help="folds of unseen cells; 0 for none")
    parser.add_argument("--densities", nargs="+", choices=DENSITIES, default=list(DENSITIES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=Path, help="file that keeps what was computed")
    parser.add_argument("--only", nargs="+", choices=METHODS, help="these methods alone")
    parser.add_argument("--to", type=Path, default=Path("docs/_static"), help="folder of results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    with xdpl.tutorial.open_dataset(CASE["dataset"]) as opened:
        ds = opened.load()
    ds = ds.merge(xdpl.climate(ds, CASE["climate"], period=CASE["train"]))
    rows = study(ds, Rows(arguments.rows), arguments)
    table(rows, arguments.to)
    draw(rows, arguments.to / "study_smap.png")


if __name__ == "__main__":
    main()
