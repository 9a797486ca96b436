"""An LSTM that predicts the observation directly: no physics, no parameters; an upper reference."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from ..errors import DeclarationError, FitFileError, LayoutError
from ..networks import MLP
from ..parameters.learner import Learner
from ..prediction import Fit
from ..prediction.fit_record import Period
from ..process import ProcessModel
from ..public import hands_on, public
from ..runtime.files import PathLike
from ..runtime.random import RandomStream
from ..training.objective import Objective
from ..training.optimizer import adamw
from ..training.run import Run
from ..training.state import TrainState, WarmupCosine
from .prepare import OWN, Prepared, prepare

__all__ = ["Direct", "lstm"]

ITERATIONS = 1000
RATE = 5e-3
AT_A_TIME = 4_000_000
"""Values of one series that are looked at together."""
WINDOW_DAYS = 180
"""Days with loss in a step, and of spin-up at most: half a year is as good, and twice as fast."""


@hands_on(prepare, without=OWN)
def lstm(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    hidden: int = 64,
    dropout: float = 0.2,
    **keywords: Any,
) -> Fit:
    """Train one LSTM for all cells that turns forcings and attributes into the observation.

    It reads what the process model would read, with the same periods, loss and batches, and knows
    nothing of mass or energy (Kratzert et al. 2019, doi:10.5194/hess-23-5089-2019).

    It is trained on windows of half a year after a spin-up of half a year, through which no
    gradient runs; a shorter ``warmup`` is kept.

    Parameters
    ----------
    ds, obs, **keywords
        As of `xdpl.fit`, except those that shape and train a network (network, deviations,
        dynamic, past, precision), and weights, ensemble, validation, patience and checkpoint.
        ``model`` decides which forcings are read.
    hidden : int
        Width of the LSTM.
    dropout : float
        Share of its states dropped while training.

    Returns
    -------
    Direct
        With `simulate` and `evaluate` of a Fit, for what was observed.
    """
    if isinstance(hidden, bool) or not isinstance(hidden, int) or hidden < 1:
        raise DeclarationError(f"hidden={hidden!r} can't be used. Give a whole number above 0.")
    if not 0 <= dropout < 1:
        raise DeclarationError(f"dropout={dropout} is not a share. Give 0 <= dropout < 1.")
    began = time.perf_counter()
    ready = prepare(ds, obs, who="lstm", rate=RATE, **keywords)
    ready = _shortened(ready, keywords.get("epochs"))
    plan = ready.plan
    random = RandomStream(plan.seed, plan.device)
    with random.drawing():
        learner = _Predictor(ready.model, ready.classes, tuple(ready.losses), hidden, dropout)
    learner.random, learner.spin_up = random, plan.warmup
    learner.learn_statistics(plan.cells.attribute, None)
    learner.learn_series(*_statistics(ready))
    state = TrainState(
        learner.to(plan.device),
        adamw(learner, ready.settings["learning_rate"]),
        WarmupCosine(ready.epochs * plan.batches),
        random=random,
    )
    run = Run(state, Objective(ready.losses, learner, ready.layout.dt), plan, ready.epochs)
    stopped = run(None, ready.progress)
    if stopped is not None:
        raise stopped
    seconds = time.perf_counter() - began
    network = _Named(hidden=(hidden,), dropout=dropout)
    return ready.conclude(network, learner, run.history.loss, seconds, Direct, learner)


def _shortened(ready: Prepared, epochs: int | None) -> Prepared:
    """Shorter windows and spin-up, and the epochs that they ask for if none were given."""
    steps = round(WINDOW_DAYS / ready.layout.dt)
    plan = replace(ready.plan, window=steps, warmup=min(steps, ready.plan.warmup))
    epochs = epochs or -(-ITERATIONS // plan.batches)
    settings = {**ready.settings, "epochs": epochs, "warmup_days": plan.warmup * ready.layout.dt}
    return replace(ready, plan=plan, epochs=epochs, settings=settings)


@dataclass(frozen=True)
class _Named(MLP):
    """Stands for the LSTM in summaries."""

    def __str__(self) -> str:
        return f"LSTM in place of the model (hidden={self.hidden[0]}, dropout={self.dropout})"


def _statistics(ready: Prepared) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and spread of forcings and of observations over the training cells and period.

    Some cells of a block are looked at after the others, so that no more is held.
    """
    cells, period = ready.plan.cells, ready.plan.cells.period
    total: _Moments | None = None
    for group in cells.groups:
        pieces = -(-len(group) * (period.stop - period.start) // AT_A_TIME)
        for some in np.array_split(group, min(pieces, len(group))):
            part = cells.take(some, period.start, period.stop, 0)
            series = [*part.forcing.values(), *(part.observed[name] for name in ready.losses)]
            found = _Moments.of(series)
            total = found if total is None else total + found
    assert total is not None  # there are cells, or no training would have begun
    split = len(ready.layout.forcings)
    mean, spread = total.mean.float(), total.spread.clamp(min=1e-6).float()
    return mean[:split], spread[:split], mean[split:], spread[split:]


@dataclass(frozen=True)
class _Moments:
    """Of several series, (series,), in float64: values, their mean, their squared anomalies.

    Two are put together by Chan et al. 1983, doi:10.1080/00031305.1983.10483115.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, series: Sequence[Tensor]) -> _Moments:
        """What is not missing."""
        rows = []
        for one in series:
            values = one[~torch.isnan(one)].double()
            mean = float(values.sum()) / max(1, len(values))
            rows.append((len(values), mean, float(((values - mean) ** 2).sum())))
        return cls(*torch.tensor(rows, dtype=torch.float64).T)

    def __add__(self, other: _Moments) -> _Moments:
        count = self.count + other.count
        apart, share = other.mean - self.mean, other.count / count.clamp(min=1)
        between = apart**2 * self.count * share
        return _Moments(count, self.mean + apart * share, self.squares + other.squares + between)

    @property
    def spread(self) -> Tensor:
        """Standard deviation."""
        return (self.squares / self.count.clamp(min=1)).sqrt()


class _Embedding:
    """In the place of parameters: what the network says of a cell."""

    components = 1

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, raw: Tensor, daily: Tensor | None = None) -> dict[str, Tensor]:
        return {"embedding": raw}


class _Body(nn.Module):
    """All that is trained: called on attributes it gives their embedding, as any network."""

    def __init__(
        self, attributes: int, forcings: int, targets: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.width = max(4, hidden // 4)
        self.embedding = nn.Linear(attributes, self.width)
        self.lstm = nn.LSTM(forcings + self.width, hidden)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, targets))
        # keep what was read for long, at first: the gate to forget
        bias = dict(self.lstm.named_parameters())["bias_ih_l0"]
        with torch.no_grad():
            bias[hidden : 2 * hidden] = 3.0

    def forward(self, attributes: Tensor, cycle: Tensor | None = None) -> Tensor:
        embedded: Tensor = self.embedding(attributes)
        return embedded


class _Predictor(Learner):
    """An LSTM in the place of the process model; the rest is that of any `Learner`."""

    forcing_mean: Tensor
    forcing_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self,
        model: ProcessModel,
        classes: Sequence[int],
        targets: tuple[str, ...],
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__(MLP(), model, classes)
        forcings = len(model.forcings)
        self.body = _Body(self.encoder.size, forcings, len(targets), hidden, dropout)
        self.network = self.body
        self.transform = _Embedding(self.body.width)  # type: ignore[assignment]
        self.targets = targets
        self.spin_up, self.random = 0, RandomStream(0)
        for name, size in (("forcing", forcings), ("target", len(targets))):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    def learn_series(self, mean: Tensor, std: Tensor, target_mean: Tensor, spread: Tensor) -> None:
        """Keep the statistics of forcings (forcing,) and of observations (target,)."""
        self.forcing_mean.copy_(mean)
        self.forcing_std.copy_(std)
        self.target_mean.copy_(target_mean)
        self.target_std.copy_(spread)

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float,
        outputs: Sequence[str] | None = None,
        time: Sequence[object] | None = None,
        label: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        series = torch.stack([forcing[name] for name in self.model.forcings], dim=-1)
        series = (series - self.forcing_mean) / self.forcing_std
        static = parameter["embedding"].expand(len(series), -1, -1)
        states = self._states(torch.cat([series, static], dim=-1))
        with self.random.drawing():  # dropout, while training
            values = self.body.head(states)
        values = values * self.target_std + self.target_mean
        return {name: values[..., i] for i, name in enumerate(self.targets)}

    def _states(self, inputs: Tensor) -> Tensor:
        """Hidden states (time, cell, hidden); in training those of the window alone."""
        before = None
        if self.training and self.spin_up:
            with torch.no_grad():
                _, before = self.body.lstm(inputs[: self.spin_up])
            inputs = inputs[self.spin_up :]
        states: Tensor = self.body.lstm(inputs, before)[0]
        return states


@dataclass(frozen=True, eq=False, repr=False)
class Direct(Fit):
    """What `lstm` returns: a Fit without parameters."""

    def parameters(
        self,
        ds: xr.Dataset,
        *,
        deviations: bool = True,
        trust: bool = False,
        sets: bool | None = None,
    ) -> xr.Dataset:
        raise DeclarationError(
            "an LSTM that predicts the observation has no parameters to map. Use xdpl.fit, or ask "
            "it for simulate(ds) and evaluate(ds)."
        )

    @public(truth="true_model")
    def simulate(
        self,
        ds: xr.Dataset,
        period: Period = None,
        outputs: Sequence[str] | None = None,
        *,
        true_model: bool = False,
    ) -> xr.Dataset:
        if true_model:
            raise DeclarationError(
                "an LSTM that predicts the observation has no true model behind it. Leave "
                "true_model out."
            )
        wanted = tuple(self.losses) if outputs is None else tuple(outputs)
        missing = [name for name in wanted if name not in self.losses]
        if missing:
            raise LayoutError(
                f"the LSTM was not trained on {', '.join(missing)}. It predicts "
                f"{', '.join(self.losses)}."
            )
        return super().simulate(ds, period, wanted)

    def save(self, path: PathLike) -> Path | str:
        raise FitFileError(
            "an LSTM that predicts the observation can't be written as a fit file. Write what it "
            "predicts: fit.simulate(ds).to_netcdf(...)."
        )
