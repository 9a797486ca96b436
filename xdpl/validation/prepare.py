"""What every baseline starts from: the same cells, periods, losses and batches as `xdpl.fit`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import xarray as xr

from ..errors import DeclarationError
from ..fitting import checks
from ..fitting import settings as choose
from ..fitting.problem import settle, training_scores, versions
from ..fitting.run import fit
from ..layout import Layout, check_dataset
from ..losses import Loss
from ..networks import Network
from ..parameters.learner import Learner
from ..parameters.simulator import ProcessSimulator, Simulator
from ..parameters.table import Table
from ..prediction import Fit
from ..prediction.fit_record import FitSettings, Period, TrainingRecord
from ..process import ProcessModel
from ..training.objective import Objective
from ..training.run import Plan

__all__ = ["OWN", "Prepared", "prepare"]

OWN = ("who", "iterations", "rate", "whole")
"""Keywords of `prepare` that a baseline chooses itself."""


@dataclass
class Prepared:
    """A training set, read; and the choices made for it.

    Attributes
    ----------
    model, layout, losses
        As in a `Fit`.
    plan : Plan
        Cells and their batches.
    components, engine
        As given to `xdpl.fit`.
    epochs : int
        Epochs that make about ``iterations`` steps, if none were asked for.
    settings : dict
        For the summary.
    progress : bool
        Show a progress bar.
    """

    model: ProcessModel
    layout: Layout
    losses: dict[str, Loss]
    plan: Plan
    components: int
    engine: str
    epochs: int
    settings: dict[str, Any]
    progress: bool

    @property
    def classes(self) -> list[int]:
        """Classes of each attribute, 0 for a number."""
        return [len(role.classes or ()) for role in self.layout.attributes]

    @property
    def objective(self) -> Objective:
        """What training makes small."""
        return Objective(self.losses, self.simulator, self.layout.dt)

    @property
    def simulator(self) -> ProcessSimulator:
        """Runs the model."""
        return ProcessSimulator(self.model, self.engine)

    def conclude(
        self,
        network: Network,
        field: Learner | Table,
        losses: Sequence[float],
        seconds: float,
        kind: type[Fit] = Fit,
        simulator: Simulator | None = None,
    ) -> Fit:
        """Make the Fit, and score it over its own training period."""
        field.to("cpu").eval()
        cells = self.plan.cells
        record = TrainingRecord(
            cells=len(cells),
            batches=self.plan.batches,
            left_out=tuple(cells.findings.messages()),
            loss=tuple(losses),
            seconds=seconds,
            device=str(self.plan.device),
            versions=versions(),
        )
        result = kind(
            self.model, network, self.losses, self.layout, field, FitSettings.of(self.settings),
            record, label=cells.label, count=cells.count,
            simulator=self.simulator if simulator is None else simulator,
        )  # fmt: skip
        return replace(result, scores=training_scores(result, cells))


def prepare(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    who: str,
    iterations: int = 0,
    rate: float = 0.0,
    whole: bool = False,
    model: ProcessModel | type[ProcessModel] | str | None = None,
    attributes: Sequence[str] | None = None,
    forcings: Mapping[str, str] | None = None,
    loss: Loss | str | Mapping[str, Loss | str] | None = None,
    period: Period = None,
    cells: xr.DataArray | None = None,
    warmup: choose.Days | None = None,
    components: int = 1,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    categorical: Sequence[str] = (),
    engine: str = "auto",
    progress: bool = True,
    **unknown: Any,
) -> Prepared:
    """Read the training set of a baseline; keywords that are not named here are `xdpl.fit`'s.

    Parameters
    ----------
    who : str
        Name of the baseline, for messages.
    iterations : int
        Steps to make by default.
    rate : float
        Learning rate by default.
    whole : bool
        Whether all cells make one batch by default.
    """
    check_dataset(ds)
    for name in unknown:
        own = inspect.signature(prepare).parameters
        none = ", ".join(k for k in inspect.signature(fit).parameters if k not in own)
        raise DeclarationError(
            f"{who} has no keyword {name!r}. It takes those of xdpl.fit but for {none}."
        )
    for name, value in (("components", components), ("epochs", epochs), ("batch_size", batch_size)):
        checks.positive(name, value)
    checks.positive("learning_rate", learning_rate, whole=False)
    checks.check_seed(seed)
    checks.check_engine(engine)
    place = choose.resolve_device(device)
    problem = settle(
        ds, obs, model=model, attributes=attributes, forcings=forcings, loss=loss, period=period,
        cells=cells, warmup=warmup, categorical=categorical,
    )  # fmt: skip
    training = problem.read()
    usual = choose.default_batch_size(len(training))
    plan = Plan(
        training,
        seed=int(seed),
        batch_size=batch_size or (min(len(training), choose.LARGEST_BATCH) if whole else usual),
        window=choose.window_steps(None, problem.layout.dt),
        warmup=problem.warmup,
        by_block=False,
        device=place,
    )
    epochs = epochs or -(-iterations // plan.batches)
    settings: dict[str, Any] = {
        **problem.settings,
        "epochs": epochs,
        "batch_size": plan.batch_size,
        "learning_rate": learning_rate or rate,
        "seed": int(seed),
        "deviations": False,
        "components": components if components > 1 else None,
    }
    return Prepared(
        problem.model, problem.layout, problem.losses, plan, components, engine, epochs, settings,
        progress,
    )  # fmt: skip
