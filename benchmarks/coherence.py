"""How coherent in space maps of parameters are, learned together or calibrated cell by cell.

    XDPL_DATA=folder python benchmarks/coherence.py

On SMAP, trained on the first year: for every method the scores of the year after, beside Moran's I
of the maps (8 nearest cells, inverse distances), the share of their variance without structure in
space, the range of their variograms in km (half the width of the country at most), and the share
of the parameters at a bound; medians over the maps. The last row is what the attributes
allow: a network can only be as rough as they are. Parameters are compared between their bounds, on
the scale of each. It writes the table as CSV and the maps of one parameter as a picture.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from scores import CASES
from studies import write_table

import xdpl
from xdpl import validation

CASE = CASES["smap"]
SHOWN = "porosity"
NEIGHBOURS = 8
AT_BOUND = 0.02
HEAD = (
    "method", *CASE["shown"], "Moran's I", "nugget share", "range (km)", "at a bound",
    "runs of a cell",
)  # fmt: skip


def shares(maps: xr.Dataset, fit: xdpl.Fit) -> xr.Dataset:
    """Parameters as places between their bounds, 0 to 1, on the scale of each."""
    found = {}
    for name, parameter in fit.model.parameters.items():
        low, high = parameter.bounds
        value = maps[name]
        if parameter.scale == "log":
            found[name] = np.log(value / low) / np.log(high / low)
        else:
            found[name] = (value - low) / (high - low)
    return xr.Dataset(found).assign_coords(maps.coords)


def median_of(values: xr.Dataset) -> float:
    """Median over the maps; a constant map has no number."""
    return float(np.nanmedian([float(v) for v in values.data_vars.values()]))


def coherence(maps: xr.Dataset) -> dict[str, float]:
    """Moran's I, nugget share and range of the variogram, medians over the maps."""
    return {
        "Moran's I": median_of(validation.moran(maps, neighbours=NEIGHBOURS)),
        "nugget share": median_of(validation.nugget_share(maps)),
        "range (km)": median_of(validation.variogram_range(maps)),
    }


def rows_of(ds: xr.Dataset, fit: xdpl.Fit, **ask: Any) -> tuple[dict[str, float], xr.Dataset]:
    """Scores and coherence of one fit, and its maps."""
    maps = shares(fit.parameters(ds, **ask), fit)
    bound = [float(((v < AT_BOUND) | (v > 1 - AT_BOUND)).where(v.notnull()).mean())
             for v in maps.data_vars.values()]  # fmt: skip
    return coherence(maps) | {"at a bound": float(np.mean(bound))}, maps


def line(name: str, found: dict[str, float]) -> list[str]:
    """One line of the table; a dash for what a method has not."""
    digits = {"range (km)": 0, "runs of a cell": 0, "Moran's I": 2, "at a bound": 2,
              "nugget share": 2}  # fmt: skip
    cells = [f"{found[k]:.{digits.get(k, 4)}f}" if k in found else "-" for k in HEAD[1:]]
    return [name, *cells]


def measured(ds: xr.Dataset, evaluations: int) -> tuple[list[list[str]], dict[str, xr.Dataset]]:
    """Lines of the table, and the maps of each method."""
    keywords = {"period": CASE["train"], "progress": False}
    calls = {
        "gA": lambda: xdpl.fit(ds, CASE["obs"], deviations=False, **keywords),
        "mixed effects": lambda: xdpl.fit(ds, CASE["obs"], components=1, climate=False, **keywords),
        "calibrate": lambda: validation.calibrate(ds, CASE["obs"], **keywords),
        "SCE-UA": lambda: validation.sce_ua(ds, CASE["obs"], evaluations=evaluations, **keywords),
    }
    lines, maps = [], {}
    for name, call in calls.items():
        fit = call()
        scores = fit.evaluate(ds, period=CASE["test"])
        found, maps[name] = rows_of(ds, fit)
        found |= {k: float(scores[k].median()) for k in CASE["shown"]}
        if "evaluations" in fit.record:
            found["runs of a cell"] = float(fit.record["evaluations"])
        lines.append(line(name, found))
        print("  ".join(lines[-1]), flush=True)
    there = maps["gA"][SHOWN].notnull()
    numbers = [role.name for role in fit.layout.attributes if not role.classes]
    lines.append(line("the attributes", coherence(ds[numbers].where(there))))
    return lines, maps


def draw(maps: dict[str, xr.Dataset], path: Path) -> None:
    """Maps of one parameter by all methods, beside each other."""
    together = xr.Dataset({name: one[SHOWN].assign_attrs(units="1") for name, one in maps.items()})
    together.attrs = {"title": f"{SHOWN.replace('_', ' ')} between its bounds"}
    figure = together.dpl.plot(columns=2, vmin=0, vmax=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=5000, help="of SCE-UA, for each cell")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", type=int, help="train on that many cells only, for a trial")
    parser.add_argument("--to", type=Path, default=Path("docs/_static"), help="folder of results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    with xdpl.tutorial.open_dataset(CASE["dataset"]) as opened:
        ds = opened.load()
    if arguments.cells:
        seen = np.flatnonzero(ds[CASE["obs"]].notnull().any("time").values.ravel())
        kept = np.isin(np.arange(ds.sizes["y"] * ds.sizes["x"]), seen[: arguments.cells])
        ds = ds.where(xr.DataArray(kept.reshape(ds.sizes["y"], -1), dims=("y", "x")))
    lines, maps = measured(ds, arguments.evaluations)
    write_table(arguments.to / "study_coherence.csv", HEAD, lines)
    draw(maps, arguments.to / "study_coherence.png")


if __name__ == "__main__":
    main()
