"""Convolution along time, cell by cell: unit hydrographs without torch's slow grouped kernels."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import DeclarationError
from .threads import share_out, threads_for

__all__ = ["convolve"]

_SIZES = ("cells", "time", "lags")
_ARRAYS = ("series", "weights", "result", "cotangent", "series_gradient", "weights_gradient")


def convolve(series: Tensor, weights: Tensor) -> Tensor:
    """Return the sum over lags of weights times the series that many steps before.

    Parameters
    ----------
    series : Tensor (lag - 1 + time, cell)
        The first ``lag - 1`` steps are those before the first result.
    weights : Tensor (lag, cell)
        Weight of the value 0, 1, 2... steps before.

    Returns
    -------
    Tensor (time, cell)
        Differentiable once in both.

    Raises
    ------
    DeclarationError
        Shapes or dtypes don't fit together.
    """
    fits = series.dim() == weights.dim() == 2 and series.shape[1] == weights.shape[1]
    if not fits or weights.shape[0] < 1 or series.shape[0] < weights.shape[0]:
        raise DeclarationError(
            f"a series of shape {tuple(series.shape)} can't be convolved with weights of shape "
            f"{tuple(weights.shape)}. Give (lag - 1 + time, cell) and (lag, cell)."
        )
    if series.dtype != weights.dtype or series.device != weights.device:
        raise DeclarationError(
            f"the series is {series.dtype} on {series.device}, its weights are {weights.dtype} on "
            f"{weights.device}. Convert them to one of both."
        )
    if series.device.type != "cpu" or series.dtype not in (torch.float32, torch.float64):
        return _by_torch(series, weights)
    return _Convolve.apply(series, weights)


def _by_torch(series: Tensor, weights: Tensor) -> Tensor:
    # a grouped convolution wants (1, cell, time); torch's is a correlation, hence the flip
    routed = torch.nn.functional.conv1d(
        series.T.unsqueeze(0), weights.flip(0).T.unsqueeze(1), groups=series.shape[1]
    )
    return routed[0].T


class _Convolve(torch.autograd.Function):
    """The convolution and its adjoint."""

    @staticmethod
    def forward(ctx: Any, series: Tensor, weights: Tensor) -> Tensor:
        series, weights = series.contiguous(), weights.contiguous()
        ctx.save_for_backward(series, weights)
        result = series.new_empty(series.shape[0] - weights.shape[0] + 1, series.shape[1])
        _launch("convolve", {"series": series, "weights": weights, "result": result})
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        series, weights = ctx.saved_tensors
        arrays = {
            "series": series,
            "weights": weights,
            "cotangent": cotangent.contiguous(),
            "series_gradient": torch.empty_like(series),
            "weights_gradient": torch.zeros_like(weights),
        }
        _launch("correlate", arrays)
        return arrays["series_gradient"], arrays["weights_gradient"]


def _launch(name: str, arrays: dict[str, Tensor]) -> None:
    lags, cells = arrays["weights"].shape
    time = arrays["series"].shape[0] - lags + 1
    call, width = _kernel(name, arrays["series"].dtype)
    sizes = (ctypes.c_int64 * len(_SIZES))(cells, time, lags)
    table = [arrays[key].data_ptr() if key in arrays else None for key in _ARRAYS]
    pointers = (ctypes.c_void_p * len(table))(*table)
    # one step here is far cheaper than one of a model
    share_out(
        lambda first, last: call(sizes, pointers, None, first, last),
        -(-cells // width),
        threads_for(cells * time * lags // 32),
    )


@cache
def _kernel(name: str, dtype: torch.dtype) -> tuple[Any, int]:
    from . import jit

    host = jit.host()
    width = host.width(dtype.itemsize)
    call = jit.compile_kernel(
        name, host, lambda: [str(dtype), str(width)], lambda: _source(name, dtype, width)
    )
    return call, width


def _source(name: str, dtype: torch.dtype, width: int) -> str:
    """Return LLVM source of one of the two kernels, for vectors of cells."""
    import llvmlite.ir as ll

    from .vector import INT, VectorBuilder, int64

    single = dtype == torch.float32
    module = ll.Module(name)
    pointer = (ll.FloatType() if single else ll.DoubleType()).as_pointer()
    kinds = [INT.as_pointer(), pointer.as_pointer(), pointer, INT, INT]
    function = ll.Function(module, ll.FunctionType(ll.VoidType(), kinds), name)
    b = ll.IRBuilder(function.append_basic_block("entry"))
    v = VectorBuilder(module, b, single, width, masked=True)
    numbers, pointers, _, first, last = function.args
    cells, time, lags = (b.load(b.gep(numbers, [int64(i)])) for i in range(len(_SIZES)))
    base = {key: b.load(b.gep(pointers, [int64(i)])) for i, key in enumerate(_ARRAYS)}
    total = v.room(1)
    zero = int64(0)

    def row(key: str, step: ll.Value) -> ll.Value:
        return b.gep(base[key], [b.mul(step, cells)])

    with v.loop(last, first) as i:
        at = b.mul(i, int64(width))
        mask = v.mask(b.sub(cells, at))

        def read(key: str, step: ll.Value) -> ll.Value:
            return v.load(row(key, step), at, mask)

        def add(a: ll.Value, c: ll.Value) -> None:
            product = b.fmul(a, c, flags=("contract",))
            v.put(b.fadd(v.get(total, zero), product, flags=("contract",)), total, zero)

        before = b.sub(lags, int64(1))
        if name == "convolve":
            with v.loop(time) as t:
                v.put(v.constant(0.0), total, zero)
                with v.loop(lags) as k:
                    add(read("weights", k), read("series", b.sub(b.add(t, before), k)))
                v.store(v.get(total, zero), row("result", t), at, mask)
        else:
            with v.loop(b.add(time, before)) as j:
                # the steps t = j - before + k that there are
                low = b.sub(before, j)
                low = b.select(b.icmp_signed(">", low, zero), low, zero)
                high = b.sub(b.add(time, before), j)
                high = b.select(b.icmp_signed("<", high, lags), high, lags)
                v.put(v.constant(0.0), total, zero)
                with v.loop(high, low) as k:
                    add(read("weights", k), read("cotangent", b.add(b.sub(j, before), k)))
                v.store(v.get(total, zero), row("series_gradient", j), at, mask)
            with v.loop(time) as t:
                slope = read("cotangent", t)
                with v.loop(lags) as k:
                    term = b.fmul(
                        slope, read("series", b.sub(b.add(t, before), k)), flags=("contract",)
                    )
                    value = b.fadd(read("weights_gradient", k), term, flags=("contract",))
                    v.store(value, row("weights_gradient", k), at, mask)
    b.ret_void()
    return str(module)
