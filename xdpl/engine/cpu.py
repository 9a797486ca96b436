"""Run the kernels on the processor: compile them, share blocks out among threads."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from . import jit
from .autograd import Arrays
from .blocks import BLOCK, SIZES, Shape, pointer_names
from .kernels import forward_source, reverse_source
from .plan import Request, plan_forward, plan_reverse
from .program import Program
from .threads import share_out, threads_for

__all__ = ["CpuLoop"]

EVERY = 16
"""Steps between two checkpoints: the reverse sweep recomputes at most so many at a time."""
ENOUGH = 8
"""Vectors of cells from which on the forward kernel takes them in pairs."""


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
    paired: bool

    @property
    def blocks(self) -> int:
        return -(-self.cells // (self.vectors * self.width))

    @property
    def segments(self) -> int:
        return -(-self.time // self.every)

    def in_pairs(self) -> _Geometry:
        """Return the same blocks in vectors twice as wide, if there are enough cells for them."""
        if not self.paired:
            return self
        return replace(self, vectors=self.vectors // 2, width=2 * self.width)

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
        self.avx512 = self.host.avx512
        self.width = self.host.width(program.dtype.itemsize)
        self._kernels: dict[Hashable, _Compiled] = {}
        self._lock = threading.RLock()

    def prefers_columns(self, cells: int, components: int) -> bool:
        """Whether too few lanes would be filled by cells alone."""
        along_cells = -(-cells // self.width) * components
        along_columns = -(-cells * components // self.width)
        return along_cells > 1.6 * along_columns

    def geometry(self, time: int, cells: int, components: int) -> _Geometry:
        """Return the sizes of a run; the result doesn't depend on how cells are blocked."""
        threads = threads_for(time * cells * components)
        across = -(-cells // self.width)
        vectors = max(1, min(BLOCK, -(-across // threads)))
        # of the cells alone, since a sum may be rounded otherwise in vectors of another width
        paired = not self.avx512 and across >= ENOUGH
        vectors += vectors % 2 if paired else 0
        every = min(EVERY, time)
        return _Geometry(cells, components, time, every, vectors, self.width, threads, paired)

    def checkpoints(self, geometry: _Geometry, like: Tensor) -> Tensor:
        """Return room for the states at checkpoints."""
        return _aligned(geometry.checkpoints(self.program.slots), like)

    def forward(self, request: Request, geometry: _Geometry, arrays: Arrays) -> None:
        """Run the forward kernel.

        It waits for one result after the other, so that two chains of them, written alternately,
        are faster; the reverse kernel has other work at hand and too few registers.
        """
        geometry = geometry.in_pairs()
        self._launch(self._kernel("forward", request, geometry), geometry, arrays)

    def reverse(self, request: Request, geometry: _Geometry, arrays: Arrays) -> None:
        """Run the reverse kernel."""
        kernel = self._kernel("reverse", request, geometry)
        record = (self.program.slots + kernel.saved) * geometry.vectors * geometry.width
        self._launch(kernel, geometry, arrays, (geometry.every + 1) * record)

    def _kernel(self, kind: str, request: Request, geometry: _Geometry) -> _Compiled:
        """Return a kernel, compiled on first use."""
        masked = self.avx512 or geometry.cells % geometry.width != 0
        shape = Shape(geometry.width, masked, geometry.components == 1)
        key = (kind, request, shape)
        with self._lock:
            if key not in self._kernels:
                self._kernels[key] = self._compile(kind, request, shape)
            return self._kernels[key]

    def _compile(self, kind: str, request: Request, shape: Shape) -> _Compiled:
        avx512 = self.avx512
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

    def _launch(
        self,
        kernel: _Compiled,
        geometry: _Geometry,
        arrays: Arrays,
        scratch: int = 0,
    ) -> None:
        """Run a kernel over all blocks, shared out among threads; ``scratch`` values for each."""
        table = [arrays[name].data_ptr() if name in arrays else None for name in kernel.names]
        pointers = (ctypes.c_void_p * len(table))(*table)
        sizes = geometry.sizes()
        example = arrays["initial", 0]

        def work(first: int, last: int) -> None:
            room = example.new_empty(scratch + 16)
            place = room.data_ptr()
            kernel.call(sizes, pointers, place + -place % 64, first, last)

        share_out(work, geometry.blocks, geometry.threads)


def _aligned(count: int, like: Tensor) -> Tensor:
    """Return uninitialised memory for ``count`` values that starts on a cache line."""
    room = like.new_empty(count + 16)
    skip = -room.data_ptr() % 64 // like.element_size()
    return room[skip : skip + count]
