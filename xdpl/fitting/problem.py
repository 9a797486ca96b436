"""What a fit and every baseline settle before training: model, roles, period, losses, cells."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from .. import models as _models
from ..batches import Cells, Loader, Task
from ..errors import warn
from ..layout import Layout, choose_output, recognise
from ..layout.periods import resolve_period
from ..losses import Loss
from ..parameters.cell_inputs import CellInputs
from ..parameters.simulator import simulate_mean
from ..prediction.climate_table import ClimateTable, read_climate
from ..prediction.fit_record import Period
from ..prediction.fit_state import FitState
from ..prediction.past_observations import masked, read_past, settle_past
from ..prediction.selection import canonical, needed
from ..process import ProcessModel, as_model
from ..runtime.distributed import ALONE, ProcessGroup
from ..scores import median, score
from ..training.step_memory import values_at_a_time
from . import settings as choose

__all__ = ["Problem", "settle", "training_scores", "versions"]

SCORED = 5000
"""Cells whose scores make up the medians of a summary, where not all are in memory."""

SCORED_VALUES = 20_000_000
"""Values of one forcing that are simulated at a time for them, where there is room."""


@dataclass(frozen=True)
class Problem:
    """What is to be learned from what; nothing but metadata and samples has been read.

    Attributes
    ----------
    ds, model, layout, losses
        The Dataset, and the rest as in a `Fit`.
    span : slice
        Steps of the training period.
    warmup : int
        Steps of spin-up ahead of each window.
    wanted : DataArray of bool, optional
        Cells to train on.
    past : slice, optional
        Steps whose observations the network reads; they carry no loss.
    climate : ClimateTable, optional
        Climate of the cells, where the network reads it.
    """

    ds: xr.Dataset
    model: ProcessModel
    layout: Layout
    losses: dict[str, Loss]
    span: slice
    warmup: int
    wanted: xr.DataArray | None
    past: slice | None = None
    climate: ClimateTable | None = None

    @property
    def variables(self) -> dict[str, str]:
        """The observed variable of each model output that is trained on."""
        return {output: role.variable for output, role in self.layout.observed.items()}

    @property
    def settings(self) -> dict[str, object]:
        """Period and spin-up, as the settings of a Fit hold them."""
        return {
            "period": self._days(self.span),
            "warmup_days": self.warmup * self.layout.dt,
            "past": None if self.past is None else self._days(self.past),
        }

    def with_climate(self) -> Problem:
        """The same, with the climate of all cells of the Dataset, whose forcings are read."""
        return replace(self, climate=read_climate(self.ds, self.layout, self.span))

    def _days(self, span: slice) -> list[str]:
        times = self.ds.indexes[self.layout.time]
        return [str(times[span.start])[:10], str(times[span.stop - 1])[:10]]

    def read(self, cycle: bool = False, report: bool = True, group: ProcessGroup = ALONE) -> Cells:
        """Find the training cells; the record starts where the first window's spin-up does.

        Parameters
        ----------
        cycle : bool
            Whether the network reads the annual cycle of the forcings.
        report : bool
            Warn of what was left out.
        group : ProcessGroup
            As of `Cells`.
        """
        first = max(0, self.span.start - self.warmup)
        source = needed(self.ds, self.layout)
        if self.past is not None:
            source = masked(source, self.layout, self.past)
        training = Cells(
            source.isel({self.layout.time: slice(first, self.span.stop)}),
            self.layout,
            period=slice(self.span.start - first, self.span.stop - first),
            losses=self.losses,
            wanted=self.wanted,
            cycle=cycle,
            group=group,
        )
        if report:
            training.look_at_balance()
            training.findings.warn()
        if self.climate is not None:
            training.climate = self.climate.rows(training.label)
        if self.past is not None:
            training.past = read_past(self.ds, self.layout, self.past, training.label)
        return training


def settle(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    model: ProcessModel | type[ProcessModel] | str | None,
    attributes: Sequence[str] | None,
    forcings: Mapping[str, str] | None,
    loss: Loss | str | Mapping[str, Loss | str] | None,
    period: Period,
    cells: xr.DataArray | None,
    warmup: choose.Days | None,
    categorical: Sequence[str],
    past: Period = None,
) -> Problem:
    """Turn the keywords of `xdpl.fit` that describe the problem into a Problem."""
    the_model, observed = _choose_model(ds, obs, model)
    layout = canonical(
        recognise(
            ds, the_model, obs=observed, forcings=forcings, attributes=attributes,
            categorical=categorical, period=period,
        )
    )  # fmt: skip
    span = resolve_period(ds, layout.time, period)
    span, seen_before = settle_past(ds, layout.time, span, past)
    spin_up = choose.warmup_steps(warmup, layout.dt, span.stop - span.start)
    variables = {output: role.variable for output, role in layout.observed.items()}
    losses = choose.resolve_losses(loss, the_model, variables)
    wanted = choose.resolve_cells(cells, ds, layout.space)
    return Problem(ds, the_model, layout, losses, span, spin_up, wanted, seen_before)


def _choose_model(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    model: ProcessModel | type[ProcessModel] | str | None,
) -> tuple[ProcessModel, dict[str, str]]:
    """Return the model and {variable: output}; the default model is that of what was observed."""
    candidates = _models.BUNDLED if model is None else (as_model(_models.bundled(model)),)
    chosen = choose_output(ds, obs, candidates)
    which, _ = next(iter(chosen.values()))
    return as_model(which), {variable: output for variable, (_, output) in chosen.items()}


@torch.no_grad()
def training_scores(result: FitState, training: Cells) -> dict[str, dict[str, float]]:
    """Median over the training cells of each score in the training period."""
    learner, layout = result.learner, result.layout
    rows: dict[str, list[dict[str, NDArray[np.float64]]]] = {name: [] for name in result.losses}
    for loaded in Loader(training, training.year)(_to_score(training)):
        batch = loaded.to(torch.device("cpu"))
        cycle = batch.cycle if learner.reads_forcings else None
        inputs = CellInputs(batch.attribute, cycle, batch.index, batch.forcing, layout.dt)
        simulated = simulate_mean(
            result.simulator,
            batch.forcing,
            learner.each(inputs),
            dt=layout.dt,
            outputs=tuple(result.losses),
        )
        for name in result.losses:
            observed = batch.observed[name].numpy()
            like = result.losses[name].averaged(simulated[name])[training.year :]
            rows[name].append(score(like.numpy(), observed))
    found = {
        name: {k: np.concatenate([one[k] for one in found]) for k in found[0]}
        for name, found in rows.items()
    }
    for name, each in found.items():
        _say_constant(layout.observed[name].variable, layout.time, each)
    return {name: {k: median(v) for k, v in each.items()} for name, each in found.items()}


def _say_constant(variable: str, time: str, scores: Mapping[str, NDArray[np.float64]]) -> None:
    """Warn of cells whose observations have no variance, so that some scores are undefined."""
    seen = scores["n"] > 0
    constant = int((seen & np.isnan(scores["nse"]) & ~np.isnan(scores["rmse"])).sum())
    if constant:
        warn(
            f"{constant} of {int(seen.sum())} cells {'has' if constant == 1 else 'have'} "
            f"observations of {variable} that never change in the training period: correlation, "
            "NSE and KGE are NaN there. Leave out what is no observation: "
            f'cells=ds["{variable}"].std("{time}") > 0.'
        )


def _to_score(training: Cells) -> Iterator[Task]:
    """All cells; where they aren't in memory, those of some blocks, so that not all is read."""
    period = training.period
    groups = training.groups if not training.in_memory else [np.arange(len(training))]
    at_random = np.random.default_rng(0).permutation(len(groups))
    size = max(1, values_at_a_time(SCORED_VALUES) // (training.steps + training.year))
    done = 0
    for number in at_random:
        group = groups[number]
        for at in range(0, len(group), size):
            yield Task(group[at : at + size], period.start, period.stop)
        done += len(group)
        if not training.in_memory and done >= SCORED:
            return


def versions() -> dict[str, str]:
    """Versions of what a fit was made with."""
    found = {"python": platform.python_version()}
    for package in ("xdpl", "torch", "xarray"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that was not installed
            found[package] = "uninstalled"
    return found
