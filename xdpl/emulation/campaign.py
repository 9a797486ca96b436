"""A surrogate in the making: its runs, its training, and what is known of it by now."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..blackbox import BlackBox
from ..surrogate import Emulator, EmulatorLSTM, Report, Surrogate
from . import check, design
from .sampling import complete
from .sites import Sites
from .store import DONE, RunStore
from .training import Runs, Schedule, train_emulator

__all__ = ["SAMPLED", "STEPPED", "Campaign", "learned_from", "train"]

SAMPLED, STEPPED = "sampled", "sensitivity"
WINDOW_DAYS = 730


@dataclass
class Campaign:
    """All that belongs to one surrogate in the making.

    Attributes
    ----------
    box, sites, store
        The true model, where it is run, and what was run.
    network : EmulatorLSTM
        Of the surrogate.
    options : dict
        Of `emulate`.
    device : torch.device
        Where training runs.
    report : Report
        Filled in on the way.
    numbers : dict of str to ndarray of int
        Numbers of the runs that this surrogate is made of, by kind. The store may hold others:
        they make no difference to it.
    """

    box: BlackBox
    sites: Sites
    store: RunStore
    network: EmulatorLSTM
    options: dict[str, Any]
    device: torch.device
    report: Report
    numbers: dict[str, NDArray[np.intp]] = field(default_factory=dict)

    @property
    def wanted(self) -> NDArray[np.intp]:
        """Numbers of all runs that this surrogate is made of."""
        return np.sort(np.concatenate(list(self.numbers.values())))

    @property
    def folder(self) -> Path:
        """Of runs and checkpoints."""
        return self.store.folder

    def run_missing(self) -> None:
        """Make all runs that are wanted and that the store does not have."""
        began = time.perf_counter()
        self.report.failed = complete(
            self.store, self.box, self.sites, self.wanted,
            scheduler=self.options["scheduler"], workers=self.options["workers"],
            progress=self.options["progress"], kept=self.options["kept"],
        )  # fmt: skip
        spent = self.report.seconds.get("true runs", 0.0)
        self.report.seconds["true runs"] = spent + time.perf_counter() - began
        self.report.runs = {kind: len(numbers) for kind, numbers in self.numbers.items()}

    def runs(self) -> Runs:
        """All runs as tensors; those that failed are NaN.

        Forcings are in memory: cells x steps. Outputs, cells x samples x steps, are on disk.
        """
        share = design.shares(self.store.parameter, self.box.parameters)
        return Runs(
            torch.from_numpy(self.sites.series),
            torch.from_numpy(share.astype(np.float32)),
            torch.from_numpy(self.store.cell.astype(np.int64)),
            torch.from_numpy(self.store.mapped(self.wanted)),
            self.sites.spin_up,
        ).to(self.device)

    def surrogate(self, emulator: Emulator) -> Surrogate:
        """The surrogate as it is by now."""
        declared = {kind: getattr(self.box, kind) for kind in ("forcings", "parameters", "outputs")}
        return Surrogate(
            emulator.to("cpu"), self.network, declared, self.box.name, self.sites.dt, self.report,
            self.box,
        )  # fmt: skip


def learned_from(campaign: Campaign) -> check.Split:
    """Runs to train on and those held out; the same cells whatever was added since."""
    store = campaign.store
    usable = np.sort(np.concatenate([v for k, v in campaign.numbers.items() if k != STEPPED]))
    usable = usable[store.status[usable] == DONE]
    return check.split(store.cell, usable, campaign.options["seed"])


def train(campaign: Campaign, emulator: Emulator | None, number: int) -> Emulator:
    """Train anew (number 0); or on, with half of each batch from the runs of a refinement."""
    began = time.perf_counter()
    options = campaign.options
    device = torch.device(campaign.device)
    chosen = learned_from(campaign).train
    runs = campaign.runs()
    recent = campaign.numbers[f"round {number}"] if number else np.empty(0, np.intp)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(options["seed"])
        if emulator is None:
            emulator = _untrained(campaign, runs, chosen)
        schedule = Schedule(
            epochs=max(1, options["epochs"] // (2 if number else 1)),
            batch_size=options["batch_size"],
            window=round(WINDOW_DAYS / campaign.sites.dt),
            learning_rate=options["learning_rate"] / (2 if number else 1),
            seed=options["seed"] + number,
            recent=np.intersect1d(recent, chosen),
        )
        identity = {
            "network": str(campaign.network), "from": emulator.digest if number else "",
            "runs": hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest(),
            "round": str(number),
            "schedule": str(
                (schedule.epochs, schedule.batch_size, schedule.learning_rate, schedule.seed)
            ),
        }  # fmt: skip
        folder = campaign.folder / "training" / _name(identity)
        losses = train_emulator(
            emulator.to(campaign.device).requires_grad_(True), runs, chosen, schedule,
            folder=folder, progress=options["progress"],
        )  # fmt: skip
    campaign.report.loss += losses
    spent = campaign.report.seconds.get("training", 0.0)
    campaign.report.seconds["training"] = spent + time.perf_counter() - began
    return emulator


def _untrained(campaign: Campaign, runs: Runs, chosen: NDArray[np.intp]) -> Emulator:
    """Return a network with random weights, and the statistics of runs."""
    box = campaign.box
    emulator = campaign.network.build(len(box.forcings), len(box.parameters), len(box.outputs))
    rows = torch.from_numpy(_some(chosen))
    cells = torch.from_numpy(_some(np.arange(len(campaign.sites))))
    emulator.learn_statistics(
        runs.forcing.cpu()[:, cells].flatten(0, 1),
        runs.output[rows][:, runs.spin_up :].flatten(0, 1),
    )
    return emulator


def _some(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Fewer than a thousand of them, for the scales."""
    return numbers[:: max(1, len(numbers) // 500)]


def _name(identity: Mapping[str, str]) -> str:
    """A folder for each training: a larger sample begins anew and leaves the smaller one's."""
    return hashlib.sha256(str(sorted(identity.items())).encode()).hexdigest()[:12]
