"""What one kernel computes: a request's graphs, made from a program's."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .graph import Graph, select_outputs
from .mathf32 import expand_exp_log
from .program import Program
from .rewrites import (
    COTANGENTS,
    drop_cotangents,
    expand_functions,
    expand_powers,
    share_divisions,
)
from .saving import save_shared

__all__ = [
    "VARYING",
    "ForwardPlan",
    "Request",
    "ReversePlan",
    "forward_graph",
    "plan_forward",
    "plan_reverse",
    "reverse_graphs",
]

VARYING = ("forcing", "state", *COTANGENTS, "saved")


@dataclass(frozen=True)
class Request:
    """What a caller wants of a program.

    Attributes
    ----------
    static : frozenset of int
        Parameters that are the same at every time step.
    outputs : tuple of int
        Outputs that are written, or that have a cotangent.
    forcings, parameters : tuple of int
        Those whose gradient is wanted.
    """

    static: frozenset[int]
    outputs: tuple[int, ...]
    forcings: tuple[int, ...] = ()
    parameters: tuple[int, ...] = ()


@dataclass(frozen=True)
class ForwardPlan:
    """The forward kernel: one graph from inputs to states and wanted outputs."""

    program: Program
    request: Request
    step: Graph

    def describe(self) -> list[str]:
        """Texts that two plans share exactly when their kernels are the same."""
        return [*_layout(self.program, self.request), self.step.signature()]


@dataclass(frozen=True)
class ReversePlan:
    """The reverse kernel.

    Attributes
    ----------
    recompute : Graph
        From inputs to the next states, then to the values that are saved for ``adjoint``.
    adjoint : Graph
        To the cotangents of all states, then of the forcings and parameters asked for.
    saved : int
        Number of saved values.
    """

    program: Program
    request: Request
    recompute: Graph
    adjoint: Graph
    saved: int

    def describe(self) -> list[str]:
        """Texts that two plans share exactly when their kernels are the same."""
        graphs = [self.recompute.signature(), self.adjoint.signature()]
        return [*_layout(self.program, self.request), *graphs]


def _layout(program: Program, request: Request) -> list[str]:
    counts = [len(program.forcings), program.slots, len(program.parameters), len(program.outputs)]
    wanted = [sorted(request.static), request.outputs, request.forcings, request.parameters]
    return [str(counts), str(wanted), str(program.dtype)]


def forward_graph(program: Program, request: Request, *, native: bool) -> Graph:
    """Return what a step computes, with exp and log whole; see `plan_forward`."""
    keep = [*range(program.slots), *(program.slots + i for i in request.outputs)]
    return _cheaper(select_outputs(program.forward, keep), program, request, native)


def reverse_graphs(program: Program, request: Request, *, native: bool) -> tuple[Graph, Graph, int]:
    """Return ``recompute``, ``adjoint`` and ``saved`` of `ReversePlan`, with exp and log whole."""
    unused = {
        ("output_cotangent", i) for i in range(len(program.outputs)) if i not in request.outputs
    }
    first_state = len(program.forcings)
    first_parameter = first_state + program.slots
    keep = [
        *range(first_state, first_parameter),
        *request.forcings,
        *(first_parameter + i for i in request.parameters),
    ]
    adjoint = drop_cotangents(select_outputs(program.adjoint, keep), unused)
    recompute = select_outputs(program.forward, range(program.slots))
    adjoint = _cheaper(adjoint, program, request, native)
    recompute = _cheaper(recompute, program, request, native)
    if native:  # a GPU would rather compute than remember
        return recompute, adjoint, 0
    return save_shared(recompute, adjoint, VARYING, request.static)


def plan_forward(program: Program, request: Request, *, native: bool, avx512: bool) -> ForwardPlan:
    """Return what the forward kernel computes.

    With ``native``, exp and log are the back end's own, and other functions are made of them;
    otherwise float32 gets polynomials, and float64 the C library.
    """
    step = forward_graph(program, request, native=native)
    return ForwardPlan(program, request, _finish(step, program, native, avx512))


def plan_reverse(program: Program, request: Request, *, native: bool, avx512: bool) -> ReversePlan:
    """Return what the reverse kernel computes."""
    recompute, adjoint, saved = reverse_graphs(program, request, native=native)
    return ReversePlan(
        program,
        request,
        _finish(recompute, program, native, avx512),
        _finish(adjoint, program, native, avx512),
        saved,
    )


def _cheaper(graph: Graph, program: Program, request: Request, native: bool) -> Graph:
    # in double precision the C library's functions are there, one lane at a time, and exact
    expand = native or program.dtype == torch.float32
    if expand:
        graph = expand_functions(graph, double=program.dtype == torch.float64)
    graph = expand_powers(graph, every=expand)
    return share_divisions(graph, VARYING, request.static)


def _finish(graph: Graph, program: Program, native: bool, avx512: bool) -> Graph:
    if native or program.dtype != torch.float32:
        return graph
    return expand_exp_log(graph, avx512=avx512)
