"""Streamflow of basins never seen, from how many basins, at what cost.

    XDPL_DATA=folder python benchmarks/study_mopex.py

HBV on MOPEX, trained to 1986-09, tested on the four years after. Three parts, all by default:

``table``: known basins, 10 folds of random basins (PUB), 7 contiguous regions (PUR), against the
baselines. ``share``: the same 10 folds with fewer training basins: from which share of them
parameter learning does as well as the best regionalization from all. ``cost``: score against runs
of the model and seconds for 10 to 289 basins, beside SCE-UA on the same engine.

``--rows FILE`` keeps what was computed, so that an interrupted study goes on.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from scores import CASES
from studies import CELL_BY_CELL, Row, Rows, averaged, cost, figure, medians, methods, write_table

import xdpl
from xdpl import validation

CASE = CASES["mopex"]
PARTS = ("table", "share", "cost")
HELD: dict[str, dict[str, Any]] = {
    "none": {},
    "random": {"space": "random"},
    "regions": {"space": "regions", "folds": 7},
}
CARRIED = {
    "similarity": "similarity",
    "distance": "distance",
    "regression": "regression",
}
METHODS = methods(8, past=CASE["past"], **CARRIED)
LEARNED = "mixed effects, 8 sets"
"""What is trained on a share of the basins; the curve of cost has one set, as SCE-UA."""
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
BASINS = (10, 30, 100, 289)
STEPS = (50, 150, 500, 1500)
"""Training steps at which parameter learning is scored."""
EVALUATIONS = (250, 1000, 4000)
"""Runs of the model for each basin at which SCE-UA is scored."""


def ordered(cells: xr.DataArray, count: int) -> xr.DataArray:
    """The first ``count`` of the cells in an order by chance, the same in every run."""
    order = np.random.default_rng(0).permutation(cells.size)
    kept = np.zeros(cells.size, bool)
    kept[order[cells.values.ravel()[order]][:count]] = True
    return cells.copy(data=kept.reshape(cells.shape))


def thinned(method: Callable[..., Any], share: float) -> Callable[..., Any]:
    """Return the method, given only a share of its training cells."""

    def some(ds: xr.Dataset, obs: str, *, cells: xr.DataArray, **keywords: Any) -> Any:
        seen = cells & ds[obs].notnull().any("time")
        count = max(2, round(share * int(seen.sum())))
        return method(ds, obs, cells=ordered(seen, count), **keywords)

    return some


class Regionalization:
    """Regionalization by any of its ways, for which the same cells are calibrated only once."""

    def __init__(self) -> None:
        self._calibrated: dict[Any, xdpl.Fit] = {}

    def __call__(
        self,
        ds: xr.Dataset,
        obs: str,
        *,
        by: str,
        cells: xr.DataArray,
        seed: int,
        **keywords: Any,
    ) -> xdpl.Fit:
        key = (cells.values.tobytes(), seed, tuple(ds.sizes.items()))
        if key not in self._calibrated:
            self._calibrated[key] = validation.calibrate(
                ds, obs, cells=cells, seed=seed, **keywords
            )
        return validation.regionalize(ds, obs, by=by, calibrated=self._calibrated[key])


def validated(ds: xr.Dataset, method: Callable[..., Any], held: str, seed: int, folds: int) -> Row:
    """Scores of later years, in the basins known or held back."""
    keywords = {**HELD[held], "folds": folds} if held == "random" else HELD[held]
    found = xdpl.cross_validate(
        ds, CASE["obs"], time=[(CASE["train"], CASE["test"])], seeds=(seed,), method=method,
        progress=False, **keywords,
    )  # fmt: skip
    scores = found.scores.isel(seed=0)
    row = medians(scores, xr.ones_like(scores.n, bool), CASE["shown"], "test")
    return row | {"seconds": found.seconds}


def tabled(ds: xr.Dataset, rows: Rows, arguments: argparse.Namespace) -> None:
    """Rows of the table: method by method, for each thing held back."""
    carried = Regionalization()
    for seed in range(arguments.seeds):
        for held in arguments.held:
            for name in arguments.only or METHODS:
                skipped = name in (CELL_BY_CELL if held != "none" else CARRIED)
                if skipped or (seed and name in ("defaults", "SCE-UA", "LSTM")):
                    continue
                method = METHODS[name]
                if name in CARRIED:
                    method = functools.partial(carried, by=CARRIED[name])
                make = functools.partial(validated, ds, method, held, seed, arguments.folds)
                rows(make, part="table", method=name, held=held, seed=seed)


def shared(ds: xr.Dataset, rows: Rows, arguments: argparse.Namespace) -> None:
    """Rows of the curve over the share of training basins."""
    for seed in range(arguments.seeds):
        for share in arguments.shares:
            method = thinned(METHODS[LEARNED], share)
            make = functools.partial(validated, ds, method, "random", seed, arguments.folds)
            rows(make, part="share", method=LEARNED, share=share, seed=seed)


def priced(ds: xr.Dataset, rows: Rows) -> None:
    """Rows of the curves of score over cost, for ever more basins."""
    seen = ds[CASE["obs"]].sel(time=CASE["train"]).notnull().any("time")
    for basins in BASINS:
        cells = ordered(seen, basins)
        batches = -(-min(basins, int(seen.sum())) // 100) * 11
        budgets = [("mixed effects", {"epochs": -(-steps // batches)}) for steps in STEPS]
        budgets += [("SCE-UA", {"evaluations": runs}) for runs in EVALUATIONS]
        for name, budget in budgets:
            make = functools.partial(_priced, ds, METHODS[name], cells, budget)
            (limit,) = budget.values()
            rows(make, part="cost", method=name, basins=basins, limit=limit, seed=0)


def _priced(ds: xr.Dataset, method: Any, cells: xr.DataArray, budget: dict[str, int]) -> Row:
    fit = method(
        ds,
        CASE["obs"],
        cells=cells,
        period=CASE["train"],
        seed=0,
        progress=False,
        **budget,
    )
    scores = fit.evaluate(ds, period=CASE["test"])
    return medians(scores, cells, CASE["shown"], "test") | cost(fit)


def main() -> None:
    """Compute the rows that are not there, print tables and answers, draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=10, help="folds of random basins")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=Path, help="file that keeps what was computed")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--only", nargs="+", choices=METHODS, help="these methods in the table")
    parser.add_argument("--held", nargs="+", choices=HELD, default=list(HELD), help="columns")
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES)
    parser.add_argument("--to", type=Path, default=Path("docs/_static"), help="folder of results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    with xdpl.tutorial.open_dataset(CASE["dataset"]) as opened:
        ds = opened.load().sel(time=slice(None, CASE["test"].stop))
    rows = Rows(arguments.rows)
    if "table" in arguments.parts:
        tabled(ds, rows, arguments)
    if "share" in arguments.parts:
        shared(ds, rows, arguments)
    if "cost" in arguments.parts:
        priced(ds, rows)
    report(rows.found, arguments.to)


def report(found: list[Row], folder: Path) -> None:
    """Tables, answers and figures of all parts that were computed."""
    from study_mopex_report import answer_cost, answer_share, draw

    parts = {part: [row for row in found if row["part"] == part] for part in PARTS}
    table = averaged(parts["table"], ("method", "held"))
    columns = {"none": "known", "random": "PUB", "regions": "PUR"}
    shown = [held for held in HELD if any(r["held"] == held for r in table)]
    lines = []
    for method in dict.fromkeys(r["method"] for r in table):
        own = {r["held"]: r for r in table if r["method"] == method}
        seeds = max(r["seeds"] for r in own.values())
        cells = [
            figure(own.get(held, {}), f"test_{k}", 3) for held in shown for k in ("nse", "kge")
        ]
        lines.append([method, str(seeds), *cells])
    head = ["method", "seeds", *(f"{columns[h]} {k}" for h in shown for k in ("NSE", "KGE"))]
    write_table(folder / "study_mopex.csv", head, lines)
    share = averaged(parts["share"], ("method", "share"))
    print(answer_share(table, share))
    for line in answer_cost(parts["cost"]):
        print(line)
    draw(table, share, parts["cost"], folder / "study_mopex.png")


if __name__ == "__main__":
    main()
