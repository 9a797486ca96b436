"""What `engine.py` times: HBV by the eager loop, by the engine, and by its peers."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Inputs = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]
Size = tuple[int, int, int]
Run = Callable[[bool], float]
"""A run; its argument asks for gradients, and it returns the loss."""

PEERS = {"jax": "jax", "hydrodl2": "hydrodl2", "smash": "smash"}
"""Module by which it is known whether a peer is installed."""
ENGINES = ("eager", "fused", "compile", "jax", "hydrodl2")


def make(engine: str, folder: str | None, size: Size) -> Run:
    """Return a run of HBV at (cells, components, days) by an engine or a peer."""
    if engine == "jax":
        return _jax(folder, size)
    if engine == "hydrodl2":
        return _hydrodl2(size)
    if engine == "fused":
        return fused(*prepare(folder, size))
    return _eager(engine == "compile", folder, size)


# ---- inputs -------------------------------------------------------------------------------
def load_prototype(folder: str) -> Any:
    """Return the module ``hbv_step``."""
    spec = importlib.util.spec_from_file_location("hbv_step", Path(folder) / "hbv_step.py")
    assert spec is not None
    assert spec.loader is not None
    hbv = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hbv)
    return hbv


def as_model(hbv: Any) -> Any:
    """Return a model of the step of ``hbv_step``."""
    from xdpl.variables import Forcing, Output, Parameter, State

    class Prototype:
        name = "hbv_step"
        forcings = {n: Forcing("1") for n in hbv.FORCINGS}
        parameters = {n: Parameter("1", bounds=hbv.BOUNDS[n]) for n in hbv.PARAMS}
        states = {n: State("mm") for n in hbv.STATES}
        outputs = {n: Output("mm day-1") for n in hbv.FLUXES}

        def step(self, forcing: Any, state: Any, parameter: Any, dt: float) -> Any:
            states, fluxes = hbv.step(
                tuple(getattr(state, n) for n in hbv.STATES),
                tuple(getattr(forcing, n) for n in hbv.FORCINGS),
                tuple(getattr(parameter, n) for n in hbv.PARAMS),
            )
            named = dict(zip(hbv.STATES, states, strict=True))
            return named, dict(zip(hbv.FLUXES, fluxes, strict=True))

    return Prototype()


def prepare(folder: str | None, size: Size, name: str = "HBV") -> tuple[Any, Inputs, str]:
    """Return a model, its inputs, and the output that the loss is of.

    The model is that of ``hbv_step.py`` in ``folder``, or else the one of that name in xdpl.
    """
    cells, components, time = size
    if folder:
        hbv = load_prototype(folder)
        forcings, parameters, states, _ = hbv.make_inputs(cells, components, time)
        groups = (
            dict(zip(hbv.FORCINGS, forcings, strict=True)),
            {n: p.requires_grad_() for n, p in zip(hbv.PARAMS, parameters, strict=True)},
            dict(zip(hbv.STATES, states, strict=True)),
        )
        return as_model(hbv), groups, "Q"
    import xdpl.models

    model = getattr(xdpl.models, name)()
    random = torch.Generator().manual_seed(0)
    forcing = {n: 8 * torch.rand(time, cells, generator=random) for n in model.forcings}
    if "temperature" in forcing:
        forcing["temperature"] = 3 * forcing["temperature"] - 10
    parameter = {}
    for key, p in model.parameters.items():
        low, high = p.bounds
        if not p.shared:
            value = low + (high - low) * torch.rand(cells, components, generator=random)
            parameter[key] = value.requires_grad_()
    state = {n: s.detach() for n, s in model.initial_state(parameter).items()}
    return model, (forcing, parameter, state), "streamflow"


# ---- this library -------------------------------------------------------------------------
def fused(model: Any, inputs: Inputs, name: str) -> Run:
    """Return a run of the engine and of its one-pass loss: mean squared difference from 0."""
    from xdpl.engine import simulate, squared_misfit

    forcing, parameter, state = inputs
    leaves = list(parameter.values())
    observed = torch.zeros_like(next(iter(forcing.values())))

    def run(gradients: bool) -> float:
        with torch.set_grad_enabled(gradients):
            out, _ = simulate(model, forcing, parameter, state, outputs=[name], engine="fused")
            total, _ = squared_misfit(out[name], observed)
            loss = total.sum() / observed.numel()
            if gradients:
                torch.autograd.grad(loss, leaves)
        return loss.item()

    return run


def _eager(compiled: bool, folder: str | None, size: Size) -> Run:
    """Return a run of ``hbv_step.py``'s own loop, or without it of xdpl's eager one."""
    from xdpl.engine import simulate

    model, (forcing, parameter, state), name = prepare(folder, size)
    leaves = list(parameter.values())
    hbv = load_prototype(folder) if folder else None
    step = torch.compile(hbv.step) if compiled and hbv else hbv and hbv.step

    def flow() -> Tensor:
        if hbv is None:
            return simulate(model, forcing, parameter, state, outputs=[name], engine="eager")[0][
                name
            ]
        series, _, _ = hbv.eager_run(step, forcing.values(), tuple(leaves), state.values())
        return series.mean(-1)

    def run(gradients: bool) -> float:
        with torch.set_grad_enabled(gradients):
            loss = flow().pow(2).mean()
            if gradients:
                torch.autograd.grad(loss, leaves)
        return loss.item()

    return run


# ---- peers --------------------------------------------------------------------------------
def _jax(folder: str | None, size: Size) -> Run:
    """Return a run of a ``lax.scan`` over the same step, read with torch's names as jax's."""
    import jax
    import jax.numpy as jnp

    if folder is None:
        raise SystemExit("jax needs --prototypes")
    hbv = load_prototype(folder)
    _, (forcing, parameter, state), _ = prepare(folder, size)
    names = {
        "zeros_like": jnp.zeros_like,
        "where": jnp.where,
        "minimum": jnp.minimum,
        "clamp": lambda x, min=None, max=None: jnp.clip(x, min, max),
    }
    hbv.torch = type("jnp_as_torch", (), {k: staticmethod(v) for k, v in names.items()})
    days = tuple(jnp.asarray(f.numpy())[:, :, None] for f in forcing.values())
    start = tuple(jnp.asarray(s.numpy()) for s in state.values())
    leaves = tuple(jnp.asarray(p.detach().numpy()) for p in parameter.values())

    def loss(leaves: Any) -> Any:
        def advance(now: Any, today: Any) -> Any:
            now, fluxes = hbv.step(now, today, leaves)
            return now, fluxes[0]

        _, flow = jax.lax.scan(advance, start, days)
        return jnp.mean(flow.mean(-1) ** 2)

    plain, both = jax.jit(loss), jax.jit(jax.value_and_grad(loss))

    def run(gradients: bool) -> float:
        if gradients:
            value, slopes = both(leaves)
            jax.block_until_ready(slopes)
            return float(value)
        return float(plain(leaves))

    return run


def _hydrodl2(size: Size) -> Run:
    """Return a run of the HBV of hydrodl2, through its public call only; its routing runs too."""
    import hydrodl2

    cells, components, time = size
    config = {"warm_up": 0, "nmul": components, "routing": True, "dynamic_params": {"Hbv": []}}
    model = hydrodl2.load_model("hbv")(config=config, device="cpu")
    forcing = torch.rand(time, cells, 3) * torch.tensor([8.0, 20.0, 4.0])
    raw = torch.randn(time, cells, model.learnable_param_count, requires_grad=True)

    def run(gradients: bool) -> float:
        with torch.set_grad_enabled(gradients):
            loss = model({"x_phy": forcing}, raw)["streamflow_no_rout"].pow(2).mean()
            if gradients:
                torch.autograd.grad(loss, raw)
        return loss.item()

    return run


def smash(dataset: str, threads: int) -> tuple[Size, Run]:
    """Return (cells, 1, steps) and a run of hydro-smash's GR4 on a dataset that comes with it.

    With gradients it is ``backward_run``, the gradient of its cost for each parameter of each
    cell; without, ``forward_run``. Its network routing runs, too.
    """
    from smash import Model
    from smash.factory import load_dataset

    options = {"ncpu": threads, "verbose": False}
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        setup, mesh = load_dataset(dataset)
        model = Model(setup, mesh)
    size = (int(mesh["active_cell"].sum()), 1, int(model.atmos_data.mean_prcp.shape[-1]))

    def run(gradients: bool) -> float:
        if gradients:
            wanted = {"mapping": "distributed", "return_options": {"grad": True}}
            model.backward_run(common_options=options, **wanted)
        else:
            model.forward_run(common_options=options)
        return float("nan")

    return size, run


def set_threads(threads: int) -> None:
    """Let torch, and what reads the environment later on, use so many threads."""
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    # XLA knows no number of threads; it takes as many as there are processors to run on
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
