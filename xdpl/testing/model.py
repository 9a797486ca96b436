"""Check of a process model: declarations, one step, and whole runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..engine import Namespace
from ..errors import DeclarationError, EngineWarning
from ..process import ProcessModel, StepModel, as_model
from ..units import convertible
from .draws import draw_parameters, draw_weather
from .run import Run, Tensors, described, explained, require, weighted

__all__ = ["check_model"]

_EXPLODED = 1e6  # what an initial state may move outputs by; sound models stay below 100


def check_model(
    model: ProcessModel | type[ProcessModel],
    *,
    forcing: Mapping[str, Tensor] | None = None,
    steps: int = 120,
    tolerance: float = 1e-9,
    seed: int = 0,
) -> None:
    """Check that a process model can be learned: contract, bounds, gradients, balance, engines.

    Checked are the names and shapes that ``step`` returns, that nothing is changed in place, that
    no cell depends on others, that every parameter has an influence, that outputs and gradients
    are finite for parameters anywhere within their bounds and for extreme weather, that gradients
    don't explode as they do where a step overshoots, that a run in two halves equals a run in
    one, that two equal components equal one, that the fused engine agrees with the eager one,
    and, where the model declares ``water_balance``, that water is neither made nor lost.

    Parameters
    ----------
    model : ProcessModel
        An instance, or a class whose options all have defaults.
    forcing : mapping of str to Tensor (time, cell), optional
        Drawn from the units of the forcings by default: weather of many climates, with cells
        of no rain, of 300 mm a day, of -50 degC, of 45 degC and of no evaporation.
    steps : int
        Number of steps of the drawn forcing.
    tolerance : float
        Largest imbalance, relative to all water that came in or was stored, in float64.
    seed : int
        Of the parameters and of the weather.

    Raises
    ------
    DeclarationError
        At the first check that fails: what was found, with which parameters, and what to do.
    """
    model = as_model(model)
    _check_declarations(model)
    given, learned = forcing, set[str]()
    for dt in sorted(set(model.timesteps)):
        drawn = given if given is not None else draw_weather(model, steps=steps, dt=dt, seed=seed)
        weather = {name: value.double() for name, value in drawn.items()}
        cells = next(iter(weather.values())).shape[1]
        for where in ("middle", "within", "at bounds"):
            parameter = draw_parameters(model, cells=cells, where=where, seed=seed)
            run = Run(model, weather, parameter, dt, where)
            if isinstance(model, StepModel):
                _check_step(model, run)
            _check_finite(run)
            learned |= _check_gradients(run)
            _check_balance(run, tolerance)
    idle = ", ".join(name for name in model.parameters if name not in learned)
    require(
        not idle,
        f"no output of {model.name} changes with the parameter {idle}, so nothing can be learned "
        "of it. Use it in step, or remove its declaration",
    )
    _check_continuation(run)
    _check_cells(run)
    _check_components(run)
    _check_engines(run)


def _check_declarations(model: ProcessModel) -> None:
    for kind in ("forcings", "parameters", "outputs"):
        require(bool(getattr(model, kind)), f"{model.name} declares no {kind}")
    require(
        type(model)(**model.options) == model,
        f"{model.name}(**options) differs from the model itself: a fit could not be loaded again",
    )
    declared: dict[str, Any] = {
        **model.forcings,
        **model.parameters,
        **model.states,
        **model.outputs,
    }
    for name, variable in declared.items():
        require(
            convertible(f"1 {variable.units}", variable.units),  # equal strings are not parsed
            f"units {variable.units!r} of {name} of {model.name} are unknown. Write them as in "
            "'mm day-1', 'degC' or '1'",
        )
    low, high = model.timesteps
    require(0 < low <= high, f"timesteps {model.timesteps} of {model.name} are no interval of days")


def _check_step(model: StepModel, run: Run) -> None:
    """One step: all that is declared and nothing else, in the right shapes, nothing in place."""
    cells = next(iter(run.forcing.values())).shape[1]
    looped = {k: run.parameter[k] for k, p in model.parameters.items() if not p.shared}
    given = (
        {name: value[0].unsqueeze(-1) for name, value in run.forcing.items()},
        run.initial(),
        looped,
    )
    require(
        set(given[1]) == set(model.states),
        f"initial_state of {model.name} returns {sorted(given[1])}, declared are "
        f"{sorted(model.states)}",
    )
    before = [{k: v.clone() for k, v in group.items()} for group in given]
    forcing, state, parameter = (Namespace(**group) for group in given)
    states, outputs = _stepped(model, run, forcing, state, parameter)
    changed = [
        k for old, new in zip(before, given, strict=True) for k in old if not old[k].equal(new[k])
    ]
    require(
        not changed,
        f"step of {model.name} changes {', '.join(changed)} in place. Return new tensors",
    )
    for kind, returned, wanted in (
        ("states", states, model.states),
        ("outputs", outputs, model.outputs),
    ):
        require(
            set(returned) == set(wanted),
            f"step of {model.name} returns the {kind} {sorted(returned)}, declared are "
            f"{sorted(wanted)}",
        )
        for name, value in returned.items():
            size = model.states[name].size if kind == "states" else 1
            shape = (cells, 1) if size == 1 else (cells, 1, size)
            require(
                tuple(value.shape) == shape,
                f"step of {model.name} returns {name} with shape {tuple(value.shape)}, not {shape}",
            )


def _stepped(model: StepModel, run: Run, *given: Namespace) -> tuple[Tensors, Tensors]:
    """States and outputs of one step, or an error that says what was returned instead."""
    forcing, state, parameter = given
    with explained(f"step of {model.name}"):
        pair = model.step(forcing, state, parameter, run.dt)
    require(
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(isinstance(one, Mapping) for one in pair),
        f"step of {model.name} returns {described(pair)}, not two dicts. Return the new states "
        "and the outputs by name: return {'storage': storage}, {'streamflow': flow}",
    )
    states, outputs = pair
    return states, outputs


def _check_finite(run: Run) -> None:
    for kind in (torch.float64, torch.float32):
        converted = [{k: v.to(kind) for k, v in x.items()} for x in (run.forcing, run.parameter)]
        outputs, state = run(forcing=converted[0], parameter=converted[1])
        require(
            set(outputs) == set(run.model.outputs),
            f"{run} returns the outputs {sorted(outputs)}, declared are "
            f"{sorted(run.model.outputs)}",
        )
        for name, value in {**outputs, **state}.items():
            series = name in outputs
            bad = (~value.isfinite()).nonzero()
            if len(bad):
                cell = int(bad[0][1 if series else 0])
                raise DeclarationError(
                    f"{run}: {name} is not finite in cell {cell}, {kind}: {run.cell(cell)}. Bound "
                    "the arguments of powers, logarithms and divisions."
                )


def _check_cells(run: Run) -> None:
    """Some of the cells, in another order, give what they give among all."""
    cells = next(iter(run.forcing.values())).shape[1]
    some = torch.arange(cells).flip(0)[: max(1, cells // 2)]
    outputs, _ = run()
    forcing = {name: value[:, some] for name, value in run.forcing.items()}
    fewer, _ = run(forcing=forcing, parameter={k: v[some] for k, v in run.parameter.items()})
    for name, value in outputs.items():
        require(
            fewer[name].shape[1:] == some.shape and torch.allclose(fewer[name], value[:, some]),
            f"{run}: {name} of a cell depends on the other cells. Work elementwise, and along "
            "dim=-1 only, never along dim 0 (mean(0), cumsum(0), sort)",
        )


def _check_gradients(run: Run) -> set[str]:
    """Return the parameters that outputs change with."""
    leaves = {name: p.clone().requires_grad_() for name, p in run.parameter.items()}
    forcing = {name: f.clone().requires_grad_() for name, f in run.forcing.items()}
    start = {name: s.detach().clone().requires_grad_() for name, s in run.initial().items()}
    outputs, _ = run(parameter=leaves, forcing=forcing, state=start or None)
    total = torch.stack([weighted(value) for value in outputs.values()]).sum()
    require(
        total.requires_grad,
        f"no output of {run.model.name} depends on a parameter by a path that torch can follow. "
        "Compute in torch throughout, without .item(), .detach() or numpy",
    )
    everything = {**leaves, **forcing, **{f"initial {k}": v for k, v in start.items()}}
    gradients = torch.autograd.grad(total, list(everything.values()), allow_unused=True)
    reached = {k: g for k, g in zip(everything, gradients, strict=True) if g is not None}
    for name, gradient in reached.items():
        bad = ~gradient.isfinite()
        problem = "is not finite", "Bound the argument inside of torch.where, not its result"
        if name.startswith("initial ") and not bad.any():
            bad = gradient.abs() > _EXPLODED
            problem = (
                f"reaches {float(gradient.abs().max()):.1e}",
                "The step overshoots: solve its fast fluxes implicitly or exactly",
            )
        if bad.any():
            cell = int(bad.nonzero()[0][1 if name in forcing else 0])
            raise DeclarationError(
                f"{run}: the gradient with respect to {name} {problem[0]} in cell {cell}: "
                f"{run.cell(cell)}. {problem[1]}."
            )
    return {name for name in leaves if name in reached and bool((reached[name] != 0).any())}


def _check_balance(run: Run, tolerance: float) -> None:
    declared = getattr(run.model, "water_balance", None)
    if declared is None or not isinstance(run.model, StepModel):
        return
    known = {**run.model.forcings, **run.model.outputs}
    for name in (*declared["inflow"], *declared["outflow"]):
        require(
            name in known, f"water_balance of {run.model.name} names {name}, no forcing or output"
        )
    for name in declared["storage"]:
        require(
            name in run.model.states, f"water_balance of {run.model.name} names {name}, no state"
        )
    start = run.initial()
    outputs, end = run.loop(run.forcing, start)
    series = {**run.forcing, **outputs}

    def stored(state: Tensors) -> Tensor:
        return torch.stack([state[n].flatten(1).sum(1) for n in declared["storage"]]).sum(0)

    gained = sum(series[name].sum(0) * run.dt for name in declared["inflow"])
    lost = sum(series[name].sum(0) * run.dt for name in declared["outflow"])
    size = 1.0 + gained.abs() + stored(start).abs()  # type: ignore[union-attr]
    error = ((stored(end) - stored(start) - gained + lost) / size).abs()
    worst = int(error.argmax())
    require(
        float(error[worst]) <= tolerance,
        f"{run}: the water balance is off by {float(error[worst]):.2g} of all water in cell "
        f"{worst}: {run.cell(worst)}. Every flux must leave one storage and "
        "enter another or an output",
    )


def _check_continuation(run: Run) -> None:
    if not isinstance(run.model, StepModel):
        return
    start = run.initial()
    half = next(iter(run.forcing.values())).shape[0] // 2
    whole, end = run.loop(run.forcing, start)
    parts = []
    for part in (slice(None, half), slice(half, None)):
        forcing = {k: v[part] for k, v in run.forcing.items()}
        outputs, start = run.loop(forcing, start)
        parts.append(outputs)
    for name, value in whole.items():
        require(
            torch.allclose(torch.cat([p[name] for p in parts]), value),
            f"{run}: {name} of a run in two halves differs from a run in one. All memory of the "
            "model must be in its states",
        )


def _check_components(run: Run) -> None:
    twice = {k: v if v.dim() == 1 else v.expand(-1, 2) for k, v in run.parameter.items()}
    single, double = run()[0], run(parameter=twice)[0]
    for name in single:
        require(
            torch.allclose(single[name], double[name]),
            f"{run}: {name} of two equal components differs from one. Let step work elementwise",
        )


def _check_engines(run: Run) -> None:
    for outputs in _pairs(run):
        for name, (eager, other) in outputs.items():
            scale = 1e-12 + float(eager.abs().max())
            difference = float((eager - other).abs().max()) / scale
            require(
                difference <= 1e-8,
                f"{run}: {name} of the fused engine differs from the eager one by "
                f"{difference:.2g}. Report it with the model; engine='eager' runs meanwhile",
            )


def _pairs(run: Run) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Outputs and gradients, from the eager engine and from the one that is taken by default."""
    found: list[tuple[Tensors, Tensors]] = []
    for engine in ("eager", "auto"):
        leaves = {name: p.clone().requires_grad_() for name, p in run.parameter.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EngineWarning)
            outputs, _ = run(parameter=leaves, engine=engine)
        total = torch.stack([weighted(value) for value in outputs.values()]).sum()
        gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        seen = {k: g for k, g in zip(leaves, gradients, strict=True) if g is not None}
        found.append(({k: v.detach() for k, v in outputs.items()}, seen))
    for eager, other in zip(*found, strict=True):
        yield {name: (eager[name], other[name]) for name in eager}
