"""`fit`: from a Dataset with observations to a Fit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

import torch
import xarray as xr

from ..batches import Cells
from ..interrupts import interrupted
from ..layout import check_dataset
from ..losses import Loss
from ..networks import Dynamic, Network
from ..parameters.simulator import ProcessSimulator
from ..prediction.fit_record import FitSettings, Span
from ..prediction.result import Fit
from ..prediction.selection import reported_of
from ..process import ProcessModel
from ..public import public
from ..runtime.distributed import ProcessGroup, join
from ..training.callbacks import Callback
from ..training.checkpoint import check_folder
from ..training.objective import Objective
from ..training.optimizer import OptimizerFactory, described
from ..training.run import Plan
from . import checks
from . import settings as choose
from .blueprint import Blueprint
from .conclusion import concluded, gathered, left_by_interrupt
from .holdout import check_validation, hold_out, read_holdout
from .members import Recipe
from .problem import Problem, settle
from .settings import Days

__all__ = ["fit"]


class SharedKeywords(TypedDict, total=False):
    """Keywords of `fit` that every baseline has as well."""

    model: ProcessModel | type[ProcessModel] | str | None
    attributes: Sequence[str] | None
    forcings: Mapping[str, str] | None
    loss: Loss | str | Mapping[str, Loss | str] | None
    period: Span | None
    cells: xr.DataArray | None
    warmup: Days | None
    components: int | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    device: str | torch.device | None
    categorical: Sequence[str]
    engine: Literal["auto", "eager", "fused"]


class FitKeywords(SharedKeywords, total=False):
    """Keywords of `fit` that other functions hand on: all but obs, seed, checkpoint, progress."""

    network: Network | str | None
    deviations: bool | None
    weights: Mapping[str, float] | None
    dynamic: Dynamic | str | Sequence[str] | None
    ensemble: int
    past: Span | None
    validation: float | None
    patience: int | None
    precision: Literal["float32", "mixed"]
    window: Days | None
    optimizer: OptimizerFactory | None
    callbacks: Sequence[Callback]
    gradient_clip: float | None
    climate: bool | None


@public()
def fit(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    model: ProcessModel | type[ProcessModel] | str | None = None,
    attributes: Sequence[str] | None = None,
    forcings: Mapping[str, str] | None = None,
    network: Network | str | None = None,
    loss: Loss | str | Mapping[str, Loss | str] | None = None,
    period: Span | None = None,
    cells: xr.DataArray | None = None,
    warmup: Days | None = None,
    components: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    categorical: Sequence[str] = (),
    engine: Literal["auto", "eager", "fused"] = "auto",
    deviations: bool | None = None,
    weights: Mapping[str, float] | None = None,
    dynamic: Dynamic | str | Sequence[str] | None = None,
    ensemble: int = 1,
    past: Span | None = None,
    validation: float | None = None,
    patience: int | None = None,
    precision: Literal["float32", "mixed"] = "float32",
    window: Days | None = None,
    optimizer: OptimizerFactory | None = None,
    callbacks: Sequence[Callback] = (),
    gradient_clip: float | None = 1.0,
    climate: bool | None = None,
) -> Fit:
    """Learn the parameters of a process model from observations.

    Parameters
    ----------
    ds : Dataset
        Gridded (y, x) or basin-indexed, numpy or dask: forcings and observations with time,
        attributes without.
    obs : str or {variable: model output}
        What was observed; NaN is "not observed".
    model : ProcessModel or str, optional
        Or the name of a bundled one: "HBV". By default VIC for soil moisture and HBV for
        streamflow.
    attributes : sequence of str, optional
        What the network reads; every numeric variable without time by default.
    forcings : {model forcing: variable}, optional
        Recognised by standard_name and name by default.
    network : Network or str, optional
        Or the name of a bundled one: "LSTM". A perceptron by default.
    loss : Loss, str or {variable: Loss or str}, optional
        Or the name of a bundled one: "KGE". NSE per cell for fluxes, squared error for all else
        by default.
    period : slice, optional
        Times to train on; all by default.
    cells : DataArray of bool, optional
        Cells to train on, matched by their coordinates; all by default.
    warmup : float or str, optional
        Days of spin-up ahead of each window, without loss; a year by default. Taken from the
        time before, and from a repetition of the first year where there is none.
    components : int, optional
        Parallel parameter sets per cell whose outputs are averaged; by default as many as the
        model declares (8 for HBV and GR4J, 4 for VIC, 1 for others). Maps show the centre of the
        sets, and each set where ``components`` is given.
    epochs, batch_size, learning_rate : optional
        How long and how to train. A chunked Dataset's chunks are the batches unless
        ``batch_size`` is given.
    seed : int
        Of the network's first weights and of the batches.
    device : str, optional
        "cuda" where there is one, else "cpu".
    checkpoint : path, optional
        Folder from which an interrupted fit goes on.
    progress : bool
        Show a progress bar.
    categorical : sequence of str
        Attributes that are classes, besides those with ``flag_values``.
    engine : {"auto", "eager", "fused"}
        How the time loop of the model runs.
    deviations : bool, optional
        Let every observed cell deviate from what the network gives it (mixed effects): better
        where there are observations. All other cells get the network's parameters alone. By
        default with up to 100 000 training cells.
    weights : {variable: number}, optional
        Of the losses of several observations; 1 by default.
    dynamic : sequence of str or Dynamic, optional
        Parameters with one value per time step, from a network that reads the weather so far
        (`xdpl.networks.Dynamic`). None but those that the model declares so, by default.
    ensemble : int
        Members to train, with this seed and those after it. Maps show their centre; simulations
        of each are averaged. Their spread shows what the seed decides: ``parameters(trust=True)``.
    past : slice, optional
        Times whose observations the network reads besides the attributes (gZ): their statistics
        by month, and the mean weather. They carry no loss, and can't be tested on.
    validation : float, optional
        Share of the training cells that is not trained on, but looked at after every epoch: the
        learning rate falls and training stops when they gain no more, and the weights that were
        best for them are kept. Their labels decide which.
    patience : int, optional
        Epochs without gain after which training stops; a fifth of ``epochs`` by default.
    precision : {"float32", "mixed"}
        "mixed": in training the networks' matrix products are computed in bfloat16. Weights, the
        process model and all that is asked of the Fit stay in float32.
    window : float or str, optional
        Days with loss in each window; a year by default. Shorter ones train faster, and learn less
        of slow storages.
    optimizer : callable, optional
        Makes a `torch.optim.Optimizer` of the weights. Its learning rate is the highest one, so
        ``learning_rate`` can't be given beside it. AdamW by default.
    callbacks : sequence of Callback
        Look at the training run after each step and epoch, and may end it; see
        `xdpl.training.Callback`. All members of an ensemble are shown to the same ones.
    gradient_clip : float, optional
        Largest norm of the gradient of all weights together in a step; None: no limit.
    climate : bool, optional
        Let the network read the climate of each cell, mean and standard deviation of the model's
        forcings over the training period, besides its attributes. By default where ``attributes``
        is not given. Climate is kept by label for all cells of ``ds``; for other cells it comes
        from the forcings of the Dataset that is asked about.

    Returns
    -------
    Fit

    Raises
    ------
    LayoutError, UnitsError, DataError
        Something in the Dataset is missing, ambiguous or impossible; before any long work.
    DeclarationError
        A keyword is unknown or has an impossible value.
    NonFiniteLoss
        Training broke down; the error's ``fit`` has the last good weights.
    Interrupted
        Ctrl-C, a KeyboardInterrupt; the error's ``fit`` has the weights reached, or is None.

    References
    ----------
    Tsai et al. 2021, doi:10.1038/s41467-021-26107-z.

    Examples
    --------
    >>> import xdpl
    >>> ds = xdpl.tutorial.synthetic(cells=9, years=2)
    >>> fit = xdpl.fit(ds, obs="streamflow", epochs=1, progress=False)
    >>> list(fit.parameters(ds))[:2]
    ['threshold_temperature', 'snowfall_interval']

    Train on one year with another loss, and score the other year:

    >>> first, second = slice("2000-01-01", "2000-12-31"), slice("2001-01-01", "2001-12-30")
    >>> fit = ds.dpl.fit("streamflow", period=first, loss="KGE", epochs=1, progress=False)
    >>> scores = ds.dpl.evaluate(period=second)
    """
    check_dataset(ds)
    for name, value in (
        ("components", components), ("epochs", epochs), ("batch_size", batch_size),
        ("ensemble", ensemble),
    ):  # fmt: skip
        checks.positive(name, value)
    checks.positive("learning_rate", learning_rate, whole=False)
    checks.positive("gradient_clip", gradient_clip, whole=False)
    checks.check_seed(seed)
    checks.yes_or_no("progress", progress)
    checks.check_callbacks(callbacks)
    rate = choose.resolve_rate(learning_rate, optimizer)
    check_validation(validation, patience)
    checks.check_engine(engine)
    group, place = join(choose.resolve_device(device))
    checks.check_precision(precision, place)
    if checkpoint is not None:
        check_folder(checkpoint)
    problem = settle(
        ds, obs, model=model, attributes=attributes, forcings=forcings, loss=loss, period=period,
        cells=cells, warmup=warmup, categorical=categorical, past=past,
    )  # fmt: skip
    the_network = choose.resolve_network(network)
    moving = choose.resolve_dynamic(dynamic, problem.model)
    choose.check_alone(moving, group)
    given = choose.resolve_weights(weights, problem.variables)

    began = time.perf_counter()
    if choose.resolve_climate(climate, attributes):
        problem = problem.with_climate()
    watched = None
    if validation is not None:
        problem, watched = hold_out(problem, validation)
    training = problem.read(cycle=the_network.reads_forcings, group=group)
    own = choose.resolve_deviations(deviations, len(training))
    sets = choose.resolve_components(components, problem.model)
    blueprint = Blueprint(the_network, moving, sets, own, precision)
    length = choose.window_steps(window, problem.layout.dt)
    plan = _plan(problem, training, length, int(seed), batch_size, place, group)
    settings: dict[str, object] = {
        **problem.settings,
        "epochs": epochs or choose.default_epochs(plan.batches),
        "batch_size": plan.batch_size,
        "learning_rate": rate,
        "seed": int(seed),
        "deviations": own,
        "weights": given,
        "dynamic": list(blueprint.dynamic.parameters) if blueprint.dynamic else [],
        "ensemble": int(ensemble),
        "validation": validation,
        "precision": precision,
        **_unusual(
            window_days=None if window is None else length * problem.layout.dt,
            optimizer=None if optimizer is None else described(optimizer),
            gradient_clip=gradient_clip,
        ),
        "components": components,
        "climate": problem.climate is not None,
    }
    holdout = read_holdout(watched, plan, settings, patience) if watched is not None else None
    identity = blueprint.identity(problem) | settings
    make = blueprint.maker(problem, training, place)
    simulator = ProcessSimulator(problem.model, engine)
    objective = Objective(problem.losses, simulator, problem.layout.dt, given)
    chosen = FitSettings.of(settings)
    recipe = Recipe(
        make, simulator, objective, plan, chosen, identity, holdout, optimizer, tuple(callbacks)
    )
    trained = recipe.train(checkpoint, progress)
    result = gathered(problem, blueprint, simulator, training, trained, chosen)
    reported_of(result.reported, ds, problem.layout).update(training.findings.messages())
    result = concluded(result, training, trained, time.perf_counter() - began)
    if isinstance(trained.stopped, KeyboardInterrupt):
        raise interrupted(left_by_interrupt(result, checkpoint), result)
    return result


def _unusual(**chosen: object) -> dict[str, object]:
    """Settings that aren't those of before they could be chosen.

    So the checkpoint of an earlier version, which doesn't name them, is known again.
    """
    return {name: value for name, value in chosen.items() if value != getattr(FitSettings, name)}


def _plan(
    problem: Problem,
    training: Cells,
    window: int,
    seed: int,
    batch_size: int | None,
    device: torch.device,
    group: ProcessGroup,
) -> Plan:
    """Batches; a chunked Dataset's chunks, where no size was asked for."""
    return Plan(
        training,
        seed=seed,
        batch_size=batch_size or choose.default_batch_size(len(training)),
        window=window,
        warmup=problem.warmup,
        by_block=len(training.groups) > 1 and batch_size is None,
        device=device,
        group=group,
    )
