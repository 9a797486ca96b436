"""From a model's step to torch's own graphs of it: the step and its vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .contract import Namespace, Stepping, results_of

__all__ = ["Axes", "TracedStep", "Unsupported", "trace_step"]


class Unsupported(Exception):
    """The fused engine can't run this step; the message says which operation and why."""


@dataclass(frozen=True)
class Axes:
    """Lengths that stand for "all cells" and "all components" in a trace.

    Any tensor axis of one of these lengths is a column axis: operations must be the same for
    all its entries. The lengths are primes that no model uses for something else; a step that
    depends on them is found by tracing it with two pairs.
    """

    cells: int
    components: int

    def __contains__(self, size: int) -> bool:
        return size in (self.cells, self.components)


Decompositions = dict[Any, Callable[..., object]]
_CANDIDATES = (Axes(61, 53), Axes(67, 59), Axes(101, 97), Axes(109, 103))


@dataclass(frozen=True)
class TracedStep:
    """Graphs of torch operations, and the order of their inputs and outputs.

    Attributes
    ----------
    axes : Axes
    forward, adjoint : torch.fx.GraphModule
        (forcings, states, parameters) to (states, outputs); the adjoint takes cotangents of
        states and outputs as well and gives those of states, forcings and parameters.
    """

    axes: Axes
    forward: torch.fx.GraphModule
    adjoint: torch.fx.GraphModule | None


def candidates(model: Stepping) -> Iterator[Axes]:
    """Pairs of lengths that collide with no state's size."""
    sizes = {s.size for s in model.states.values()}
    return (a for a in _CANDIDATES if a.cells not in sizes and a.components not in sizes)


def trace_step(
    model: Stepping, dt: float, dtype: torch.dtype, axes: Axes, *, adjoint: bool
) -> TracedStep:
    """Trace ``model.step`` with torch's make_fx, functionalised, and its adjoint with it.

    Raises
    ------
    Unsupported
        The step can't be traced: it looks at values, or calls what torch can't trace.
    """
    forcing, state, parameter = _examples(model, dtype, axes)
    shapes = [tuple(value.shape) for value in state]
    flat = (axes.cells, axes.components)

    def forward(
        forcing: list[Tensor], state: list[Tensor], parameter: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        looped = [name for name, p in model.parameters.items() if not p.shared]
        states, outputs = results_of(
            model,
            model.step(
                Namespace(**dict(zip(model.forcings, forcing, strict=True))),
                Namespace(**dict(zip(model.states, state, strict=True))),
                Namespace(**dict(zip(looped, parameter, strict=True))),
                dt,
            ),
        )
        return (
            [_expand(states[n], shape) for n, shape in zip(model.states, shapes, strict=True)],
            [_expand(outputs[n], flat) for n in model.outputs],
        )

    def reverse(
        forcing: list[Tensor],
        state: list[Tensor],
        parameter: list[Tensor],
        cotangents: tuple[list[Tensor], list[Tensor]],
    ) -> object:
        pulled = torch.func.vjp(forward, forcing, state, parameter)
        return pulled[1](cotangents)

    primal = (forcing, state, parameter)
    plain = _make_fx(model, forward, primal)
    if not adjoint:
        return TracedStep(axes, plain, None)
    # tensors of their own: make_fx takes one that is given twice for one input
    cotangents = (
        [torch.ones_like(value) for value in state],
        [torch.ones(flat, dtype=dtype) for _ in model.outputs],
    )
    return TracedStep(axes, plain, _make_fx(model, reverse, (*primal, cotangents)))


def _expand(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    return value if tuple(value.shape) == shape else value.expand(shape)


def _examples(
    model: Stepping, dtype: torch.dtype, axes: Axes
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    flat = (axes.cells, axes.components)
    forcing = [torch.ones(flat, dtype=dtype) for _ in model.forcings]
    state = [
        torch.ones((*flat, s.size) if s.size > 1 else flat, dtype=dtype)
        for s in model.states.values()
    ]
    parameter = [torch.ones(flat, dtype=dtype) for p in model.parameters.values() if not p.shared]
    return forcing, state, parameter


def _make_fx(
    model: Stepping, function: Callable[..., object], inputs: tuple[object, ...]
) -> torch.fx.GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx

    pure = torch.func.functionalize(function, remove="mutations")
    try:
        traced = make_fx(pure, decomposition_table=_decompositions(), tracing_mode="fake")
        return traced(*inputs)
    except Exception as error:
        raise Unsupported(_why(error)) from error


@cache
def _decompositions() -> Decompositions:
    """How torch writes composite operations in terms of simpler ones."""
    from torch._decomp import core_aten_decompositions, get_decompositions

    aten = torch.ops.aten
    table: Decompositions = dict(core_aten_decompositions())
    return table | get_decompositions([aten._softmax, aten._log_softmax])


def _why(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "allow_non_fake_inputs" in first:
        return "a tensor from outside the step: pass it as a parameter or a float"
    return f"what torch can't trace ({type(error).__name__}: {first[:200]})"
