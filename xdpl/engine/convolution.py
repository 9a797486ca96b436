"""Convolution along time, cell by cell: unit hydrographs without torch's slow grouped kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import DeclarationError
from .columnwise import BLOCK, Columnwise, Writer

__all__ = ["convolve"]


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
        _launch(_CONVOLVE, {"series": series, "weights": weights, "result": result})
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
            "weights_gradient": torch.empty_like(weights),
        }
        _launch(_CORRELATE, arrays)
        return arrays["series_gradient"], arrays["weights_gradient"]


def _launch(kernel: Columnwise, arrays: dict[str, Tensor]) -> None:
    lags, cells = arrays["weights"].shape
    time = arrays["series"].shape[0] - lags + 1
    # one step here is far cheaper than one of a model
    kernel.run(arrays, {"cells": cells, "time": time, "lags": lags}, cells * time * lags // 32)


def _write_convolve(w: Writer) -> None:
    v, b = w.v, w.b
    total, zero = v.room(1), w.int64(0)
    before = b.sub(w.size["lags"], w.int64(1))
    with v.loop(w.vectors) as i, v.loop(w.size["time"]) as t:
        v.put(v.constant(0.0), total, zero)
        with v.loop(w.size["lags"]) as k:
            value = w.read("series", b.sub(b.add(t, before), k), i)
            v.put(w.multiply_add(w.read("weights", k, i), value, v.get(total, zero)), total, zero)
        w.write(v.get(total, zero), "result", t, i)


def _write_correlate(w: Writer) -> None:
    with w.v.loop(w.vectors) as i:
        _write_series_gradient(w, i)
    _write_weights_gradient(w)


def _write_series_gradient(w: Writer, i: object) -> None:
    v, b, time, lags = w.v, w.b, w.size["time"], w.size["lags"]
    total, zero = v.room(1), w.int64(0)
    before = b.sub(lags, w.int64(1))
    with v.loop(b.add(time, before)) as j:
        # the steps t = j - before + k that there are
        low = b.sub(before, j)
        low = b.select(b.icmp_signed(">", low, zero), low, zero)
        high = b.sub(b.add(time, before), j)
        high = b.select(b.icmp_signed("<", high, lags), high, lags)
        v.put(v.constant(0.0), total, zero)
        with v.loop(high, low) as k:
            slope = w.read("cotangent", b.add(b.sub(j, before), k), i)
            v.put(w.multiply_add(w.read("weights", k, i), slope, v.get(total, zero)), total, zero)
        w.write(v.get(total, zero), "series_gradient", j, i)


def _write_weights_gradient(w: Writer) -> None:
    # vectors innermost: their sums don't wait for one another
    v, b = w.v, w.b
    total = v.room(BLOCK)
    before = b.sub(w.size["lags"], w.int64(1))
    with v.loop(w.size["lags"]) as k:
        with v.loop(w.vectors) as i:
            v.put(v.constant(0.0), total, i)
        with v.loop(w.size["time"]) as t, v.loop(w.vectors) as i:
            value = w.read("series", b.sub(b.add(t, before), k), i)
            v.put(w.multiply_add(w.read("cotangent", t, i), value, v.get(total, i)), total, i)
        with v.loop(w.vectors) as i:
            w.write(v.get(total, i), "weights_gradient", k, i)


_SIZES = ("cells", "time", "lags")
_CONVOLVE = Columnwise("convolve", _SIZES, ("series", "weights", "result"), _write_convolve)
_CORRELATE = Columnwise(
    "correlate",
    _SIZES,
    ("series", "weights", "cotangent", "series_gradient", "weights_gradient"),
    _write_correlate,
)
