"""Small kernels over vectors of cells, for what stands around the time loop of a step."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .threads import share_out, threads_for

if TYPE_CHECKING:  # loaded with the first kernel
    import llvmlite.ir as ll

__all__ = ["BLOCK", "Columnwise", "Writer"]

BLOCK = 64
"""Vectors of cells that one call goes through together, row by row."""


class Writer:
    """Writes the code of one vector of cells: constants, rows of arrays, and vectors kept.

    Attributes
    ----------
    v : VectorBuilder
    b : llvmlite.ir.IRBuilder
    size : dict of str to llvmlite.ir.Value
        The numbers that the kernel was called with.
    """

    def __init__(self, kernel: Columnwise, dtype: torch.dtype, width: int, masked: bool) -> None:
        import llvmlite.ir as ll

        from .vector import INT, VectorBuilder, int64

        single = dtype == torch.float32
        self.module = ll.Module(kernel.name)
        pointer = (ll.FloatType() if single else ll.DoubleType()).as_pointer()
        kinds = [INT.as_pointer(), pointer.as_pointer(), pointer, INT, INT]
        function = ll.Function(self.module, ll.FunctionType(ll.VoidType(), kinds), kernel.name)
        self.b = b = ll.IRBuilder(function.append_basic_block("entry"))
        self.v = VectorBuilder(self.module, b, single, width, masked)
        self.int64, self.width = int64, width
        numbers, pointers, _, self.first, self.last = function.args
        self.size = {k: b.load(b.gep(numbers, [int64(i)])) for i, k in enumerate(kernel.sizes)}
        self.base = {k: b.load(b.gep(pointers, [int64(i)])) for i, k in enumerate(kernel.arrays)}

    def source(self, body: Callable[[Writer], None]) -> str:
        """Return LLVM source: ``body``, once for each block of vectors."""
        b, int64 = self.b, self.int64
        with self.v.loop(self.last, self.first) as block:
            self.start = b.mul(block, int64(BLOCK * self.width))
            left = b.sub(self.size["cells"], self.start)
            filled = b.sdiv(b.add(left, int64(self.width - 1)), int64(self.width))
            few = b.icmp_signed("<", filled, int64(BLOCK))
            self.vectors = b.select(few, filled, int64(BLOCK))
            body(self)
        b.ret_void()
        return str(self.module)

    def _place(self, i: ll.Value) -> tuple[ll.Value, ll.Value | None]:
        b, cells = self.b, self.size["cells"]
        at = b.add(self.start, b.mul(i, self.int64(self.width)))
        if self.v.masked:
            return at, self.v.mask(b.sub(cells, at))
        # the last vector moves back to where it is full, and does a few cells once more
        last = b.sub(cells, self.int64(self.width))
        return b.select(b.icmp_signed("<", at, last), at, last), None

    def row(self, key: str, number: ll.Value) -> ll.Value:
        """Return where row ``number`` of an array begins."""
        return self.b.gep(self.base[key], [self.b.mul(number, self.size["cells"])])

    def read(self, key: str, number: ll.Value, i: ll.Value) -> ll.Value:
        """Load vector ``i`` of the block from a row."""
        at, mask = self._place(i)
        return self.v.load(self.row(key, number), at, mask)

    def write(self, value: ll.Value, key: str, number: ll.Value, i: ll.Value) -> None:
        """Store vector ``i`` of the block to a row."""
        at, mask = self._place(i)
        self.v.store(value, self.row(key, number), at, mask)

    def multiply_add(self, a: ll.Value, c: ll.Value, d: ll.Value) -> ll.Value:
        """Return a * c + d, rounded once where the processor can."""
        flags = ("contract",)
        return self.b.fadd(self.b.fmul(a, c, flags=flags), d, flags=flags)


@dataclass(frozen=True)
class Columnwise:
    """A kernel that treats each cell by itself, so that threads share out the cells.

    Parameters
    ----------
    name : str
        Of the kernel.
    sizes : tuple of str
        The numbers it wants; "cells" among them.
    arrays : tuple of str
        The arrays it may get, rows of cells.
    body : callable
        Writes what is done with a block of vectors. It may be done twice with a cell, so that
        it must not add to what is in an array.
    """

    name: str
    sizes: tuple[str, ...]
    arrays: tuple[str, ...]
    body: Callable[[Writer], None]

    def run(self, arrays: Mapping[str, Tensor], sizes: Mapping[str, int], work: int) -> None:
        """Run over all cells; ``work`` is about how many steps of a model cost as much."""
        call, width = _compiled(self, next(iter(arrays.values())).dtype, sizes["cells"])
        numbers = (ctypes.c_int64 * len(self.sizes))(*(sizes[k] for k in self.sizes))
        table = [arrays[k].data_ptr() if k in arrays else None for k in self.arrays]
        pointers = (ctypes.c_void_p * len(table))(*table)
        share_out(
            lambda first, last: call(numbers, pointers, None, first, last),
            -(-sizes["cells"] // (BLOCK * width)),
            threads_for(work),
        )


def _compiled(
    kernel: Columnwise, dtype: torch.dtype, cells: int
) -> tuple[Callable[..., None], int]:
    """Return the kernel's code and the lanes of its vectors."""
    from . import jit

    host = jit.host()
    width = host.width(dtype.itemsize)
    # without AVX-512 stores with masks are slow
    return _code(kernel, dtype, width, host.avx512 or cells < width), width


@cache
def _code(kernel: Columnwise, dtype: torch.dtype, width: int, masked: bool) -> Callable[..., None]:
    from . import jit

    return jit.compile_kernel(
        kernel.name,
        jit.host(),
        lambda: [str(dtype), str(width), str(masked)],
        lambda: Writer(kernel, dtype, width, masked).source(kernel.body),
    )
