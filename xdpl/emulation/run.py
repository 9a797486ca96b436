"""`emulate`: from a black box and a Dataset to a surrogate."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from ..blackbox import BlackBox
from ..errors import DeclarationError
from ..fitting import checks
from ..fitting import settings as choose
from ..fitting.run import FitKeywords, Span
from ..public import public
from ..runtime.files import as_path
from ..surrogate import Emulator, EmulatorLSTM, Report, Surrogate
from . import check, design
from .campaign import SAMPLED, STEPPED, Campaign, learned_from, train
from .rounds import refine
from .sites import Sites, find_sites
from .store import DONE, RunStore, held
from .store_checks import disk_errors
from .training import LEARNING_RATE, Runs, pieces

__all__ = ["emulate"]

EPOCHS = 40
BATCH = 128


@public()
def emulate(
    box: BlackBox,
    ds: xr.Dataset,
    *,
    samples: int = 32,
    network: EmulatorLSTM | None = None,
    rounds: int = 0,
    obs: str | Mapping[str, str] | None = None,
    fit: FitKeywords | None = None,
    around: int = 3,
    agreement: float = 0.98,
    design: Literal["sobol", "latin hypercube"] = "sobol",
    forcings: Mapping[str, str] | None = None,
    period: Span | None = None,
    cells: xr.DataArray | None = None,
    store: str | Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    sensitivity: int = 16,
    seed: int = 0,
    device: str | torch.device | None = None,
    scheduler: object = None,
    workers: int | None = None,
    progress: bool = True,
) -> Surrogate:
    """Train a surrogate of a model that can't be differentiated, on runs of it.

    Parameters
    ----------
    box : BlackBox
        The true model.
    ds : Dataset
        Cells with the forcings of the model; and, for refinement, observations and attributes.
    samples : int
        Parameter sets in each cell. A larger number in a second call extends the first.
    network : EmulatorLSTM, optional
        Sizes of the LSTM.
    rounds : int
        Refinements at most: parameters are learned through the surrogate, the true model is run
        with them and around them, and the surrogate is trained on.
    obs, fit : optional
        For refinement: what was observed, and further keywords of `xdpl.fit`.
    around : int
        Runs near the learned parameters of each cell, in each round.
    agreement : float
        Median NSE of surrogate and true model at the learned parameters that ends refinement.
    design : {"sobol", "latin hypercube"}
        How parameters are sampled over their bounds.
    forcings, period, cells : optional
        As of `xdpl.fit`: variables, and where and when the model is run.
    store : path, optional
        Folder of the runs (zarr) and of checkpoints. The same call goes on where it was
        interrupted, and gives what it had given without. Runs that another call left there are
        used where this one would make the very same, and left alone otherwise, as are rounds
        made for other observations or with other settings; ``report.unused`` counts them. By
        default nothing is kept.
    epochs, batch_size, learning_rate : optional
        Of the training, in epochs of 50 steps.
    sensitivity : int
        Cells in which the response to each parameter is compared with the true model's, by
        two runs for each parameter.
    seed : int
        Of samples, first weights and batches.
    device : str, optional
        "cuda" where there is one, else "cpu".
    scheduler, workers : optional
        How runs are made side by side: "threads", "processes", "synchronous" or a
        distributed.Client; and how many at a time.
    progress : bool
        Show progress bars.

    Returns
    -------
    Surrogate
        A process model: ``ds.dpl.fit(obs=..., model=surrogate)``. Its ``report`` has held-out
        errors by output and parameter, the response to each parameter beside the true
        model's, the training ranges and each round's agreement.

    Raises
    ------
    ModelRunError
        More than a tenth of the runs failed, with the count by cause.
    DeclarationError
        A keyword is unknown or impossible, or an optional package is missing.
    FitFileError
        The store holds runs of something else.

    References
    ----------
    Tsai et al. 2021, doi:10.1038/s41467-021-26107-z.

    Examples
    --------
    >>> import numpy as np, xdpl
    >>> def bucket(forcing, parameter):
    ...     storage, flow = 20.0, []
    ...     for rain in forcing["precipitation"]:
    ...         storage += rain
    ...         flow.append(parameter["recession"] * storage)
    ...         storage -= flow[-1]
    ...     return {"streamflow": np.array(flow)}
    >>> box = xdpl.blackbox.Function(
    ...     bucket,
    ...     forcings={"precipitation": xdpl.Forcing("mm day-1", names=("prcp",))},
    ...     parameters={"recession": xdpl.Parameter("day-1", bounds=(0.05, 0.9))},
    ...     outputs={"streamflow": xdpl.Output("mm day-1", names=("streamflow",))},
    ... )
    >>> ds = xdpl.tutorial.synthetic(cells=9, years=2)
    >>> surrogate = xdpl.emulate(
    ...     box, ds, samples=8, epochs=1, sensitivity=0, scheduler="synchronous", progress=False
    ... )
    >>> fit = xdpl.fit(ds, "streamflow", model=surrogate, epochs=1, progress=False)
    """
    _check(box, network, obs, rounds=rounds, sensitivity=sensitivity, around=around)
    for name, value in (
        ("samples", samples), ("epochs", epochs), ("batch_size", batch_size), ("workers", workers),
    ):  # fmt: skip
        checks.positive(name, value)
    checks.positive("learning_rate", learning_rate, whole=False)
    checks.check_seed(seed)
    folder = None if store is None else as_path(store, "store")
    place = choose.resolve_device(device)
    sites = find_sites(ds, box, forcings=forcings, period=period, cells=cells)
    options = {
        "epochs": epochs or EPOCHS, "batch_size": batch_size or BATCH, "seed": int(seed),
        "learning_rate": learning_rate or LEARNING_RATE, "sensitivity": sensitivity,
        "samples": samples, "design": design, "rounds": rounds, "around": around,
        "agreement": agreement, "scheduler": scheduler, "workers": workers, "progress": progress,
        "kept": store is not None,
    }  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="xdpl-runs-") as temporary,
        held(folder := folder or Path(temporary)),
        disk_errors(folder),
    ):
        kept = RunStore(
            folder, _identity(box, sites, seed), list(box.parameters), list(box.outputs),
            len(sites.time),
        )  # fmt: skip
        report = Report(cells=len(sites))
        campaign = Campaign(box, sites, kept, network or EmulatorLSTM(), options, place, report)
        _plan(campaign)
        campaign.run_missing()
        emulator = train(campaign, None, 0)
        if rounds:
            assert obs is not None  # checked before anything was run
            keywords = {"forcings": forcings, "period": period, "cells": cells, **(fit or {})}
            emulator = refine(campaign, emulator, ds, obs, keywords)
        _judge(campaign, emulator)
        return campaign.surrogate(emulator)


def _check(
    box: object, network: object, obs: object, *, rounds: int, sensitivity: int, around: int
) -> None:
    if not isinstance(box, BlackBox):
        raise DeclarationError(
            f"box is {box!r}, not a black box. Give one such as xdpl.blackbox.Function(...) or "
            "an instance of your own subclass of xdpl.BlackBox."
        )
    if network is not None and not isinstance(network, EmulatorLSTM):
        raise DeclarationError(
            f"network is {network!r}. Give sizes: xdpl.surrogate.EmulatorLSTM(hidden=128)."
        )
    for name, value in (("rounds", rounds), ("sensitivity", sensitivity), ("around", around)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise DeclarationError(f"{name}={value!r} can't be used. Give a whole number from 0.")
    if rounds and obs is None:
        raise DeclarationError(
            f"rounds={rounds} learn parameters from observations, and obs was not given. Give "
            'obs="variable", or rounds=0.'
        )


def _identity(box: BlackBox, sites: Sites, seed: int) -> dict[str, str]:
    return {
        "model": box.name,
        "parameters": str({k: (p.bounds, p.scale) for k, p in box.parameters.items()}),
        "outputs": str({k: o.units for k, o in box.outputs.items()}),
        "forcings": str({k: f.units for k, f in box.forcings.items()}),
        "cells and weather": sites.fingerprint,
        "seed": str(seed),
    }


def _plan(campaign: Campaign) -> None:
    """Choose the samples, and the runs that show the response to each parameter."""
    store, box, options = campaign.store, campaign.box, campaign.options
    cells, size = len(campaign.sites), len(box.parameters)
    there = len(store.of_kind(SAMPLED, options["design"]))
    wanted = cells * options["samples"]
    if wanted > there:
        points = design.draw(options["design"], size, there, wanted - there, options["seed"])
        store.add(
            SAMPLED,
            np.arange(there, wanted) % cells,
            design.physical(points, box.parameters),
            options["design"],
        )
    campaign.numbers[SAMPLED] = store.of_kind(SAMPLED, options["design"])[:wanted]
    if not options["sensitivity"]:
        return
    chosen_for = f"{options['sensitivity']} cells"
    if not len(store.of_kind(STEPPED, chosen_for)):
        draw = np.random.default_rng([options["seed"], 5])
        chosen = np.sort(draw.permutation(cells)[: options["sensitivity"]])
        centre = draw.uniform(check.STEP, 1 - check.STEP, (len(chosen), 1, 1, size))
        step = check.STEP * np.eye(size)[:, None, :] * np.array([-1.0, 1.0])[:, None]
        points = np.clip(centre + step, 0, 1)  # (cell, parameter, below and above, parameter)
        store.add(
            STEPPED,
            np.repeat(chosen, 2 * size),
            design.physical(points.reshape(-1, size), box.parameters),
            chosen_for,
        )
    campaign.numbers[STEPPED] = store.of_kind(STEPPED, chosen_for)


def _judge(campaign: Campaign, emulator: Emulator) -> None:
    """Fill in the report: errors held out, responses to parameters, ranges."""
    store, box, report = campaign.store, campaign.box, campaign.report
    runs, split = campaign.runs(), learned_from(campaign)
    emulator.to(campaign.device)
    names = list(box.parameters), list(box.outputs)
    away, inside = (check.errors(emulator, runs, index) for index in (split.cells, split.runs))
    report.held_out = check.held_out({"cells": away, "runs": inside}, names[1])
    share = runs.share.cpu().numpy()[np.concatenate([split.cells, split.runs])]
    report.by_parameter = check.thirds(np.concatenate([away[0], inside[0]]), share, *names)
    stepped = campaign.numbers.get(STEPPED, np.empty(0, np.intp))
    if len(stepped):
        pairs = np.where(store.status[stepped] == DONE, stepped, -1)
        report.sensitivity = check.responses(
            emulator, runs, pairs.reshape(-1, len(names[0]), 2), *names
        )
    report.ranges = _ranges(campaign, runs, split.train)
    report.unused = store.all_but(campaign.wanted)


def _ranges(
    campaign: Campaign, runs: Runs, trained: NDArray[np.intp]
) -> dict[str, tuple[float, float]]:
    store, box = campaign.store, campaign.box
    found = {k: (float(v.min()), float(v.max())) for k, v in campaign.sites.forcing.items()}
    for name, column in zip(box.parameters, store.parameter[trained].T, strict=True):
        found[name] = (float(column.min()), float(column.max()))
    ends = [torch.aminmax(runs.true(some).flatten(0, 1), dim=0) for some in pieces(trained)]
    low = torch.stack([end.min for end in ends]).amin(0).tolist()
    high = torch.stack([end.max for end in ends]).amax(0).tolist()
    return found | dict(zip(box.outputs, zip(low, high, strict=True), strict=True))
