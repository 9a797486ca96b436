"""Do the trust layers warn? Worlds of known truth, learned with the right and a wrong structure.

    python benchmarks/equifinality.py

HBV learns from noisy streamflow of a world that HBV made (``right``), and of one whose groundwater
rises into dry soils, of which the HBV that learns knows nothing (``wrong``). In both the loss
falls. For every parameter the table holds, all as medians over cells and on the unit scale
between the bounds: its true error; what the layers say of it, as the standard error over the
members and as the spread that the observations leave by identifiability; and the rank correlation
of the map with the true one. Above it stands how often the truth lies within two of these
spreads, and the rank correlation over the parameters of true error and layer: whether the layers
tell good maps from bad ones.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from studies import write_table

import xdpl
from xdpl import validation
from xdpl.models import HBV
from xdpl.variables import Parameter

WORLDS = {"right": HBV(), "wrong": HBV(capillary_rise=True)}
LEARNED = HBV()
PRIOR = 12**-0.5
"""Standard deviation of a value that may lie anywhere between its bounds."""

HEAD = (
    "parameter", "rank correlation", "error", "standard error", "left by observations",
    "identifiability", "at bound", "doubtful",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One parameter against the truth; all (cell,), on the unit scale between its bounds.

    Attributes
    ----------
    true, found : ndarray
        The parameter.
    spread, left : ndarray
        Standard error over the members, and standard deviation that the observations leave.
    at_bound, doubt : ndarray
        Share of members at a bound; whether the map is doubted.
    """

    true: np.ndarray
    found: np.ndarray
    spread: np.ndarray
    left: np.ndarray
    at_bound: np.ndarray
    doubt: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Distance from the truth."""
        return np.abs(self.found - self.true)

    def line(self, name: str) -> list[str]:
        """One line of the table."""
        figures = (
            rank_correlation(self.true, self.found), np.median(self.error),
            np.median(self.spread), np.median(self.left), 1 - np.median(self.left) / PRIOR,
            self.at_bound.mean(), self.doubt.mean(),
        )  # fmt: skip
        return [name, *(f"{value:.3f}" for value in figures)]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's coefficient."""
    ranks = [np.argsort(np.argsort(v)).astype(float) for v in (a, b)]
    return float(np.corrcoef(ranks)[0, 1])


def judged(maps: xr.Dataset, truth: xr.Dataset, name: str, parameter: Parameter) -> Judged:
    """Bring a parameter and its layers to the unit scale."""
    low, high = parameter.bounds
    value, true = maps[name].values.ravel().astype(float), truth[name].values.ravel().astype(float)
    error = maps[f"{name}_standard_error"].values.ravel()
    if parameter.scale == "log":
        width = np.log(high / low)
        found, wanted, spread = (
            np.log(value / low) / width,
            np.log(true / low) / width,
            error / (value * width),
        )
    else:
        width = high - low
        found, wanted, spread = (value - low) / width, (true - low) / width, error / width
    return Judged(
        wanted,
        found,
        spread,
        PRIOR * (1 - maps[f"{name}_identifiability"].values.ravel()),
        maps[f"{name}_at_bound"].values.ravel(),
        (validation.quality_flags(maps)[name] == 1).values.ravel(),
    )


def learn(world: HBV, given: argparse.Namespace) -> tuple[xdpl.Fit, dict[str, Judged]]:
    """Train in a world, and hold maps and layers against its truth."""
    ds, truth = xdpl.tutorial.synthetic(
        world, cells=given.cells, years=4, noise=given.noise, seed=given.seed, return_truth=True
    )
    fit = xdpl.fit(
        ds, "streamflow", model=LEARNED, ensemble=given.ensemble, epochs=given.epochs,
        seed=given.seed, progress=False,
    )  # fmt: skip
    maps = fit.parameters(ds, trust=True)
    return fit, {k: judged(maps, truth, k, p) for k, p in LEARNED.parameters.items()}


def summary(name: str, fit: xdpl.Fit, found: dict[str, Judged]) -> list[str]:
    """What the layers tell, over all parameters and cells."""
    loss = fit.record["loss"]
    error = np.concatenate([one.error for one in found.values()])
    lines = [
        f"{name} structure: loss {loss[0]:.3f} to {loss[-1]:.3f}, "
        f"median NSE {fit.scores['streamflow']['nse']:.3f}"
    ]
    for what, attribute in (("standard error", "spread"), ("left by observations", "left")):
        said = np.concatenate([getattr(one, attribute) for one in found.values()])
        each = [np.median(getattr(one, attribute)) for one in found.values()]
        true = [np.median(one.error) for one in found.values()]
        lines.append(
            f"  {what}: truth within two of it in {(error < 2 * said).mean():.0%}, "
            f"rank correlation with the error over parameters "
            f"{rank_correlation(np.array(each), np.array(true)):.2f}"
        )
    return lines


def draw(worlds: dict[str, dict[str, Judged]], path: Path) -> None:
    """True error of every parameter against what the layers say of it."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(worlds), figsize=(5 * len(worlds), 4.2), sharey=True)
    for axis, (name, found) in zip(np.atleast_1d(axes), worlds.items(), strict=True):
        error = [np.median(one.error) for one in found.values()]
        for what, attribute in (("standard error", "spread"), ("left by observations", "left")):
            said = [np.median(getattr(one, attribute)) for one in found.values()]
            axis.plot(said, error, "o", markersize=5, label=what)
        axis.plot([1e-3, 0.3], [1e-3, 0.3], color="0.6", linewidth=0.8)
        for key, one in found.items():
            if np.median(one.error) > 0.1:
                where = (np.median(one.left), np.median(one.error))
                axis.annotate(key.replace("_", " "), where, fontsize=7, xytext=(3, 3),
                              textcoords="offset points")  # fmt: skip
        axis.set(
            xscale="log", yscale="log", xlabel="what the layer says", title=f"{name} structure"
        )
        axis.legend(fontsize=8)
    np.atleast_1d(axes)[0].set_ylabel("true error, share of the range")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=144)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--ensemble", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--to", type=Path, default=Path("docs/_static"), help="folder of results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    worlds = {}
    for name, world in WORLDS.items():
        fit, worlds[name] = learn(world, given)
        print("\n".join(summary(name, fit, worlds[name])))
        lines = [one.line(key) for key, one in worlds[name].items()]
        write_table(given.to / f"study_equifinality_{name}.csv", HEAD, lines)
    draw(worlds, given.to / "study_equifinality.png")


if __name__ == "__main__":
    main()
