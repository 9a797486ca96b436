"""Run the kernels on the processor: buffers, threads, and torch's autograd."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import jit
from .kernels import BLOCK, SIZES, Shape, forward_source, pointer_names, reverse_source
from .plan import Request, plan_forward, plan_reverse
from .program import Program

__all__ = ["CpuLoop"]

EVERY = 16
"""Steps between two checkpoints: the reverse sweep recomputes at most so many at a time."""
_SMALL = 50_000  # column steps: less isn't worth a second thread


@dataclass(frozen=True)
class _Compiled:
    """A kernel, and what it expects."""

    call: Callable[..., None]
    names: list[tuple[str, int]]
    saved: int = 0


@dataclass(frozen=True)
class _Geometry:
    """Sizes of one run."""

    cells: int
    components: int
    time: int
    every: int
    vectors: int
    width: int
    threads: int

    @property
    def blocks(self) -> int:
        return -(-self.cells // (self.vectors * self.width))

    @property
    def segments(self) -> int:
        return -(-self.time // self.every)

    def checkpoints(self, slots: int) -> int:
        """Number of values in all checkpoints."""
        lanes = self.vectors * self.width
        return self.blocks * self.components * self.segments * slots * lanes

    def sizes(self) -> ctypes.Array[Any]:
        """Return the numbers that a kernel wants, in the order of `SIZES`."""
        return (ctypes.c_int64 * len(SIZES))(*(getattr(self, name) for name in SIZES))


class CpuLoop:
    """The compiled time loop of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.host = jit.host()
        self._kernels: dict[Any, _Compiled] = {}
        self._lock = threading.RLock()

    @property
    def width(self) -> int:
        """Lanes of a vector."""
        return self.host.width(self.program.dtype.itemsize)

    def prefers_columns(self, cells: int, components: int) -> bool:
        """Whether too few lanes would be filled by cells alone."""
        along_cells = -(-cells // self.width) * components
        along_columns = -(-cells * components // self.width)
        return along_cells > 1.2 * along_columns

    def run(
        self,
        forcings: Sequence[Tensor],
        parameters: Sequence[Tensor],
        state: Tensor,
        outputs: tuple[int, ...],
    ) -> tuple[list[Tensor], Tensor]:
        """Run over all steps.

        Parameters
        ----------
        forcings : sequence of Tensor (time, cell)
        parameters : sequence of Tensor (component, cell) or (component, time, cell)
        state : Tensor (component, slot, cell)
        outputs : tuple of int
            Those that are wanted.

        Returns
        -------
        list of Tensor (time, cell), Tensor (component, slot, cell)
        """
        results = _Loop.apply(self, outputs, torch.is_grad_enabled(), *forcings, *parameters, state)
        return list(results[:-1]), results[-1]

    def geometry(self, forcing: Tensor, state: Tensor) -> _Geometry:
        """Return the sizes of a run; the result doesn't depend on how cells are blocked."""
        time, cells = forcing.shape
        components = state.shape[0]
        small = time * cells * components < _SMALL
        threads = 1 if small else torch.get_num_threads()
        across = -(-cells // self.width)
        vectors = max(1, min(BLOCK, -(-across // threads)))
        return _Geometry(cells, components, time, min(EVERY, time), vectors, self.width, threads)

    def kernel(self, kind: str, request: Request, geometry: _Geometry) -> _Compiled:
        """Return a kernel, compiled on first use."""
        masked = self.host.avx512 or geometry.cells % self.width != 0
        shape = Shape(self.width, masked, geometry.components == 1)
        key = (kind, request, shape)
        with self._lock:
            if key not in self._kernels:
                self._kernels[key] = self._compile(kind, request, shape)
            return self._kernels[key]

    def _compile(self, kind: str, request: Request, shape: Shape) -> _Compiled:
        avx512 = self.host.avx512
        if kind == "forward":
            forward = plan_forward(self.program, request, native=False, avx512=avx512)
            call = jit.compile_kernel(
                kind,
                self.host,
                lambda: [str(shape), *forward.describe()],
                lambda: forward_source(forward, shape),
            )
            return _Compiled(call, pointer_names(forward))
        reverse = plan_reverse(self.program, request, native=False, avx512=avx512)
        call = jit.compile_kernel(
            kind,
            self.host,
            lambda: [str(shape), *reverse.describe()],
            lambda: reverse_source(reverse, shape),
        )
        return _Compiled(call, pointer_names(reverse), reverse.saved)

    def launch(
        self,
        kernel: _Compiled,
        geometry: _Geometry,
        arrays: dict[tuple[str, int], Tensor],
        scratch: int = 0,
    ) -> None:
        """Run a kernel over all blocks, shared out among threads; ``scratch`` values for each."""
        table = [arrays[name].data_ptr() if name in arrays else None for name in kernel.names]
        pointers = (ctypes.c_void_p * len(table))(*table)
        sizes = geometry.sizes()
        count = min(geometry.threads, geometry.blocks)
        cuts = [geometry.blocks * k // count for k in range(count + 1)]
        example = arrays["initial", 0]
        rooms = [example.new_empty(scratch + 16) for _ in range(count)]

        def work(k: int) -> None:
            place = rooms[k].data_ptr()
            kernel.call(sizes, pointers, place + -place % 64, cuts[k], cuts[k + 1])

        if count == 1:
            work(0)
        else:
            list(_pool(count).map(work, range(count)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="xdpl-engine")


def _aligned(count: int, like: Tensor) -> Tensor:
    """Return uninitialised memory for ``count`` values that starts on a cache line."""
    room = like.new_empty(count + 16)
    skip = -room.data_ptr() % 64 // like.element_size()
    return room[skip : skip + count]


class _Loop(torch.autograd.Function):
    """The time loop with its adjoint: outputs and the final state."""

    @staticmethod
    def forward(
        ctx: Any, loop: CpuLoop, outputs: tuple[int, ...], recording: bool, *tensors: Tensor
    ) -> Any:
        program = loop.program
        count = len(program.forcings)
        arrays = [t.detach().contiguous() for t in tensors]
        forcings, parameters, state = arrays[:count], arrays[count:-1], arrays[-1]
        geometry = loop.geometry(forcings[0], state)
        static = frozenset(i for i, p in enumerate(parameters) if p.dim() == 2)
        kernel = loop.kernel("forward", Request(static, outputs), geometry)
        series = [torch.empty_like(forcings[0]) for _ in outputs]
        final = torch.empty_like(state)
        named = _named("forcing", forcings) | _named("parameter", parameters)
        named |= {("initial", 0): state, ("final", 0): final}
        named |= {("output", i): s for i, s in zip(outputs, series, strict=True)}
        ctx.set_materialize_grads(False)
        if recording and any(ctx.needs_input_grad):
            checkpoints = _aligned(geometry.checkpoints(program.slots), state)
            named["checkpoint", 0] = checkpoints
            ctx.loop, ctx.outputs, ctx.geometry, ctx.static = loop, outputs, geometry, static
            ctx.checkpoints = checkpoints
            ctx.save_for_backward(*arrays[:-1])
        loop.launch(kernel, geometry, named)
        return (*series, final)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        loop, geometry = ctx.loop, ctx.geometry
        saved = ctx.saved_tensors
        count = len(loop.program.forcings)
        forcings, parameters = saved[:count], saved[count:]
        needed = ctx.needs_input_grad[3:]
        given = {i: g for i, g in zip(ctx.outputs, cotangents[:-1], strict=True) if g is not None}
        request = Request(
            ctx.static,
            tuple(given),
            tuple(i for i in range(count) if needed[i]),
            tuple(i for i in range(len(parameters)) if needed[count + i]),
        )
        kernel = loop.kernel("reverse", request, geometry)
        shape = (geometry.components, loop.program.slots, geometry.cells)
        last = cotangents[-1]
        final = forcings[0].new_zeros(shape) if last is None else last.contiguous()
        gradient: dict[tuple[str, int], Tensor] = {("initial", 0): torch.empty_like(final)}
        for i in request.forcings:
            gradient["forcing_gradient", i] = torch.empty_like(forcings[i])
        for i in request.parameters:
            gradient["parameter_gradient", i] = torch.empty_like(parameters[i])
        named = _named("forcing", forcings) | _named("parameter", parameters)
        named |= {("output_cotangent", i): g.contiguous() for i, g in given.items()}
        named |= {("final", 0): final, ("checkpoint", 0): ctx.checkpoints}
        lanes = geometry.vectors * geometry.width
        record = (loop.program.slots + kernel.saved) * lanes
        loop.launch(kernel, geometry, named | gradient, (geometry.every + 1) * record)
        return (
            None,
            None,
            None,
            *(gradient.get(("forcing_gradient", i)) for i in range(count)),
            *(gradient.get(("parameter_gradient", i)) for i in range(len(parameters))),
            gradient["initial", 0] if needed[-1] else None,
        )


def _named(kind: str, tensors: Sequence[Tensor]) -> dict[tuple[str, int], Tensor]:
    return {(kind, i): t for i, t in enumerate(tensors)}
