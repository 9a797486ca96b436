"""A model's step as graphs, made once for a model, time step and dtype."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .contract import Stepping
from .graph import Graph
from .lowering import lower
from .tracing import Axes, Unsupported, candidates, trace_step

__all__ = ["Program", "make_program"]


@dataclass(frozen=True)
class Program:
    """What a step computes, and what its adjoint does.

    Attributes
    ----------
    forcings, parameters, outputs : tuple of str
        Names in the order of the graphs' inputs and outputs.
    states : dict of str to int
        Size of each state by name; a state of size n stands for n inputs and outputs.
    forward : Graph
        From "forcing", "state", "parameter" to all states, then all outputs.
    adjoint : Graph
        From these and "state_cotangent", "output_cotangent" to the cotangents of forcings,
        states and parameters, in this order.
    dtype : torch.dtype
    """

    forcings: tuple[str, ...]
    states: dict[str, int]
    parameters: tuple[str, ...]
    outputs: tuple[str, ...]
    forward: Graph
    adjoint: Graph
    dtype: torch.dtype

    @property
    def slots(self) -> int:
        """Number of state values of a column, those of vector states one by one."""
        return sum(self.states.values())


def make_program(model: Stepping, dt: float, dtype: torch.dtype) -> Program:
    """Trace a model's step and its adjoint.

    Raises
    ------
    Unsupported
        Names the operation that the fused loop can't do, or says why tracing failed.
    """
    first, second = _two(model)
    traced = trace_step(model, dt, dtype, first, adjoint=True)
    names = tuple(name for name, p in model.parameters.items() if not p.shared)
    kinds = ["forcing"] * len(model.forcings) + ["state"] * len(model.states)
    kinds += ["parameter"] * len(names)
    forward = lower(traced.forward, kinds, first, dtype).rewrite()
    again = trace_step(model, dt, dtype, second, adjoint=False)
    if lower(again.forward, kinds, second, dtype).rewrite().signature() != forward.signature():
        raise Unsupported("a result that depends on the number of cells or components")
    cotangents = ["state_cotangent"] * len(model.states) + ["output_cotangent"] * len(model.outputs)
    assert traced.adjoint is not None
    adjoint = lower(traced.adjoint, kinds + cotangents, first, dtype).rewrite()
    return Program(
        forcings=tuple(model.forcings),
        states={name: s.size for name, s in model.states.items()},
        parameters=names,
        outputs=tuple(model.outputs),
        forward=forward,
        adjoint=adjoint,
        dtype=dtype,
    )


def _two(model: Stepping) -> tuple[Axes, Axes]:
    found = list(candidates(model))
    if len(found) < 2:
        raise Unsupported("states whose sizes are all the primes that tracing needs")
    return found[0], found[1]
