"""What the keywords of `fit` mean, and what is chosen where they are not given."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
import xarray as xr

from .. import losses as _losses
from .. import networks as _networks
from ..errors import DataError, DeclarationError, LayoutError, warn
from ..layout.periods import YEAR_DAYS
from ..losses import MSE, NSE, Loss
from ..networks import MLP, Dynamic, Network
from ..process import ProcessModel
from ..public import named
from ..runtime.distributed import ProcessGroup
from ..training.optimizer import OptimizerFactory, rate_of
from .checks import positive, yes_or_no

__all__ = [
    "Days",
    "default_batch_size",
    "default_epochs",
    "resolve_cells",
    "resolve_climate",
    "resolve_components",
    "resolve_deviations",
    "resolve_device",
    "resolve_dynamic",
    "resolve_losses",
    "resolve_network",
    "resolve_rate",
    "resolve_weights",
    "warmup_steps",
    "window_steps",
]

Days: TypeAlias = float | str | timedelta | np.timedelta64
"""A span of time: days as a number, or text such as "180D"."""

LEARNING_RATE = 5e-3
WINDOW_DAYS = 365.0
ITERATIONS = 1500
BATCH = 100
LARGEST_BATCH = 4096
MOST_DEVIATIONS = 100_000
"""Training cells up to which each has a deviation of its own, by default."""


def resolve_cells(cells: object, ds: xr.Dataset, space: tuple[str, ...]) -> xr.DataArray | None:
    """Return the mask of cells to train on in the order of the Dataset, matched by coordinates.

    Raises
    ------
    LayoutError
        If it is no boolean DataArray over the cells, or one of other cells.
    """
    if cells is None:
        return None
    if not isinstance(cells, xr.DataArray) or cells.dtype != bool or set(cells.dims) != set(space):
        found = (
            f"a DataArray of {cells.dtype} with dimensions {cells.dims}"
            if isinstance(cells, xr.DataArray)
            else f"a {type(cells).__name__}"
        )
        raise LayoutError(
            f"cells is {found}. Give a boolean DataArray with dimensions {space}, True where "
            "to train."
        )
    for dim in space:
        cells = _aligned(cells, ds, dim)
    return cells


def _aligned(cells: xr.DataArray, ds: xr.Dataset, dim: str) -> xr.DataArray:
    """Bring a mask into the order of the Dataset along a dimension, by position without names."""
    wanted, given = ds.indexes.get(dim), cells.indexes.get(dim)
    if wanted is None or given is None or not (wanted.is_unique and given.is_unique):
        lacking = abs(ds.sizes[dim] - cells.sizes[dim])
    else:
        position = given.get_indexer(wanted)
        lacking = int((position < 0).sum())
        cells = cells if lacking else cells.isel({dim: position})
    if lacking:
        raise LayoutError(
            f"cells lacks {lacking} of the {ds.sizes[dim]} values of {dim!r} that the Dataset has. "
            "Make it from the Dataset, for example cells = ds[variable].notnull()."
        )
    return cells


def resolve_network(network: Network | type[Network] | str | None) -> Network:
    """Return the network given or named, or the one of gA: a perceptron on attributes."""
    if network is None:
        return MLP()
    if isinstance(network, str):
        network = named("network", network, _networks.BUNDLED)
    if isinstance(network, type) and issubclass(network, Network):
        network = network()
    if not isinstance(network, Network):
        raise DeclarationError(
            f"network is {network!r}, not a network. Give one such as xdpl.networks.MLP()."
        )
    return network


def resolve_dynamic(
    dynamic: Dynamic | str | Sequence[str] | None, model: ProcessModel
) -> Dynamic | None:
    """Return which parameters move from day to day, and how; None where all are static.

    None stands for those that the model declares as dynamic.
    """
    if dynamic is None:
        dynamic = tuple(name for name, p in model.parameters.items() if p.dynamic)
    chosen = dynamic if isinstance(dynamic, Dynamic) else Dynamic(_names("dynamic", dynamic))
    for name in chosen.parameters:
        if name not in model.parameters:
            near = difflib.get_close_matches(str(name), model.parameters, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DeclarationError(
                f"dynamic names {name!r}, which is no parameter of {model.name}.{hint} "
                f"It has {', '.join(model.parameters)}."
            )
        if model.parameters[name].shared:
            raise DeclarationError(
                f"{name!r} of {model.name} can't be dynamic: it acts on the whole series after the "
                "time loop. Leave it out of dynamic=."
            )
    return chosen if chosen.parameters else None


def _names(keyword: str, given: object) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise DeclarationError(
            f"{keyword}={given!r} names no parameters. Give names: {keyword}=('soil_exponent',)."
        )
    return tuple(dict.fromkeys(names))


def default_batch_size(cells: int) -> int:
    """Cells a batch: about a hundred, more where there are very many."""
    return int(min(cells, max(BATCH, min(cells // 50, LARGEST_BATCH))))


def resolve_deviations(deviations: bool | None, cells: int) -> bool:
    """Whether cells have deviations of their own; not by default where they are very many.

    Every step updates the deviations of all cells, and memory holds three numbers more for each:
    with millions of cells that would be most of the work.
    """
    if deviations is not None:
        yes_or_no("deviations", deviations)
        return bool(deviations)
    if cells > MOST_DEVIATIONS:
        warn(
            f"{cells} cells are more than {MOST_DEVIATIONS}: none gets a deviation of its own from "
            "what the network gives it, which would slow down every step. Force them with "
            "deviations=True, or switch them off with deviations=False."
        )
    return cells <= MOST_DEVIATIONS


def resolve_components(components: int | None, model: ProcessModel) -> int:
    """Return the parallel parameter sets of each cell: as many as the model declares by default."""
    return model.parallel_sets if components is None else int(components)


def resolve_climate(climate: bool | None, attributes: Sequence[str] | None) -> bool:
    """Whether the network reads the climate of each cell; not where attributes were chosen."""
    if climate is None:
        return attributes is None
    yes_or_no("climate", climate)
    return bool(climate)


def default_epochs(batches_an_epoch: int) -> int:
    """Epochs that take about as many iterations as the bundled models need."""
    return max(3, -(-ITERATIONS // batches_an_epoch))


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Return the device: CUDA by default, where there is one."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as problem:
        raise DeclarationError(
            f"device={device!r} is unknown to torch. Use 'cpu', 'cuda' or 'cuda:1'."
        ) from problem
    if chosen.type not in ("cpu", "cuda"):
        raise DeclarationError(
            f"device={device!r} is of a kind that xdpl does not run on. Use 'cpu' or 'cuda'."
        )
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise DeclarationError(
            f"device={device!r} needs a GPU, and torch finds no CUDA device. Use device='cpu'."
        )
    return chosen


def check_alone(dynamic: Dynamic | None, group: ProcessGroup) -> None:
    """Raise DeclarationError where several processes would learn dynamic parameters."""
    if dynamic is not None and group.size > 1:
        raise DeclarationError(
            f"dynamic parameters can't be learned by {group.size} processes. Train them in one, "
            "or give dynamic=[]."
        )


def resolve_losses(
    loss: Loss | str | Mapping[str, Loss | str] | None,
    model: ProcessModel,
    observed: Mapping[str, str],
) -> dict[str, Loss]:
    """Return a loss for each observed output; ``observed`` is {model output: variable}.

    By default NSE per cell for fluxes, whose variance differs by orders of magnitude between
    cells, and the mean squared error for all else.
    """
    alone = _a_loss(loss)
    if isinstance(alone, Loss):
        return dict.fromkeys(observed, alone)
    if loss is None:
        return {name: _default_loss(model, name, len(observed) > 1) for name in observed}
    if not isinstance(loss, Mapping):
        raise DeclarationError(
            f"loss is {loss!r}, not a loss. Give one such as xdpl.losses.NSE(), or "
            "{variable: loss} for several observations."
        )
    chosen = {}
    for name, variable in observed.items():
        found = _a_loss(loss.get(variable, loss.get(name)))
        if not isinstance(found, Loss):
            raise DeclarationError(
                f"loss has no entry for {variable!r}, which is observed. "
                f"It has {', '.join(map(str, loss)) or 'none'}; "
                f"add {variable!r}: xdpl.losses.NSE()."
            )
        chosen[name] = found
    return chosen


def _a_loss(given: object) -> object:
    """An instance of a loss that was named, or given as a class; all else as it is."""
    if isinstance(given, str):
        given = named("loss", given, _losses.BUNDLED)
    return given() if isinstance(given, type) and issubclass(given, Loss) else given


def _default_loss(model: ProcessModel, output: str, several: bool) -> Loss:
    if model.outputs[output].units == "mm day-1":
        return NSE()
    # beside another observation the squared error is divided by the variance, too: only so do
    # quantities of different units add up
    return NSE(softening=0.0, relative_softening=0.2) if several else MSE()


def resolve_weights(
    weights: Mapping[str, float] | None, observed: Mapping[str, str]
) -> dict[str, float]:
    """Return the weight of each observed output's loss; ``observed`` is {model output: variable}.

    1 where none is given.
    """
    if weights is None:
        return dict.fromkeys(observed, 1.0)
    if not isinstance(weights, Mapping):
        raise DeclarationError(
            f"weights is {weights!r}, not a mapping. Give {{observed variable: number}}."
        )
    named = {**{o: o for o in observed}, **{v: o for o, v in observed.items()}}
    chosen = dict.fromkeys(observed, 1.0)
    for name, value in weights.items():
        if name not in named:
            raise DeclarationError(
                f"weights has an entry for {name!r}, which is not observed. "
                f"Give weights of {', '.join(observed.values())}."
            )
        positive(f"weights[{name!r}]", value, whole=False)
        if value is None or not math.isfinite(value):
            raise DeclarationError(
                f"weights[{name!r}]={value!r} can't be used. Give a finite number above 0."
            )
        chosen[named[name]] = float(value)
    return chosen


def warmup_steps(warmup: Days | None, dt: float, period_steps: int) -> int:
    """Steps of spin-up ahead of each window; a year by default.

    Parameters
    ----------
    warmup : int, float, str or timedelta, optional
        Days, or a span such as ``"180D"``.
    dt : float
        Length of a step in days.
    period_steps : int
        Steps of the training period.
    """
    if warmup is None:
        return round(YEAR_DAYS / dt)
    days = _days("warmup", warmup)
    if not (np.isfinite(days) and days >= 0):
        raise DeclarationError(f"warmup={warmup!r} can't be used. Give 0 or more days.")
    steps = round(days / dt)
    if steps > period_steps:
        raise DataError(
            f"warmup of {days:g} days is longer than the period of {period_steps * dt:g} days. "
            "Shorten warmup or lengthen period."
        )
    return steps


def window_steps(window: Days | None, dt: float) -> int:
    """Steps with loss in each window; a year by default, and a period that is shorter as a whole.

    Parameters
    ----------
    window : int, float, str or timedelta, optional
        Days, or a span such as ``"180D"``.
    dt : float
        Length of a step in days.
    """
    days = WINDOW_DAYS if window is None else _days("window", window)
    if not (np.isfinite(days) and days > 0):
        raise DeclarationError(f"window={window!r} can't be used. Give days above 0.")
    if round(days / dt) < 1:
        raise DeclarationError(
            f"window={window!r} is shorter than a time step of {dt:g} days. Give a longer one."
        )
    return round(days / dt)


def _days(keyword: str, span: Days) -> float:
    """Days of a span of time."""
    if isinstance(span, bool):
        raise DeclarationError(f"{keyword}={span!r} is no span of time. Give days: {keyword}=365.")
    try:
        if isinstance(span, (int, float, np.integer, np.floating)):
            return float(span)
        return float(pd.Timedelta(span) / pd.Timedelta(days=1))
    except (TypeError, ValueError) as problem:
        raise DeclarationError(
            f"{keyword}={span!r} can't be read as a span of time. Give days, such as {keyword}=365."
        ) from problem


def resolve_rate(learning_rate: float | None, optimizer: OptimizerFactory | None) -> float:
    """Return the highest learning rate: that of an optimizer of your own is its own."""
    if optimizer is None:
        return learning_rate or LEARNING_RATE
    if learning_rate is not None:
        raise DeclarationError(
            f"learning_rate={learning_rate!r} and optimizer= both give a learning rate. Give it to "
            "the optimizer alone: lambda weights: torch.optim.SGD(weights, lr=0.1)."
        )
    return rate_of(optimizer)
