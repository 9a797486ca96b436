"""The fused time loop: one kernel forward, one in reverse, under torch's autograd."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor

from .autograd import Backend, run_loop
from .contract import Stepping, columns, expected
from .program import Program, make_program
from .tracing import Unsupported

__all__ = ["loop_for", "run"]

_LOCK = threading.RLock()
_LOOPS: dict[tuple[object, ...], Backend | Unsupported] = {}


def run(
    model: Stepping,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    *,
    dt: float,
    outputs: Sequence[str],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Advance ``model`` over all time steps; shapes as in `xdpl.engine.simulate`.

    Raises
    ------
    Unsupported
        The step has something that the fused loop can't do.
    """
    shape = cells, components = columns(parameter, state)
    loop = loop_for(model, dt, next(iter(forcing.values())))
    apart = loop.prefers_columns(cells, components)
    if apart:  # few cells: let components fill the lanes of the vectors
        forcing = {k: v.repeat_interleave(components, dim=1) for k, v in forcing.items()}
        parameter = {k: v.reshape(*v.shape[:-2], -1, 1) for k, v in parameter.items()}
        state = {k: v.reshape(cells * components, 1, *v.shape[2:]) for k, v in state.items()}
    series, final = _run_columns(loop, forcing, parameter, state, outputs)
    if apart:
        series = {k: v.unflatten(1, shape).mean(-1) for k, v in series.items()}
        final = {k: v.reshape(expected(model, k, shape)) for k, v in final.items()}
    return series, final


def _run_columns(
    loop: Backend,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    outputs: Sequence[str],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    program = loop.program
    wanted = tuple(dict.fromkeys(program.outputs.index(name) for name in outputs))
    series, final = run_loop(
        loop,
        wanted,
        [forcing[name] for name in program.forcings],
        [parameter[name] for name in program.parameters],
        [state[name] for name in program.states],
    )
    found = dict(zip((program.outputs[i] for i in wanted), series, strict=True))
    return {name: found[name] for name in outputs}, dict(zip(program.states, final, strict=True))


def loop_for(model: Stepping, dt: float, example: Tensor) -> Backend:
    """Return the compiled loop of a model, made on first use and kept.

    Raises
    ------
    Unsupported
        Once more for every call, without tracing again.
    """
    device = example.device.type
    if device not in ("cpu", "cuda"):
        raise Unsupported(f"tensors on {device}, for which there are no kernels")
    key = (_identity(model), float(dt), example.dtype, device)
    with _LOCK:
        if key not in _LOOPS:
            _LOOPS[key] = _make(model, dt, example.dtype, device)
        found = _LOOPS[key]
    if isinstance(found, Unsupported):
        raise Unsupported(str(found))
    return found


def _make(model: Stepping, dt: float, dtype: torch.dtype, device: str) -> Backend | Unsupported:
    try:
        with torch.no_grad():
            program: Program = make_program(model, dt, dtype)
        if device == "cuda":  # each needs a compiler that the other machine may lack
            from .gpu import GpuLoop

            return GpuLoop(program)
        from .cpu import CpuLoop

        return CpuLoop(program)
    except Unsupported as error:
        return error


def _identity(model: object) -> tuple[object, object]:
    """Return what tells models apart: options of a frozen dataclass, or else the object itself."""
    if is_dataclass(model) and type(model).__hash__ is not None:
        options = [(f.name, getattr(model, f.name)) for f in fields(model)]
        return type(model), tuple((name, type(v), _hashable(v)) for name, v in options)
    # keeping the model keeps its id from being given to another one
    return _Same(model), repr(sorted(getattr(model, "__dict__", {}).items()))


def _hashable(value: object) -> object:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


class _Same:
    """A key that equals only itself or the same object."""

    def __init__(self, model: object) -> None:
        self.model = model

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.model is self.model

    def __hash__(self) -> int:
        return id(self.model)
