"""The figure of the CAMELS study: how many basins reach which score, and where who wins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from studies import Row

LEARNED, RIVAL = "parameter learning", "LSTM"
COLOURS = {
    LEARNED: "#0072B2", "one set, no climate": "#56B4E9", "calibrate": "#999999",
    "SCE-UA": "#666666", "similarity": "#E69F00", "distance": "#F0E442", "regression": "#D55E00",
    RIVAL: "#CC79A7",
}  # fmt: skip
TITLES = {"known": "basins known", "PUB": "basins never seen", "PUR": "regions never seen"}
PUBLISHED = {"known": "lstm_gauged", "PUB": "lstm_ungauged"}


def draw(
    ds: xr.Dataset, found: list[Row], public: Mapping[str, Mapping[str, float]], path: Path
) -> None:
    """Draw a cumulative distribution for each thing held back, and maps of the differences."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    held = [name for name in TITLES if any(row["held"] == name for row in found)]
    fig, axes = plt.subplots(2, len(held), figsize=(4.2 * len(held), 7), squeeze=False)
    there = np.isin([str(b) for b in ds.basin.values], list(next(iter(public.values()))))
    for axis, name in zip(axes[0], held, strict=True):
        for row in found:
            if row["held"] == name and row["share"] == 1.0 and row["seed"] == 0:
                _cumulative(axis, np.array(row["nse"], float)[there], row["method"])
        if name in PUBLISHED:
            values = np.array(list(public[PUBLISHED[name]].values()))
            _cumulative(axis, values, "published LSTM", color="black", linestyle=":")
        axis.set(title=TITLES[name], xlim=(0, 1), ylim=(0, 1), xlabel="NSE")
        axis.legend(fontsize=7, frameon=False)
    axes[0, 0].set_ylabel("share of basins below")
    for axis, name in zip(axes[1], held, strict=True):
        _differences(axis, ds, found, name)
    fig.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=130)
    plt.close(fig)


def _cumulative(axis, values: np.ndarray, label: str, **style: str) -> None:
    values = np.sort(values[np.isfinite(values)])
    share = np.arange(1, len(values) + 1) / len(values)
    style = {"color": COLOURS.get(label, "black"), **style}
    axis.plot(values, share, label=f"{label} ({np.median(values):.3f})", **style)


def _differences(axis, ds: xr.Dataset, found: list[Row], held: str) -> None:
    """Where parameter learning is ahead of the LSTM on the same data (blue), and behind (red)."""
    own = {r["method"]: r for r in found if r["held"] == held and r["share"] == 1.0}
    axis.set(xlabel="longitude", ylabel="latitude")
    if LEARNED not in own or RIVAL not in own:
        axis.set_axis_off()
        return
    gain = np.array(own[LEARNED]["nse"], float) - np.array(own[RIVAL]["nse"], float)
    drawn = axis.scatter(ds.lon, ds.lat, c=gain, s=9, cmap="RdBu", vmin=-0.3, vmax=0.3)
    axis.figure.colorbar(drawn, ax=axis, label="NSE above the LSTM's", shrink=0.8)
    axis.set_title(f"ahead in {np.mean(gain > 0):.0%} of the basins", fontsize=9)
