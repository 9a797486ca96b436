"""Streamflow of CAMELS basins beside published scores of the same basins.

    XDPL_DATA=folder python benchmarks/study_camels.py us       # Caravan-CAMELS-US, ERA5-Land
    XDPL_DATA=folder python benchmarks/study_camels.py daymet   # CAMELS-US, Daymet, regions 01, 02

Trained up to 1995-09 and tested on 1995-10 to 2010-09, as the peers were, all by default: basins
that were known, random basins never seen (PUB, 10 folds), contiguous regions never seen (PUR).
The peers' scores (Kratzert et al. 2019, doi:10.1029/2019WR026065) are those of the same basins;
their forcing is NLDAS and their LSTMs learned from 531 basins, so columns differ by more than the
method. The LSTM of this package reads the same forcing and basins as parameter learning: the fair
rival.

``--rows FILE`` keeps what was computed, so that an interrupted study goes on. ``--scaling`` adds
the curve over the share of training basins. Scores of each basin are written as CSV.
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from studies import CELL_BY_CELL, Row, Rows, write_table

import xdpl
from xdpl import validation

TRAIN, TEST = slice(None, "1995-09-30"), slice("1995-10-01", "2010-09-30")
FILES = {"us": "camels_us.nc", "daymet": "camels_daymet.nc"}
HELD: dict[str, dict[str, Any]] = {
    "known": {},
    "PUB": {"space": "random", "folds": 10},
    "PUR": {"space": "regions", "folds": 7},
}
METHODS: dict[str, Callable[..., Any]] = {
    "parameter learning": xdpl.fit,
    "one set, no climate": functools.partial(xdpl.fit, components=1, climate=False),
    "calibrate": validation.calibrate,
    "SCE-UA": validation.sce_ua,
    "similarity": functools.partial(validation.regionalize, by="similarity"),
    "distance": functools.partial(validation.regionalize, by="distance"),
    "regression": functools.partial(validation.regionalize, by="regression"),
    "LSTM": functools.partial(validation.lstm, hidden=128),
}
CARRIED = ("similarity", "distance", "regression")
PEERS = {
    "known": {"lstm_gauged": "LSTM", "sac_sma": "SAC-SMA", "nwm": "NWM"},
    "PUB": {"lstm_ungauged": "LSTM"},
}
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)


def opened(case: str) -> xr.Dataset:
    """The Dataset of a case, to the end of the test period."""
    with xr.open_dataset(Path(os.environ["XDPL_DATA"]) / FILES[case]) as found:
        return found.load().sel(time=slice(None, TEST.stop))


def peers(case: str) -> dict[str, dict[str, float]]:
    """Published scores: {column: {basin: NSE}} of the basins that papers use."""
    path = Path(os.environ["XDPL_DATA"]) / "peers_camels_us.csv"
    with path.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    own = [row for row in rows if row[f"in_camels_{case}"] == "1"]
    columns = [name for of in PEERS.values() for name in of]
    return {name: {row["gauge_id"]: float(row[name]) for row in own} for name in columns}


def period(ds: xr.Dataset) -> slice:
    """The training period, from the first year there is."""
    first = max(np.datetime64("1980-10-01"), ds.time.values[0])
    return slice(str(first)[:10], TRAIN.stop)


def basin_scores(
    ds: xr.Dataset, method: Callable[..., Any], held: Mapping[str, Any], seed: int
) -> Row:
    """NSE and KGE of every basin in the test period, and the seconds of all trainings."""
    found = xdpl.cross_validate(
        ds, "qobs", time=[(period(ds), TEST)], seeds=(seed,), method=method, progress=False, **held
    )
    scores = found.scores.isel(seed=0)
    return {
        "seconds": found.seconds,
        **{k: [round(float(x), 4) for x in scores[k].values.ravel()] for k in ("nse", "kge")},
    }


def thinned(method: Callable[..., Any], share: float) -> Callable[..., Any]:
    """Return the method, given only a share of its training basins."""

    def some(ds: xr.Dataset, obs: str, *, cells: xr.DataArray, **keywords: Any) -> Any:
        seen = np.flatnonzero((cells & ds[obs].notnull().any("time")).values)
        order = np.random.default_rng(0).permutation(len(seen))
        kept = np.zeros(cells.size, bool)
        kept[seen[order[: max(2, round(share * len(seen)))]]] = True
        return method(ds, obs, cells=cells.copy(data=kept), **keywords)

    return some


def computed(ds: xr.Dataset, rows: Rows, arguments: argparse.Namespace) -> None:
    """Compute the rows that are not there."""
    for seed in range(arguments.seeds):
        for held in arguments.held:
            for name in arguments.only:
                if name in (CELL_BY_CELL if held != "known" else CARRIED):
                    continue
                make = functools.partial(basin_scores, ds, METHODS[name], HELD[held], seed)
                rows(make, case=arguments.case, method=name, held=held, seed=seed, share=1.0)
        for share in SHARES if arguments.scaling else ():
            make = functools.partial(basin_scores, ds, thinned(xdpl.fit, share), HELD["PUB"], seed)
            name = "parameter learning"
            rows(make, case=arguments.case, method=name, held="PUB", seed=seed, share=share)


def tabled(
    found: list[Row], basins: list[str], public: Mapping[str, Mapping[str, float]], folder: Path
) -> None:
    """Medians over the basins with published scores, ours above the peers'."""
    there = np.isin(basins, list(next(iter(public.values()))))
    lines = []
    for method, share in dict.fromkeys((row["method"], row["share"]) for row in found):
        cells = []
        for held in HELD:
            own = [
                r for r in found if (r["method"], r["held"], r["share"]) == (method, held, share)
            ]
            cells += [_medians([np.array(r[k], float)[there] for r in own]) for k in ("nse", "kge")]
        seeds = len({r["seed"] for r in found if (r["method"], r["share"]) == (method, share)})
        name = method if share == 1.0 else f"{method}, {share:.1%} of the basins"
        lines.append([name, str(seeds), *cells])
    for name in dict.fromkeys(name for columns in PEERS.values() for name in columns.values()):
        cells = []
        for held in HELD:
            column = next((c for c, n in PEERS.get(held, {}).items() if n == name), None)
            median = "-" if column is None else f"{np.median(list(public[column].values())):.3f}"
            cells += [median, "-"]
        lines.append([f"published {name}", "-", *cells])
    head = ["method", "seeds", *(f"{held} {k}" for held in HELD for k in ("NSE", "KGE"))]
    case = found[0]["case"]
    write_table(folder / f"study_camels_{case}.csv", head, lines)
    print(f"medians over {int(there.sum())} basins with published scores, of {len(basins)}")


def _medians(of_seeds: list[np.ndarray]) -> str:
    if not of_seeds:
        return "-"
    medians = [float(np.nanmedian(values)) for values in of_seeds]
    spread = f" ± {np.std(medians, ddof=1):.3f}" if len(medians) > 1 else ""
    return f"{np.mean(medians):.3f}{spread}"


def per_basin(
    found: list[Row], basins: list[str], public: Mapping[str, Mapping[str, float]], folder: Path
) -> Path:
    """Write the NSE of every basin, means over the seeds, beside the published ones."""
    columns: dict[str, list[float]] = {}
    for row in found:
        if row["share"] == 1.0:
            columns.setdefault(f"{row['method']}, {row['held']}", []).append(row["nse"])
    means = {name: np.mean(np.array(values, float), axis=0) for name, values in columns.items()}
    path = folder / f"study_camels_{found[0]['case']}_basins.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["basin", *means, *(f"published {name}" for name in public)])
        for i, basin in enumerate(basins):
            own = [f"{values[i]:.3f}" for values in means.values()]
            writer.writerow([basin, *own, *(of.get(basin, "") for of in public.values())])
    return path


def main() -> None:
    """Compute the rows that are not there, write the tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=FILES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=Path, help="file that keeps what was computed")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--held", nargs="+", choices=HELD, default=list(HELD))
    parser.add_argument("--scaling", action="store_true", help="the curve over shares of basins")
    parser.add_argument("--to", type=Path, default=Path("docs/_static"), help="folder of results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    ds = opened(arguments.case)
    rows = Rows(arguments.rows)
    computed(ds, rows, arguments)
    found = [row for row in rows.found if row["case"] == arguments.case]
    basins = [str(name) for name in ds.basin.values]
    public = peers(arguments.case)
    arguments.to.mkdir(parents=True, exist_ok=True)
    tabled(found, basins, public, arguments.to)
    print(per_basin(found, basins, public, arguments.to))
    from study_camels_figure import draw

    draw(ds, found, public, arguments.to / f"study_camels_{arguments.case}.png")


if __name__ == "__main__":
    main()
