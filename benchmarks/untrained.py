"""Variables that training never saw: does a model with learned parameters get them right?

    XDPL_DATA=folder python benchmarks/untrained.py

A right streamflow can come from wrong snow. Three parts, all by default:

``synthetic``: HBV is trained on noisy streamflow of a world that HBV made itself, and its snow,
evapotranspiration and soil moisture are judged against the truth, in a year not trained on.
``structure``: the same in a world whose groundwater rises into dry soils, of which the trained
model knows nothing. ``runoff``: VIC is trained on SMAP soil moisture alone, and its runoff is
judged against gauges: the share of precipitation that runs off from the MOPEX basins (1975 to
1990), each beside the SMAP cells (2015 to 2017) within 75 km of its gauge. Climate has moved in
between and cells aren't basins, so look at the order of the methods, not at the last digit.
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
from studies import write_table

import xdpl
from xdpl import validation
from xdpl.models import HBV, VIC
from xdpl.scores import score

PARTS = ("synthetic", "structure", "runoff")
METHODS: dict[str, Callable[..., Any]] = {
    "defaults": validation.defaults,
    "uniform": validation.uniform,
    "calibrate": validation.calibrate,
    "gA": functools.partial(xdpl.fit, deviations=False),
    "mixed effects": functools.partial(xdpl.fit, components=1, climate=False),
}
TRAINED = "streamflow"
UNSEEN = ("snow_water_equivalent", "evapotranspiration", "soil_moisture")
TRAIN, TEST = slice("2000", "2002"), slice("2003", "2003")
NEAR = 75.0  # km


def nse_of(simulated: xr.DataArray, truth: xr.DataArray) -> float:
    """Median over the cells of the Nash-Sutcliffe efficiency; none where nothing varies."""
    steps = simulated.sizes["time"]
    given, wanted = (v.transpose("time", ...).values.reshape(steps, -1) for v in (simulated, truth))
    found = score(given, wanted)
    return float(np.nanmedian(np.where(np.isfinite(found["nse"]), found["nse"], np.nan)))


def synthetic(made_by: HBV, cells: int, noise: float, epochs: int | None) -> list[list[str]]:
    """Lines of the table for one world: efficiencies of what was and was not trained on."""
    outputs = (TRAINED, *UNSEEN)
    make = functools.partial(xdpl.tutorial.synthetic, made_by, cells=cells, years=4)
    ds, truth = make(noise=noise), make(outputs=outputs).sel(time=TEST)
    more = {} if epochs is None else {"epochs": epochs}
    lines = []
    for name, method in METHODS.items():
        fit = method(ds, TRAINED, model=HBV(), period=TRAIN, progress=False, **more)
        simulated = fit.simulate(ds, TEST, outputs)
        found = [nse_of(simulated[output], truth[output]) for output in outputs]
        lines.append([name, *(f"{value:.3f}" for value in found)])
        print("  ".join(lines[-1]), flush=True)
    return lines


def observed_runoff(basins: xr.Dataset) -> xr.DataArray:
    """Share of the precipitation that ran off from each basin, over the days with both."""
    both = basins.qobs.notnull() & basins.prcp.notnull()
    return basins.qobs.where(both).sum("time") / basins.prcp.where(both).sum("time")


def beside(basins: xr.Dataset, grid: xr.Dataset, there: xr.DataArray) -> list[np.ndarray]:
    """For each basin the numbers of the cells (y, x flattened) that lie near it."""
    lat, lon = xr.broadcast(grid.lat, grid.lon)
    cells = np.flatnonzero(there.transpose("y", "x").values.ravel())
    y, x = (np.radians(v.transpose("y", "x").values.ravel()[cells]) for v in (lat, lon))
    found = []
    for one in range(basins.sizes["basin"]):
        b, a = np.radians(float(basins.lat[one])), np.radians(float(basins.lon[one]))
        half = np.sin((y - b) / 2) ** 2 + np.cos(y) * np.cos(b) * np.sin((x - a) / 2) ** 2
        found.append(cells[2 * 6371 * np.arcsin(np.sqrt(half)) <= NEAR])
    return found


def runoff(epochs: int | None) -> tuple[list[list[str]], dict[str, np.ndarray]]:
    """Lines of the table for SMAP, and the shares that ran off, observed and by each method."""
    case = CASES["smap"]
    with xdpl.tutorial.open_dataset("smap-conus") as opened:
        ds = opened.load()
    with xdpl.tutorial.open_dataset("mopex") as opened:
        basins = opened[["qobs", "prcp"]].load()
    more = {} if epochs is None else {"epochs": epochs}
    lines, pairs, near = [], {}, None
    for name, method in METHODS.items():
        fit = method(ds, case["obs"], model=VIC(), period=case["train"], progress=False, **more)
        total = fit.simulate(ds, outputs=["runoff"]).runoff
        inside = total.notnull()
        share = total.sum("time") / ds.prcp.where(inside).sum("time")
        share = share.where(inside.any("time"))
        if near is None:
            near = beside(basins, ds, share.notnull())
            kept = np.array([len(cells) > 0 for cells in near])
            pairs["observed"] = observed_runoff(basins).values[kept]
        flat = share.transpose("y", "x").values.ravel()
        pairs[name] = np.array([flat[cells].mean() for cells in near if len(cells)])
        scores = fit.evaluate(ds, period=case["test"])
        lines.append([name, f"{float(scores.ubrmse.median()):.4f}", *agreement(pairs, name)])
        print("  ".join(lines[-1]), flush=True)
    return lines, pairs


def agreement(pairs: dict[str, np.ndarray], name: str) -> list[str]:
    """Rank correlation, mean difference and mean absolute difference of shares that ran off."""
    given, wanted = pairs[name], pairs["observed"]
    known = np.isfinite(given) & np.isfinite(wanted)
    given, wanted = given[known], wanted[known]
    if np.ptp(given) == 0:
        return ["-", "-", "-", str(known.sum())]
    ranks = [np.argsort(np.argsort(v)).astype(float) for v in (given, wanted)]
    apart = given - wanted
    figures = (np.corrcoef(ranks)[0, 1], apart.mean(), np.abs(apart).mean())
    return [*(f"{value:.2f}" for value in figures), str(known.sum())]


def draw(tables: dict[str, list[list[str]]], pairs: dict[str, np.ndarray], path: Path) -> None:
    """Efficiencies of every variable by method, and runoff against gauges."""
    import matplotlib.pyplot as plt

    worlds = [part for part in ("synthetic", "structure") if part in tables]
    count = len(worlds) + bool(pairs)
    figure, axes = plt.subplots(1, count, figsize=(4.6 * count, 3.6), squeeze=False)
    for axis, part in zip(axes[0], worlds, strict=False):
        for line in tables[part]:
            values = np.clip([float(text) for text in line[1:]], -1, 1)
            axis.plot(range(len(values)), values, marker="o", label=line[0])
        names = [name.replace("_", "\n") for name in (TRAINED, *UNSEEN)]
        title = {"synthetic": "right structure", "structure": "a process is missing"}[part]
        axis.set(ylabel="NSE (below -1 drawn at -1)", title=title, ylim=(-1.05, 1.05))
        axis.set_xticks(range(len(names)), names, fontsize=8)
        axis.legend(fontsize=8)
    if pairs:
        axis = axes[0][-1]
        for name in ("uniform", "calibrate", "mixed effects"):
            axis.plot(pairs["observed"], pairs[name], ".", markersize=4, label=name)
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        axis.set(xlabel="share that ran off, gauges", ylabel="trained on soil moisture alone")
        axis.set_title("runoff / precipitation")
        axis.legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the tables and write them and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--cells", type=int, default=144, help="of the synthetic worlds")
    parser.add_argument("--noise", type=float, default=0.1, help="of the streamflow, relative")
    parser.add_argument("--epochs", type=int, help="of every method, for a trial")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--to", type=Path, default=Path("docs/_static"), help="folder of results")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    parts = given.parts or PARTS
    tables, pairs = {}, {}
    worlds = {"synthetic": HBV(), "structure": HBV(capillary_rise=True)}
    for part in parts:
        print(part, flush=True)
        if part == "runoff":
            tables[part], pairs = runoff(given.epochs)
            head = ["trained on SMAP", "ubrmse of SMAP", "rank correlation", "bias", "mean error",
                    "basins"]  # fmt: skip
        else:
            tables[part] = synthetic(worlds[part], given.cells, given.noise, given.epochs)
            head = ["trained on streamflow", TRAINED, *UNSEEN]
        write_table(given.to / f"study_untrained_{part}.csv", head, tables[part])
    draw(tables, pairs, given.to / "study_untrained.png")


if __name__ == "__main__":
    main()
