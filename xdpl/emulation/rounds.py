"""Refinement: learn parameters through the surrogate, run the true model there, train on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..errors import warn
from ..fitting import fit
from ..layout import labels
from ..scores import median
from ..surrogate import Emulator
from ..variables import Parameter
from . import check, design
from .campaign import Campaign, train
from .fit_digest import digest_of_fit
from .sites import Sites
from .store import DONE, RunStore

__all__ = ["refine"]

SPREAD = 0.08
"""Standard deviation of the runs around the learned parameters, as a share of their bounds."""


def refine(
    campaign: Campaign,
    emulator: Emulator,
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    keywords: Mapping[str, Any],
) -> Emulator:
    """Refine until surrogate and true model agree at the learned parameters.

    In each round parameters are learned through the surrogate, the true model is run with them and
    around them, and the surrogate is trained on, as in Tsai et al. 2021,
    doi:10.1038/s41467-021-26107-z.
    """
    options, store = campaign.options, campaign.store
    task = digest_of_fit(ds, obs, {**keywords, "model": campaign.surrogate(emulator)})
    for number in range(1, options["rounds"] + 1):
        kind = f"round {number}"
        digest = _digest_of_round(campaign, emulator, task, number)
        if not len(store.of_kind(kind, digest)):
            _say_others(store, kind)
            shares, cell = _learned(campaign, emulator, ds, obs, keywords, digest)
            near = design.around(
                shares, SPREAD / number, options["around"], options["seed"] + number
            )
            points = np.concatenate([shares[:, None], near], axis=1)
            values = design.physical(points.reshape(-1, shares.shape[1]), campaign.box.parameters)
            store.add(kind, np.repeat(cell, points.shape[1]), values, digest)
        campaign.numbers[kind] = store.of_kind(kind, digest)
        campaign.run_missing()
        campaign.report.rounds.append(_agreement(campaign, emulator, kind))
        if campaign.report.rounds[-1]["agreement"] >= options["agreement"]:
            break
        emulator = train(campaign, emulator, number)
    return emulator


def _digest_of_round(campaign: Campaign, emulator: Emulator, task: str, number: int) -> str:
    """What a round is made for: all that decides its runs, as a digest.

    Where it is the same, the runs would be the same; they need not be made again. What was learned
    before (samples, training, earlier rounds) is in the weights.
    """
    options = campaign.options
    decides = (task, emulator.digest, number, options["seed"], options["around"], SPREAD)
    return hashlib.sha256(repr(decides).encode()).hexdigest()[:16]


def _say_others(store: RunStore, kind: str) -> None:
    """Warn that a round is made although the store has one: for something else."""
    there = store.all_but(np.empty(0, np.intp)).get(kind, 0)
    if there:
        warn(
            f"{str(store.folder)!r} holds {there} runs of {kind} that were made for other "
            "observations, attributes, periods or settings. They are kept, but not used: "
            f"{kind} is made anew. To go on from them, make the same call as then."
        )


def _learned(
    campaign: Campaign,
    emulator: Emulator,
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    keywords: Mapping[str, object],
    digest: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Learned parameters as shares of their bounds, (cell, parameter), and the cells' sites."""
    options = campaign.options
    folder = campaign.folder / "fits" / digest
    given = {
        "seed": options["seed"], "progress": options["progress"], "device": campaign.device,
        "checkpoint": folder, **keywords, "model": campaign.surrogate(emulator),
    }  # fmt: skip
    maps = fit(ds, obs, **given).parameters(ds)
    return _by_label(campaign.sites, maps.compute(), campaign.box.parameters)


def _by_label(
    sites: Sites, maps: xr.Dataset, parameters: Mapping[str, Parameter]
) -> tuple[np.ndarray, np.ndarray]:
    """Bring maps into the order of the sites; cells without parameters are left out."""
    space = sites.layout.space
    columns = []
    for name in parameters:
        mapped = maps[name]
        if "component" in mapped.dims:  # the true model is run at the mean of the components
            mapped = mapped.mean("component")
        columns.append(np.asarray(mapped.transpose(*space)).reshape(-1))
    values = np.stack(columns, axis=-1).astype(np.float64)
    name_of = labels(maps, sites.layout)
    order = {str(label): i for i, label in enumerate(name_of)}
    at = np.array([order.get(str(label), -1) for label in sites.label])
    there = (at >= 0) & np.isfinite(values[at]).all(-1)
    cell = np.flatnonzero(there)
    return design.shares(values[at[cell]], parameters), cell


def _agreement(campaign: Campaign, emulator: Emulator, kind: str) -> dict[str, float]:
    """How well the surrogate reproduces the true model at the learned parameters."""
    index = campaign.numbers[kind]
    learned = index[:: campaign.options["around"] + 1]
    learned = learned[campaign.store.status[learned] == DONE]
    each = check.errors(emulator.to(campaign.device), campaign.runs(), learned)[0].min(1)
    known = bool((~np.isnan(each)).any())
    return {
        "agreement": median(each),
        "lower": float(np.quantile(each[~np.isnan(each)], 0.1)) if known else float("nan"),
        "added": float(len(index)),
    }
