"""What cross-validation found: scores per cell, medians, spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..layout import Layout
from ..scores import SCORES
from .folds import NONE, Split

__all__ = ["CrossValidation", "collected"]

SHOWN = ("rmse", "ubrmse", "corr", "nse", "kge")
OF_ALL = ("Conventions", "source", "references", "model", "observation", "components", "network",
          "deviations", "loss", "versions", "history", "featureType")  # fmt: skip


@dataclass(eq=False, repr=False)
class CrossValidation:
    """Scores of what was held back.

    Attributes
    ----------
    scores : Dataset
        Scores of each cell, dimensions seed, period (if several) and space; coordinate ``fold``.
    method : str
        What was trained.
    held : str
        What was held back in space, in words.
    seconds : float
        For all trainings.
    """

    scores: xr.Dataset
    method: str
    held: str
    seconds: float

    @property
    def medians(self) -> xr.Dataset:
        """Median over the cells of each score; dimensions seed and period (if several)."""
        space = self._space()
        return self.scores[list(SCORES)].median(space, skipna=True, keep_attrs=True)

    @property
    def spread(self) -> xr.Dataset:
        """Standard deviation of the medians over the seeds; NaN for one seed."""
        medians = self.medians
        if medians.sizes["seed"] < 2:
            return medians.isel(seed=0, drop=True) * np.nan
        return medians.std("seed", ddof=1, keep_attrs=True)

    def _space(self) -> list[str]:
        ahead = {"seed", "period", "observation"}
        return [str(dim) for dim in self.scores.nse.dims if dim not in ahead]

    def __repr__(self) -> str:
        medians, spread = self.medians, self.spread
        seeds = medians.sizes["seed"]
        lines = [
            f"<xdpl.CrossValidation> {self.method}: {self.held}; {seeds} "
            f"seed{'s' if seeds > 1 else ''}; {self.seconds:.0f} s",
            "  medians over cells" + (", standard deviation over seeds" if seeds > 1 else ""),
        ]
        for place in range(medians.sizes.get("period", 1)):
            here, apart, cells = medians, spread, self.scores
            if "period" in medians.dims:
                here, apart = medians.isel(period=place), spread.isel(period=place)
                cells = self.scores.isel(period=place)
            periods = f"  trained {cells.trained.item()}, tested {cells.tested.item()}, "
            if "observation" not in cells.dims:
                lines += _table(periods, here, apart, cells)
                continue
            for each in cells.observation.values:
                one = [part.sel(observation=each) for part in (here, apart, cells)]
                lines += _table(f"{periods}{each}: ", *one)
        return "\n".join(lines)


def _table(title: str, medians: xr.Dataset, spread: xr.Dataset, cells: xr.Dataset) -> list[str]:
    """What was scored, and its medians, of one observation."""
    scored = int((cells.n.isel(seed=0) > 0).sum())
    lines = [f"    {name:<7}{_figure(medians[name], spread[name])}" for name in SHOWN]
    return [f"{title}{scored} cells scored", *lines]


def _figure(medians: xr.DataArray, spread: xr.DataArray) -> str:
    """Mean over the seeds and their spread."""
    units = medians.attrs.get("units", "1")
    apart = spread.item()
    text = f"{medians.mean('seed').item():.4f}" + (f" +- {apart:.4f}" * bool(np.isfinite(apart)))
    return text + ("" if units == "1" else f" {units}")


def collected(
    parts: Sequence[xr.Dataset],
    ds: xr.Dataset,
    layout: Layout,
    seeds: Sequence[int],
    splits: Sequence[Split],
    fold: xr.DataArray | None,
) -> xr.Dataset:
    """Join the scores of all runs; seeds vary slowest in ``parts``."""
    rows = [
        _along("period", parts[at : at + len(splits)]) for at in range(0, len(parts), len(splits))
    ]
    scores = _along("seed", rows)
    trained, tested = [s.trained for s in splits], [s.tested for s in splits]
    attrs = {k: v for k, v in parts[0].attrs.items() if k in OF_ALL}
    if len(splits) == 1:
        scores = scores.isel(period=0)
        scores = scores.assign_coords(trained=trained[0], tested=tested[0])
    else:
        scores = scores.assign_coords(
            period=("period", np.arange(len(splits))),
            trained=("period", trained),
            tested=("period", tested),
        )
        scores.period.attrs = {"long_name": "number of the split in time"}
    scores.trained.attrs = {"long_name": "training period"}
    scores.tested.attrs = {"long_name": "test period"}
    scores = scores.assign_coords(seed=("seed", [int(seed) for seed in seeds]))
    scores.seed.attrs = {"long_name": "seed of first weights and batches", "units": "1"}
    if fold is not None:
        number = (fold.dims, fold.values)
        scores = scores.assign_coords(fold=number)
        scores.fold.attrs = {
            "long_name": "fold in which the cell was held back",
            "comment": f"{NONE} where nothing was observed",
        }
        for name in SCORES:  # cells of no fold were never held back
            scores[name] = scores[name].where(scores.fold != NONE)
    scores.attrs = attrs | {"title": f"cross-validation of {attrs.get('model', 'a model')}"}
    return scores


def _along(dim: str, parts: Sequence[xr.Dataset]) -> xr.Dataset:
    return xr.concat(
        parts, dim, data_vars="all", coords="minimal", compat="override", join="override",
        combine_attrs="override",
    )  # fmt: skip
