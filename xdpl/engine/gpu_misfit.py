# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# Triton reads the annotations of its kernels, and knows none but its own
"""The squared misfit on a GPU: two kernels in Triton, each one pass over both series."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Misfit"]

ACROSS, DOWN = 32, 32
"""Cells and steps of a tile."""


@triton.jit
def _sum(
    simulated, observed, total, count, cells, time, ACROSS: tl.constexpr, DOWN: tl.constexpr
) -> None:
    cell = tl.program_id(0) * ACROSS + tl.arange(0, ACROSS)
    step = tl.arange(0, DOWN).to(tl.int64)[:, None]
    squares = tl.zeros([DOWN, ACROSS], total.dtype.element_ty)
    number = tl.zeros([DOWN, ACROSS], total.dtype.element_ty)
    for begin in range(0, time, DOWN):
        inside = (begin + step < time) & (cell < cells)[None, :]
        at = (begin + step) * cells + cell[None, :]
        target = tl.load(observed + at, mask=inside, other=float("nan"))
        value = tl.load(simulated + at, mask=inside, other=0.0)
        seen = target == target
        difference = tl.where(seen, value - target, 0.0)
        squares += difference * difference
        number += tl.where(seen, 1.0, 0.0)
    tl.store(total + cell, tl.sum(squares, axis=0), mask=cell < cells)
    tl.store(count + cell, tl.sum(number, axis=0), mask=cell < cells)


@triton.jit
def _back(
    simulated, observed, factor, slope, cells, time, ACROSS: tl.constexpr, DOWN: tl.constexpr
) -> None:
    cell = tl.program_id(0) * ACROSS + tl.arange(0, ACROSS)
    step = (tl.program_id(1) * DOWN + tl.arange(0, DOWN)).to(tl.int64)[:, None]
    inside = (step < time) & (cell < cells)[None, :]
    at = step * cells + cell[None, :]
    weight = tl.load(factor + cell, mask=cell < cells, other=0.0)[None, :]
    target = tl.load(observed + at, mask=inside, other=float("nan"))
    value = tl.load(simulated + at, mask=inside, other=0.0)
    result = tl.where(target == target, 2.0 * (value - target) * weight, 0.0)
    tl.store(slope + at, result, mask=inside)


class Misfit(torch.autograd.Function):
    """Sum of squared differences of each cell, and the number of observations."""

    @staticmethod
    def forward(ctx: Any, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        simulated, observed = simulated.contiguous(), observed.contiguous()
        ctx.save_for_backward(simulated, observed)
        time, cells = simulated.shape
        total, count = simulated.new_empty(cells), simulated.new_empty(cells)
        grid = (triton.cdiv(cells, ACROSS),)
        with torch.cuda.device_of(simulated):  # Triton launches on the current one
            _sum[grid](simulated, observed, total, count, cells, time, ACROSS, DOWN)
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor, _: Tensor) -> tuple[Tensor, None]:
        simulated, observed = ctx.saved_tensors
        time, cells = simulated.shape
        slope = torch.empty_like(simulated)
        grid = (triton.cdiv(cells, ACROSS), triton.cdiv(time, DOWN))
        factor = factor.contiguous()
        with torch.cuda.device_of(simulated):
            _back[grid](simulated, observed, factor, slope, cells, time, ACROSS, DOWN)
        return slope, None
