"""The whole way on synthetic data: learn parameters, write maps, print scores (``xdpl-demo``)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

import xdpl

from .errors import XdplError

__all__ = ["main", "run"]

OBSERVED = "streamflow"


def run(folder: Path, *, epochs: int | None = None, seed: int = 0) -> xr.Dataset:
    """Learn parameters on a synthetic Dataset and write what was learned.

    Parameters
    ----------
    folder : Path
        Receives a GeoTIFF per parameter, a picture and the fit.
    epochs : int, optional
        How long to train.
    seed : int
        Of the Dataset and of the fit.

    Returns
    -------
    Dataset
        Scores per cell over the second half of the record, which was not trained on.
    """
    started = time.monotonic()
    ds, truth = xdpl.tutorial.synthetic(seed=seed, return_truth=True)
    half = ds.sizes["time"] // 2
    train, test = (slice(*days.values[[0, -1]]) for days in (ds.time[:half], ds.time[half:]))
    fit = ds.dpl.fit(obs=OBSERVED, period=train, epochs=epochs, seed=seed)
    print(fit)

    maps = ds.dpl.parameters()
    folder.mkdir(parents=True, exist_ok=True)
    files = maps.dpl.to_geotiff(folder / "maps")
    picture = _picture(maps, folder / "parameters.png")
    saved = fit.save(folder / "demo.xdpl")
    scores = ds.dpl.evaluate(period=test)

    _print_scores(scores, f"{str(test.start)[:10]} to {str(test.stop)[:10]}")
    _print_resemblance(maps, truth)
    print(f"\n{len(files)} GeoTIFFs  {files[0].parent}")
    print(f"picture      {picture}")
    print(f"fit          {saved}")
    print(f"\n{time.monotonic() - started:.0f} s in all.")
    return scores


def _picture(maps: xr.Dataset, path: Path) -> str:
    """Draw the maps; where matplotlib is missing, say what to install."""
    try:
        import matplotlib as mpl
    except ImportError:
        return 'none: matplotlib is not installed. Run pip install "xdpl[viz]".'
    mpl.use("agg")  # no window is opened
    maps.dpl.plot().savefig(path, dpi=120)
    return str(path)


def _print_scores(scores: xr.Dataset, span: str) -> None:
    print(f"\nScores over {span}, not trained on (median over cells):")
    for name in ("nse", "kge", "corr", "rmse", "bias"):
        units = scores[name].attrs["units"]
        print(f"  {name:5} {float(scores[name].median()):7.3f} {'' if units == '1' else units}")


def _print_resemblance(maps: xr.Dataset, truth: xr.Dataset) -> None:
    """Say how far each map resembles the true one, best first: not every parameter can be found."""
    alike = {name: float(xr.corr(maps[name], truth[name])) for name in maps.data_vars}
    print("\nCorrelation of each map with the true parameters:")
    for name, value in sorted(alike.items(), key=lambda item: -item[1]):
        print(f"  {value:6.2f}  {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo from the command line; the exit status tells how it went."""
    parser = argparse.ArgumentParser(
        prog="xdpl-demo", description="Learn parameters on synthetic data and write the maps."
    )
    parser.add_argument("folder", nargs="?", default="xdpl-demo", type=Path)
    parser.add_argument("--epochs", type=int, help="how long to train")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        scores = run(options.folder.resolve(), epochs=options.epochs, seed=options.seed)
    except XdplError as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return 1
    if not bool(np.isfinite(scores["nse"]).any()):
        print("No cell has a finite score: the demo has failed.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
