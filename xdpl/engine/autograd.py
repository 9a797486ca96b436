"""The time loop as one operation of torch's autograd, whatever runs its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .plan import Request
from .program import Program

__all__ = ["Arrays", "Backend", "run_loop"]

Arrays = dict[tuple[str, int], Tensor]
"""Arrays by (kind, index), laid out (component, [time or state,] cell)."""

Geometry = TypeVar("Geometry")
"""Sizes of one run, in the words of its backend."""


class Backend(Protocol[Geometry]):
    """What runs the kernels of a program."""

    program: Program

    def prefers_columns(self, cells: int, components: int) -> bool:
        """Whether components had better be run as cells of their own."""

    def geometry(self, time: int, cells: int, components: int) -> Geometry:
        """Return the sizes of one run."""

    def checkpoints(self, geometry: Geometry, like: Tensor) -> Tensor:
        """Return room for the states at checkpoints."""

    def forward(self, request: Request, geometry: Geometry, arrays: Arrays) -> None:
        """Fill "output" and "final", and "checkpoint" if it is there."""

    def reverse(self, request: Request, geometry: Geometry, arrays: Arrays) -> None:
        """Fill "forcing_gradient", "parameter_gradient" and "initial".

        Here "final" and "initial" hold the cotangents of the states.
        """


def run_loop(
    backend: Backend[Geometry],
    outputs: tuple[int, ...],
    forcings: Sequence[Tensor],
    parameters: Sequence[Tensor],
    states: Sequence[Tensor],
) -> tuple[list[Tensor], list[Tensor]]:
    """Run over all steps; differentiable once.

    Parameters
    ----------
    backend : Backend
    outputs : tuple of int
        Those that are wanted.
    forcings : sequence of Tensor (time, cell)
    parameters : sequence of Tensor (cell, component) or (time, cell, component)
    states : sequence of Tensor (cell, component[, size])

    Returns
    -------
    outputs : list of Tensor (time, cell)
    states : list of Tensor (cell, component[, size])
    """
    # inside an autograd function gradients are always off, so it can't ask for itself
    recording = torch.is_grad_enabled()
    results = _Loop.apply(backend, outputs, recording, *forcings, *parameters, *states)
    return list(results[: len(outputs)]), list(results[len(outputs) :])


class _Loop(torch.autograd.Function):
    """Outputs and final states of the time loop, and its adjoint."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: Backend[Geometry],
        outputs: tuple[int, ...],
        recording: bool,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        program = backend.program
        first, last = _places(program)
        forcings = [f.contiguous() for f in tensors[:first]]
        parameters = [_components_first(p) for p in tensors[first:last]]
        time = forcings[0].shape[0]
        cells, components = ctx.columns = _columns(tensors[first], last > first)
        state = _pack(program, tensors[last:], cells, components, forcings[0])
        geometry = backend.geometry(time, cells, components)
        static = frozenset(i for i, p in enumerate(parameters) if p.dim() == 2)
        series = [torch.empty_like(forcings[0]) for _ in outputs]
        final = torch.empty_like(state)
        arrays = _named("forcing", forcings) | _named("parameter", parameters)
        arrays |= {("initial", 0): state, ("final", 0): final}
        arrays |= {("output", i): s for i, s in zip(outputs, series, strict=True)}
        ctx.set_materialize_grads(False)
        if recording and any(ctx.needs_input_grad):
            ctx.checkpoints = backend.checkpoints(geometry, state)
            arrays["checkpoint", 0] = ctx.checkpoints
            ctx.backend, ctx.outputs, ctx.geometry, ctx.static = backend, outputs, geometry, static
            ctx.save_for_backward(*forcings, *parameters)
        backend.forward(Request(static, outputs), geometry, arrays)
        return (*series, *_unpack(program, final))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        program: Program = ctx.backend.program
        first, last = _places(program)
        forcings, parameters = ctx.saved_tensors[:first], ctx.saved_tensors[first:]
        cells, components = ctx.columns
        needed = ctx.needs_input_grad[3:]
        count = len(ctx.outputs)
        given = {
            i: g for i, g in zip(ctx.outputs, cotangents[:count], strict=True) if g is not None
        }
        request = Request(
            ctx.static,
            tuple(given),
            tuple(i for i in range(first) if needed[i]),
            tuple(i for i in range(last - first) if needed[first + i]),
        )
        final = _pack(program, cotangents[count:], cells, components, forcings[0])
        gradient: Arrays = {("initial", 0): torch.empty_like(final)}
        for i in request.forcings:
            gradient["forcing_gradient", i] = torch.empty_like(forcings[i])
        for i in request.parameters:
            gradient["parameter_gradient", i] = torch.empty_like(parameters[i])
        arrays = _named("forcing", forcings) | _named("parameter", parameters) | gradient
        arrays |= {("output_cotangent", i): g.contiguous() for i, g in given.items()}
        arrays |= {("final", 0): final, ("checkpoint", 0): ctx.checkpoints}
        ctx.backend.reverse(request, ctx.geometry, arrays)
        slopes = [gradient.get(("parameter_gradient", i)) for i in range(last - first)]
        states: Sequence[Tensor | None] = [None] * len(program.states)
        if any(needed[last:]):
            states = _unpack(program, gradient["initial", 0])
        return (
            *(None, None, None),
            *(gradient.get(("forcing_gradient", i)) for i in range(first)),
            *(_components_last(slope, components) for slope in slopes),
            *states,
        )


def _places(program: Program) -> tuple[int, int]:
    """Where parameters and states begin among forcings, parameters and states."""
    first = len(program.forcings)
    return first, first + len(program.parameters)


def _named(kind: str, tensors: Sequence[Tensor]) -> Arrays:
    return {(kind, i): t for i, t in enumerate(tensors)}


def _columns(value: Tensor, parameter: bool) -> tuple[int, int]:
    """Cells and components, from a parameter or else a state."""
    cells, components = value.shape[-2:] if parameter else value.shape[:2]
    return int(cells), int(components)


def _components_first(value: Tensor) -> Tensor:
    """Return (cell, component) or (time, cell, component) as (component, [time,] cell) in memory.

    One component lies so already, and for few cells each call of torch is felt.
    """
    return value.contiguous() if value.shape[-1] == 1 else value.movedim(-1, 0).contiguous()


def _components_last(value: Tensor | None, components: int) -> Tensor | None:
    """Undo `_components_first`."""
    return value if value is None or components == 1 else value.movedim(0, -1)


def _pack(
    program: Program,
    states: Sequence[Tensor | None],
    cells: int,
    components: int,
    like: Tensor,
) -> Tensor:
    """Return states as one array (component, slot, cell); None is zero."""
    if all(value is None for value in states):
        return like.new_zeros(components, program.slots, cells)
    parts = [
        like.new_zeros(cells, components, size)
        if value is None
        else (value if size > 1 else value.unsqueeze(-1))
        for value, size in zip(states, program.states.values(), strict=True)
    ]
    return torch.cat(parts, -1).permute(1, 2, 0).contiguous()


def _unpack(program: Program, packed: Tensor) -> list[Tensor]:
    """Return one tensor (cell, component[, size]) for each state."""
    parts = packed.permute(2, 0, 1).split(list(program.states.values()), dim=-1)
    return [
        part if size > 1 else part.squeeze(-1)
        for part, size in zip(parts, program.states.values(), strict=True)
    ]
