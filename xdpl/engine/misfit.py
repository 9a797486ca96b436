"""Squared misfit of series in one pass, where torch takes a pass for every operation."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .columnwise import BLOCK, Columnwise, Writer

if TYPE_CHECKING:
    import llvmlite.ir as ll

__all__ = ["squared_misfit"]

_PART = 32
"""Steps that are summed by themselves, so that rounding grows with the square root of time."""
_STEPS_PER_MODEL_STEP = 16  # one step here is far cheaper than one of a model


def squared_misfit(simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each cell the sum of squared differences and the number of observations.

    Parameters
    ----------
    simulated, observed : Tensor (time, cell)
        NaN in ``observed`` is "not observed" and carries neither misfit nor gradient.

    Returns
    -------
    total, count : Tensor (cell,)
        ``total`` is differentiable once in ``simulated``.
    """
    fits = (
        simulated.device == observed.device
        and simulated.dtype == observed.dtype
        and simulated.dtype in (torch.float32, torch.float64)
        and simulated.shape == observed.shape
        and simulated.dim() == 2
        and not observed.requires_grad
    )
    kernels = _kernels(simulated.device.type) if fits else None
    if kernels is None:
        return _by_torch(simulated, observed)
    total, count = kernels.apply(simulated, observed)
    return total, count


def _kernels(device: str) -> type[torch.autograd.Function] | None:
    """The autograd function that runs on a kind of device, or None."""
    if device == "cpu":
        return _Misfit
    if device == "cuda":
        with contextlib.suppress(ImportError):  # Triton isn't installed everywhere
            from .gpu_misfit import Misfit

            return Misfit
    return None


def _by_torch(simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    seen = ~torch.isnan(observed)
    difference = torch.where(seen, simulated - observed, 0.0)
    return (difference * difference).sum(0), seen.to(simulated.dtype).sum(0)


class _Misfit(torch.autograd.Function):
    """Sums over time, and their adjoint."""

    @staticmethod
    def forward(ctx: Any, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        simulated, observed = simulated.contiguous(), observed.contiguous()
        ctx.save_for_backward(simulated, observed)
        total, count = simulated.new_empty(2, simulated.shape[1]).unbind()
        arrays = {"simulated": simulated, "observed": observed, "total": total, "count": count}
        _run(_SUM, arrays)
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor, None]:
        simulated, observed = ctx.saved_tensors
        gradient = torch.empty_like(simulated)
        arrays = {"simulated": simulated, "observed": observed, "slope": slope.contiguous()}
        _run(_SLOPE, arrays | {"gradient": gradient})
        return gradient, None


def _run(kernel: Columnwise, arrays: dict[str, Tensor]) -> None:
    time, cells = arrays["simulated"].shape
    kernel.run(arrays, {"cells": cells, "time": time}, time * cells // _STEPS_PER_MODEL_STEP)


def _difference(w: Writer, t: ll.Value, i: ll.Value) -> tuple[ll.Value, ll.Value]:
    """Return the difference, 0 where nothing was observed, and whether something was."""
    observed = w.read("observed", t, i)
    seen = w.b.fcmp_ordered("==", observed, observed)
    difference = w.b.fsub(w.read("simulated", t, i), observed)
    return w.b.select(seen, difference, w.v.constant(0.0)), seen


def _write_sum(w: Writer) -> None:
    v, b, int64, time = w.v, w.b, w.int64, w.size["time"]
    total, count, part = (v.room(BLOCK) for _ in range(3))
    zero, one = v.constant(0.0), v.constant(1.0)
    with v.loop(w.vectors) as i:
        v.put(zero, total, i)
        v.put(zero, count, i)
    with v.loop(b.sdiv(b.add(time, int64(_PART - 1)), int64(_PART))) as k:
        begin = b.mul(k, int64(_PART))
        end = b.add(begin, int64(_PART))
        end = b.select(b.icmp_signed("<", end, time), end, time)
        with v.loop(w.vectors) as i:
            v.put(zero, part, i)
        with v.loop(end, begin) as t, v.loop(w.vectors) as i:
            difference, seen = _difference(w, t, i)
            v.put(w.multiply_add(difference, difference, v.get(part, i)), part, i)
            v.put(b.fadd(v.get(count, i), b.select(seen, one, zero)), count, i)
        with v.loop(w.vectors) as i:
            v.put(b.fadd(v.get(total, i), v.get(part, i)), total, i)
    with v.loop(w.vectors) as i:
        w.write(v.get(total, i), "total", int64(0), i)
        w.write(v.get(count, i), "count", int64(0), i)


def _write_slope(w: Writer) -> None:
    v, b = w.v, w.b
    twice = v.room(BLOCK)
    with v.loop(w.vectors) as i:
        v.put(b.fmul(w.read("slope", w.int64(0), i), v.constant(2.0)), twice, i)
    with v.loop(w.size["time"]) as t, v.loop(w.vectors) as i:
        difference, seen = _difference(w, t, i)
        # a select, since an infinite slope times 0 would be NaN
        gradient = b.select(seen, b.fmul(difference, v.get(twice, i)), v.constant(0.0))
        w.write(gradient, "gradient", t, i)


_SIZES = ("cells", "time")
_SUM = Columnwise("squared_misfit", _SIZES, ("simulated", "observed", "total", "count"), _write_sum)
_SLOPE = Columnwise(
    "misfit_slope", _SIZES, ("simulated", "observed", "slope", "gradient"), _write_slope
)
