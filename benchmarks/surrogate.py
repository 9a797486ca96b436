"""Parameters of a model that can't be differentiated, learned through a surrogate, on MOPEX.

    XDPL_DATA=folder python benchmarks/surrogate.py            # about an hour on two cores
    XDPL_DATA=folder python benchmarks/surrogate.py --basins 40 --years 6 --samples 16

The model is GR4J of the package hydrogr, in Rust, on all basins. Four fifths of the basins are
known: the model is run there, over the training period, with sampled parameters, and their
streamflow is learned from. One fifth is never seen: no run, no observation. All that is learned
is judged by the true model, over 1986-10 to 1990-09, beside (a) the GR4J of this library, trained
directly, (b) SCE-UA on the true model, basin by basin, (c) the middle of the bounds.

``--twin`` replaces the observations by runs of the true model with parameters that follow from the
attributes, and tells how well these are found again. Needs ``pip install hydrogr``.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from boxes import HydroGR4J

import xdpl
from xdpl.blackbox import run_cells, times_before
from xdpl.emulation import design
from xdpl.models import GR4J
from xdpl.scores import score
from xdpl.surrogate import EmulatorLSTM
from xdpl.validation.sce import minimise

TRAIN, TEST = slice("1975-10-01", "1986-09-30"), slice("1986-10-01", "1990-09-30")
NAMES = dict(zip(HydroGR4J().parameters, GR4J().parameters, strict=True))
"""Parameters of hydrogr by the names of this library."""


def shown(name: str, scores: xr.Dataset, known: xr.DataArray, extra: str = "") -> None:
    """One line: medians over known basins and over those never seen."""
    parts = []
    for cells in (known, ~known):
        inside = scores.where(cells)
        parts.append("  ".join(f"{k} {float(inside[k].median()):7.4f}" for k in ("nse", "kge")))
    print(f"{name:<34} {parts[0]}  |  {parts[1]}  {extra}", flush=True)


def emulated(ds: xr.Dataset, known: xr.DataArray, a: argparse.Namespace) -> xdpl.Surrogate:
    """The surrogate, trained on runs in the known basins over the training period."""
    return xdpl.emulate(
        HydroGR4J(),
        ds,
        samples=a.samples,
        network=EmulatorLSTM(hidden=a.hidden),
        rounds=a.rounds,
        obs="qobs" if a.rounds else None,
        cells=known,
        period=ds.attrs["train"],
        epochs=a.epochs,
        batch_size=a.batch_size,
        store=a.store,
        scheduler="processes" if a.workers > 1 else "synchronous",
        workers=a.workers,
        progress=False,
    )


def searched(
    ds: xr.Dataset, known: xr.DataArray, workers: int, evaluations: int
) -> tuple[xr.Dataset, float]:
    """SCE-UA on the true model in each known basin; scores, and true runs a basin."""
    box, here = HydroGR4J(), np.flatnonzero(known.values)
    span = ds.sel(time=ds.attrs["train"])
    forcing = {"precipitation": "prcp", "potential_evaporation": "pet"}
    weather = {k: span[v].transpose("time", "basin").values[:, here] for k, v in forcing.items()}
    observed = span.qobs.transpose("time", "basin").values[:, here]
    fine = np.isfinite(np.stack(list(weather.values()))).all((0, 1)) & np.isfinite(observed).any(0)
    here, observed = here[fine], observed[:, fine]
    weather = {k: v[:, fine] for k, v in weather.items()}
    year = 365
    index = np.r_[0:year, 0 : len(observed)]
    record = times_before(span.indexes["time"], year)
    with ProcessPoolExecutor(workers) as pool:

        def objective(point: np.ndarray, problem: np.ndarray) -> np.ndarray:
            values = design.physical(point, box.parameters)
            pieces = np.array_split(np.arange(len(problem)), workers * 4)
            parts = [
                pool.submit(
                    misfits,
                    {k: v[index][:, problem[p]] for k, v in weather.items()},
                    observed[:, problem[p]],
                    values[p],
                    record,
                )
                for p in pieces
                if len(p)
            ]
            return np.concatenate([np.empty(0), *(part.result() for part in parts)])

        found = minimise(objective, len(box.parameters), len(here), evaluations=evaluations)
    values = design.physical(found.point, box.parameters)
    maps = {
        name: xr.full_like(ds.area, np.nan, dtype=float).copy(data=_spread(column, here, ds))
        for name, column in zip(box.parameters, values.T, strict=True)
    }
    return judged(ds, xr.Dataset(maps)), float(found.evaluations.mean())


def _spread(column: np.ndarray, here: np.ndarray, ds: xr.Dataset) -> np.ndarray:
    full = np.full(ds.sizes["basin"], np.nan)
    full[here] = column
    return full


def misfits(
    weather: dict[str, np.ndarray], observed: np.ndarray, values: np.ndarray, record: pd.Index
) -> np.ndarray:
    """1 - NSE of the true model in some basins, (basin,); the spin-up is not compared."""
    simulated = simulated_by_truth(weather, values, record)[-len(observed) :]
    return 1.0 - np.asarray(score(simulated, observed)["nse"])


def simulated_by_truth(
    weather: dict[str, np.ndarray], values: np.ndarray, record: pd.Index
) -> np.ndarray:
    """Streamflow of the true model, (time, basin)."""
    box = HydroGR4J()
    parameter = {k: values[:, [i]] for i, k in enumerate(box.parameters)}
    found, _ = run_cells(
        box, weather, parameter, time=record, dt=1.0, label=[""] * len(values),
        scheduler="synchronous",
    )  # fmt: skip
    return found["streamflow"]


def judged(ds: xr.Dataset, maps: xr.Dataset) -> xr.Dataset:
    """Scores of the true model with given parameters, over the test period."""
    forcing = {"precipitation": "prcp", "potential_evaporation": "pet"}
    weather = {k: ds[v].transpose("time", "basin").values for k, v in forcing.items()}
    values = np.stack([maps[name].values for name in HydroGR4J().parameters], -1)
    fine = np.isfinite(values).all(-1) & np.isfinite(np.stack(list(weather.values()))).all((0, 1))
    index = np.r_[0:365, 0 : ds.sizes["time"]]
    record = times_before(ds.indexes["time"], 365)
    flow = np.full((ds.sizes["time"], ds.sizes["basin"]), np.nan, "f4")
    flow[:, fine] = simulated_by_truth(
        {k: v[index][:, fine] for k, v in weather.items()}, values[fine], record
    )[365:]
    inside = ds.indexes["time"].slice_indexer(TEST.start, TEST.stop)
    observed = ds.qobs.transpose("time", "basin").values[inside]
    return xr.Dataset({k: ("basin", v) for k, v in score(flow[inside], observed).items()}).assign(
        basin=ds.basin
    )


def study(ds: xr.Dataset, known: xr.DataArray, a: argparse.Namespace) -> None:
    """Print the table, a row as soon as it is there."""
    print(f"{'':<34} {'known basins, later':<24}  |  basins never seen, later", flush=True)
    for name, part in (("direct", directly), ("surrogate", through), ("sce", searching)):
        if name in a.only:
            part(ds, known, a)


def keywords_of(ds: xr.Dataset, known: xr.DataArray, a: argparse.Namespace) -> dict:
    """What all fits share."""
    return {
        "period": ds.attrs["train"], "cells": known, "progress": False, "epochs": a.fit_epochs
    }  # fmt: skip


def directly(ds: xr.Dataset, known: xr.DataArray, a: argparse.Namespace) -> None:
    """The differentiable GR4J."""
    began = time.perf_counter()
    fit = xdpl.fit(ds, "qobs", model=GR4J(), **keywords_of(ds, known, a))
    spent = time.perf_counter() - began
    shown("(a) GR4J of xdpl, directly", fit.evaluate(ds, TEST), known, f"{spent:.0f} s")
    maps = fit.parameters(ds).rename({v: k for k, v in NAMES.items()})
    shown("    the same parameters in hydrogr", judged(ds, maps), known)


def through(ds: xr.Dataset, known: xr.DataArray, a: argparse.Namespace) -> None:
    """The surrogate of hydrogr's GR4J, and the middle of the bounds."""
    began = time.perf_counter()
    surrogate = emulated(ds, known, a)
    made = time.perf_counter() - began
    print(f"emulation {made:.0f} s, of which {surrogate.report.seconds}")
    print(surrogate, flush=True)
    keywords = keywords_of(ds, known, a)
    began = time.perf_counter()
    fit = xdpl.fit(ds, "qobs", model=surrogate, **keywords)
    spent = time.perf_counter() - began
    scores = fit.evaluate(ds, TEST)
    runs = sum(surrogate.report.runs.values()) / int(known.sum())
    shown("through the surrogate, true model", scores, known, f"{spent:.0f} s, {runs:.0f} runs")
    own = xr.Dataset({k: scores[f"{k}_surrogate"] for k in ("nse", "kge")})
    shown("    the surrogate's own scores", own, known)
    middle = xdpl.validation.defaults(ds, "qobs", model=surrogate, **keywords)
    shown("(c) middle of the bounds", middle.evaluate(ds, TEST), known)


def searching(ds: xr.Dataset, known: xr.DataArray, a: argparse.Namespace) -> None:
    """SCE-UA on the true model."""
    began = time.perf_counter()
    found, evaluations = searched(ds, known, a.workers, a.evaluations)
    spent = time.perf_counter() - began
    shown("(b) SCE-UA on the true model", found, known, f"{spent:.0f} s, {evaluations:.0f} runs")


def twin(ds: xr.Dataset, known: xr.DataArray, a: argparse.Namespace) -> None:
    """Print how well parameters are found again, through the surrogate and directly."""
    box = HydroGR4J()
    truth = true_parameters(ds)
    weather = {
        k: ds[v].transpose("time", "basin").values
        for k, v in (("precipitation", "prcp"), ("potential_evaporation", "pet"))
    }
    values = design.physical(truth, box.parameters)
    record = ds.indexes["time"]
    flow = simulated_by_truth(weather, values, record)
    twins = ds.assign(qobs=ds.qobs.copy(data=flow.T.astype("f4")))
    surrogate = emulated(twins, known, a)
    keywords = keywords_of(ds, known, a)
    print(f"{'':<10} {'through the surrogate':<40}  |  directly")
    print(f"{'':<10} {'known basins':<20} {'never seen':<20} |  known basins         never seen")
    fits = [xdpl.fit(twins, "qobs", model=m, **keywords) for m in (surrogate, GR4J())]
    found = [
        design.shares(
            np.stack([maps[name].values.astype(float) for name in names], -1), box.parameters
        )
        for maps, names in (
            (fits[0].parameters(ds), NAMES),
            (fits[1].parameters(ds), NAMES.values()),
        )
    ]
    for i, theirs in enumerate(NAMES):
        figures = []
        for shares in found:
            for cells in (known.values, ~known.values):
                r = np.corrcoef(shares[cells, i], truth[cells, i])[0, 1]
                error = np.sqrt(((shares[cells, i] - truth[cells, i]) ** 2).mean())
                figures.append(f"r {r:.3f} rmse {error:.3f}")
        print(f"{theirs:<10} {figures[0]:<20} {figures[1]:<20} |  {figures[2]:<20} {figures[3]}")
    print("rmse as a share of the bounds, on their scale")


def true_parameters(ds: xr.Dataset) -> np.ndarray:
    """Shares of the bounds, (basin, parameter), that follow smoothly from the attributes."""
    numbers = [n for n in ds.data_vars if ds[n].dims == ("basin",) and ds[n].dtype.kind == "f"]
    table = np.stack([ds[n].to_series().rank(pct=True) for n in sorted(numbers)], -1)
    table = np.nan_to_num(table, nan=0.5) - 0.5
    weight = np.random.default_rng(0).standard_normal((table.shape[1], len(NAMES)))
    mixed = table @ weight / np.sqrt((weight**2).sum(0) / 12)
    centre, spread = np.array([0.5, 0.5, 0.5, 0.15]), np.array([0.15, 0.06, 0.15, 0.06])
    return np.clip(centre + spread * mixed, 0.02, 0.98)


def main() -> None:
    """Read the data and print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--twin", action="store_true", help="find known parameters again")
    parser.add_argument("--basins", type=int, help="so many, spread evenly; all by default")
    parser.add_argument("--years", type=int, default=11, help="of training, before 1986-10")
    parser.add_argument("--samples", type=int, default=32, help="parameter sets in each basin")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--store", type=Path, help="folder of the runs, kept and resumed")
    parser.add_argument("--evaluations", type=int, default=2000, help="of SCE-UA")
    parser.add_argument("--only", nargs="+", default=["direct", "surrogate", "sce"])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fit-epochs", type=int, help="of each fit")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    with xdpl.tutorial.open_dataset("mopex") as opened:
        first = f"{1986 - a.years}-10-01"
        count = opened.sizes["basin"]
        some = np.unique(np.linspace(0, count - 1, a.basins or count).astype(int))
        ds = opened.isel(basin=some).sel(time=slice(first, TEST.stop)).load()
    # without potential evaporation xdpl would compute it, and SCE-UA not
    ds = ds.isel(basin=np.isfinite(ds.pet.values).all(ds.pet.get_axis_num("time")))
    ds.attrs["train"] = slice(first, TRAIN.stop)
    place = np.random.default_rng(0).permutation(ds.sizes["basin"])
    known = xr.DataArray(place % 5 != 0, dims="basin", coords={"basin": ds.basin})
    print(f"{ds.sizes['basin']} basins, {int(known.sum())} known; trained from {first}; {a}")
    (twin if a.twin else study)(ds, known, a)


if __name__ == "__main__":
    main()
