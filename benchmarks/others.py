"""Three models that others wrote, from package to learned parameters, on a few MOPEX basins.

    XDPL_DATA=folder python benchmarks/others.py hydrogr      # Rust, called from Python
    XDPL_DATA=folder python benchmarks/others.py hbv          # a BMI component
    XDPL_DATA=folder python benchmarks/others.py raven        # an executable with five input files

Short runs that show that each works through the public interface alone; how good parameters learned
through a surrogate can be is what ``benchmarks/surrogate.py`` asks.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
from boxes import HydroGR4J, bmi_hbv, raven

import xdpl
from xdpl.surrogate import EmulatorLSTM

BOXES = {"hydrogr": HydroGR4J, "hbv": bmi_hbv, "raven": raven}


def main() -> None:
    """Emulate, learn, and let the true model judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=BOXES)
    parser.add_argument("--basins", type=int, default=12)
    parser.add_argument("--years", type=int, default=3, help="of training, before 1986-10")
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    first = f"{1986 - a.years}-10-01"
    train, test = slice(first, "1986-09-30"), slice("1986-10-01", "1988-09-30")
    with xdpl.tutorial.open_dataset("mopex") as opened:
        some = np.linspace(0, opened.sizes["basin"] - 1, a.basins).astype(int)
        ds = opened.isel(basin=some).sel(time=slice(first, test.stop)).load()
    began = time.perf_counter()
    surrogate = xdpl.emulate(
        BOXES[a.model](), ds, samples=a.samples, period=train, epochs=a.epochs, batch_size=32,
        network=EmulatorLSTM(hidden=24), learning_rate=0.01, sensitivity=4,
        scheduler="threads", workers=a.workers, progress=False,
    )  # fmt: skip
    print(surrogate)
    keywords = {"model": surrogate, "period": train, "progress": False}
    fit = xdpl.fit(ds, "qobs", epochs=60, learning_rate=0.02, **keywords)
    scores = fit.evaluate(ds, test)
    middle = xdpl.validation.defaults(ds, "qobs", **keywords).evaluate(ds, test)
    print(
        f"median NSE of the true model in later years: middle of the bounds "
        f"{float(middle.nse.median()):.3f}, learned {float(scores.nse.median()):.3f} (the "
        f"surrogate's own {float(scores.nse_surrogate.median()):.3f}); "
        f"{time.perf_counter() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
