"""Run the kernels on a CUDA device, through Triton."""

from __future__ import annotations

import hashlib
import linecache
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .autograd import Arrays
from .gpu_source import argument_names, forward_source, reverse_source
from .plan import Request, plan_forward, plan_reverse
from .program import Program
from .tracing import Unsupported

__all__ = ["GpuLoop", "compile_source"]

EVERY = 8
"""Steps between two checkpoints."""
TILE = 32
"""Columns of a tile for each warp: one warp, so that sums over components stay within it."""
MANY = 2**17
"""Cells of one component from which two warps share a tile: more of them fit on the device."""


@dataclass(frozen=True)
class _Geometry:
    """Sizes of one run."""

    cells: int
    components: int
    time: int
    every: int

    @property
    def segments(self) -> int:
        return -(-self.time // self.every)

    @property
    def deep(self) -> int:
        """Components of a tile: a power of two."""
        return 1 << (self.components - 1).bit_length()

    @property
    def warps(self) -> int:
        """Warps of a tile."""
        return 2 if self.components == 1 and self.cells >= MANY else 1

    @property
    def across(self) -> int:
        """Cells of a tile."""
        return max(1, TILE * self.warps // self.deep)

    @property
    def tiles(self) -> int:
        return -(-self.cells // self.across)

    @property
    def padded(self) -> int:
        """Columns of all tiles."""
        return self.tiles * self.across * self.deep


class GpuLoop:
    """The time loop of one program on a GPU, or in Triton's interpreter."""

    def __init__(self, program: Program) -> None:
        try:
            import triton  # noqa: F401
        except ImportError:
            raise Unsupported("tensors on cuda, for which Triton isn't installed") from None
        self.program = program
        self._kernels: dict[Hashable, tuple[object, list[tuple[str, int]]]] = {}
        self._lock = threading.RLock()

    def prefers_columns(self, cells: int, components: int) -> bool:
        """Tiles take components as they come."""
        return False

    def geometry(self, time: int, cells: int, components: int) -> _Geometry:
        """Return the sizes of a run."""
        return _Geometry(cells, components, time, min(EVERY, time))

    def checkpoints(self, geometry: _Geometry, like: Tensor) -> Tensor:
        """Return room for the states at checkpoints."""
        return self._records(geometry.segments, geometry, like)

    def _records(self, steps: int, geometry: _Geometry, like: Tensor) -> Tensor:
        return like.new_empty(steps * self.program.slots * geometry.padded)

    def forward(self, request: Request, geometry: _Geometry, arrays: Arrays) -> None:
        """Run the forward kernel."""
        keep = ("checkpoint", 0) in arrays
        if not keep:
            arrays = {**arrays, ("checkpoint", 0): arrays["initial", 0]}
        self._launch("forward", request, geometry, arrays, keep)

    def reverse(self, request: Request, geometry: _Geometry, arrays: Arrays) -> None:
        """Run the reverse kernel."""
        scratch = self._records(geometry.every, geometry, arrays["initial", 0])
        arrays = {**arrays, ("scratch", 0): scratch}
        self._launch("reverse", request, geometry, arrays, True)

    def _launch(
        self, kind: str, request: Request, geometry: _Geometry, arrays: Arrays, keep: bool
    ) -> None:
        kernel, names = self._kernel(kind, request)
        largest = max(arrays[name].numel() for name in names)
        with torch.cuda.device_of(arrays["initial", 0]):  # Triton launches on the current one
            kernel[(geometry.tiles,)](
                *(arrays[name] for name in names),
                geometry.cells,
                geometry.components,
                geometry.time,
                geometry.segments,
                EVERY=geometry.every,
                KEEP=keep,
                ACROSS=geometry.across,
                DEEP=geometry.deep,
                WIDE=largest >= 2**31,
                num_warps=geometry.warps,
                enable_fp_fusion=True,
            )

    def _kernel(self, kind: str, request: Request) -> tuple[Any, list[tuple[str, int]]]:
        with self._lock:
            if (kind, request) not in self._kernels:
                source, names = self.source(kind, request)
                self._kernels[kind, request] = compile_source(source, kind), names
            return self._kernels[kind, request]

    def source(self, kind: str, request: Request) -> tuple[str, list[tuple[str, int]]]:
        """Return a kernel's source and the arrays that it takes."""
        if kind == "forward":
            forward = plan_forward(self.program, request, native=True, avx512=False)
            return forward_source(forward), argument_names(forward)
        reverse = plan_reverse(self.program, request, native=True, avx512=False)
        return reverse_source(reverse), argument_names(reverse)


def compile_source(source: str, name: str) -> Any:
    """Return the function ``name`` of Triton source that is in no file."""
    file = f"<xdpl-{name}-{hashlib.sha256(source.encode()).hexdigest()[:16]}>"
    # Triton reads a function's source through linecache
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": file}
    exec(compile(source, file, "exec"), space)
    return space[name]
