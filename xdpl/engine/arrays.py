"""Operations of torch that move values along the short axis of a state, on arrays of values.

A tensor of shape (cell, component, size) is a numpy array of graph values of shape (1, 1, size):
column axes shrink to 1, since every operation treats their entries alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .folding import Value
from .graph import Graph
from .tracing import Axes, Unsupported

__all__ = ["REARRANGE", "Array", "Site", "shrink"]

Array = NDArray[np.object_]


def shrink(shape: Sequence[int], axes: Axes) -> tuple[int, ...]:
    """Return a shape with its column axes at length 1."""
    return tuple(1 if size in axes else int(size) for size in shape)


class Site:
    """Where an operation stands: the graph, torch's shapes before and after, the column axes."""

    def __init__(
        self, graph: Graph, axes: Axes, before: tuple[int, ...], after: tuple[int, ...]
    ) -> None:
        self.graph, self.axes, self.before, self.after = graph, axes, before, after

    def short(self, dim: int) -> int:
        """Return an axis that isn't a column axis, counted from the front."""
        rank = len(self.before)
        dim = dim + rank if dim < 0 else dim
        if self.before[dim] in self.axes:
            raise Unsupported("works along the axis of cells or components")
        return dim

    def is_column(self, dim: int) -> bool:
        """Whether ``dim`` is an axis of cells or components."""
        return self.before[dim] in self.axes


def _view(site: Site, x: Array, *_: object) -> Array:
    def places(shape: tuple[int, ...]) -> list[tuple[int, int]]:
        return [(n, math.prod(shape[:i])) for i, n in enumerate(shape) if n in site.axes]

    if places(site.before) != places(site.after):
        raise Unsupported("mixes the axes of cells and components with others")
    return x.reshape(shrink(site.after, site.axes))


def _expand(site: Site, x: Array, *_: object) -> Array:
    return np.broadcast_to(x, shrink(site.after, site.axes))


def _bounds(n: int, start: int | None, end: int | None, step: int) -> slice:
    return slice(*slice(start, end, step).indices(n))


def _slice(
    site: Site,
    x: Array,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Array:
    if site.is_column(dim) and site.before == site.after:
        return x  # x[:]
    dim = site.short(dim)
    return x[(slice(None),) * dim + (_bounds(x.shape[dim], start, end, step),)]


def _select(site: Site, x: Array, dim: int, index: int) -> Array:
    return np.take(x, index, axis=site.short(dim))


def _slice_scatter(
    site: Site,
    x: Array,
    source: Array,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Array:
    if site.is_column(dim) and source.shape == x.shape:
        return source
    dim = site.short(dim)
    result = x.copy()
    result[(slice(None),) * dim + (_bounds(x.shape[dim], start, end, step),)] = source
    return result


def _select_scatter(site: Site, x: Array, source: Array, dim: int, index: int) -> Array:
    dim = site.short(dim)
    result = x.copy()
    result[(slice(None),) * dim + (index,)] = source
    return result


def _cat(site: Site, parts: Sequence[Array], dim: int = 0) -> Array:
    return np.concatenate([p for p in parts if p.size], axis=site.short(dim))


def _stack(site: Site, parts: Sequence[Array], dim: int = 0) -> Array:
    return np.stack(parts, axis=dim)


def _flip(site: Site, x: Array, dims: Sequence[int]) -> Array:
    return np.flip(x, axis=tuple(site.short(d) for d in dims))


def _roll(site: Site, x: Array, shifts: Sequence[int], dims: Sequence[int] = ()) -> Array:
    return np.roll(x, tuple(shifts), axis=tuple(site.short(d) for d in dims))


def _pad(site: Site, x: Array, pad: Sequence[int], value: float = 0.0) -> Array:
    for k in range(0, len(pad), 2):
        dim = x.ndim - 1 - k // 2
        before, after = pad[k], pad[k + 1]
        if before == after == 0:
            continue
        site.short(dim)
        fill = site.graph.constant(float(value))

        def block(n: int, x: Array = x, dim: int = dim, fill: Value = fill) -> Array:
            return _filled(fill, (*x.shape[:dim], max(n, 0), *x.shape[dim + 1 :]))

        keep = slice(max(-before, 0), x.shape[dim] - max(-after, 0))
        x = x[(slice(None),) * dim + (keep,)]
        x = np.concatenate([block(before), x, block(after)], axis=dim)
    return x


def _squeeze(site: Site, x: Array, dims: int | Sequence[int]) -> Array:
    wanted = (dims,) if isinstance(dims, int) else tuple(dims)
    gone = tuple(d % x.ndim for d in wanted if site.before[d] == 1)
    return np.squeeze(x, axis=gone)


def _fold(op: str) -> Callable[..., Array]:
    def reduce(
        site: Site,
        x: Array,
        dim: int | Sequence[int] | None = None,
        keepdim: bool = False,
        **_: object,
    ) -> Array:
        if dim is None or dim == []:
            dim = range(x.ndim)
        dims = [site.short(d) for d in ([dim] if isinstance(dim, int) else dim)]
        for d in sorted(dims, reverse=True):
            total = np.take(x, 0, axis=d)
            for k in range(1, x.shape[d]):
                total = _each(site.graph, op, total, np.take(x, k, axis=d))
            x = np.expand_dims(total, d) if keepdim else total
        return x

    return reduce


def _mean(
    site: Site, x: Array, dim: int | Sequence[int] | None = None, keepdim: bool = False, **_: object
) -> Array:
    total = _fold("add")(site, x, dim, keepdim)
    count = site.graph.constant(x.size / max(total.size, 1))
    return _each(site.graph, "div", total, _filled(count, total.shape))


def _cumsum(site: Site, x: Array, dim: int, **_: object) -> Array:
    dim = site.short(dim)
    parts = [np.take(x, 0, axis=dim)]
    for k in range(1, x.shape[dim]):
        parts.append(_each(site.graph, "add", parts[-1], np.take(x, k, axis=dim)))
    return np.stack(parts, axis=dim)


def _filled(value: Value, shape: tuple[int, ...]) -> Array:
    # not np.full, which makes a plain number of a value
    one = np.empty(1, dtype=object)
    one[0] = value
    return np.broadcast_to(one, shape)


def _each(graph: Graph, op: str, a: Array, b: Array) -> Array:
    result = np.empty(a.shape, dtype=object)
    for i in np.ndindex(a.shape):
        result[i] = graph(op, a.item(i), b.item(i))
    return result


def _index(site: Site, x: Array, indices: Sequence[Any]) -> Array:
    picked = [k for k, index in enumerate(indices) if index is not None]
    if len(picked) != 1:
        raise Unsupported("indexes several axes at once")
    dim = site.short(picked[0])
    return np.take(x, np.asarray(indices[dim]), axis=dim)


def _index_select(site: Site, x: Array, dim: int, index: object) -> Array:
    return np.take(x, np.asarray(index), axis=site.short(dim))


def _index_put(
    site: Site, x: Array, indices: Sequence[Any], values: Array, accumulate: bool = False
) -> Array:
    picked = [k for k, index in enumerate(indices) if index is not None]
    if len(picked) != 1 or np.ndim(indices[picked[0]]) != 1:
        raise Unsupported("indexes several axes at once")
    dim = site.short(picked[0])
    result = np.moveaxis(x.copy(), dim, 0)
    source = np.moveaxis(np.broadcast_to(values, _indexed(x, dim, indices[dim])), dim, 0)
    for k, place in enumerate(np.asarray(indices[dim])):
        result[place] = (
            _each(site.graph, "add", result[place], source[k]) if accumulate else source[k]
        )
    return np.moveaxis(result, 0, dim)


def _indexed(x: Array, dim: int, index: Any) -> tuple[int, ...]:
    return (*x.shape[:dim], len(index), *x.shape[dim + 1 :])


def _split(site: Site, x: Array, size: int | Sequence[int], dim: int = 0) -> list[Array]:
    dim = site.short(dim)
    if isinstance(size, int):
        cuts = list(range(size, x.shape[dim], size))
    else:
        cuts = list(np.cumsum(size)[:-1])
    return list(np.split(x, cuts, axis=dim))


def _unbind(site: Site, x: Array, dim: int = 0) -> list[Array]:
    dim = site.short(dim)
    return [np.take(x, k, axis=dim) for k in range(x.shape[dim])]


def _identity(site: Site, x: Array, *_: object, **__: object) -> Array:
    return x


REARRANGE: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("view.default", "_unsafe_view.default", "reshape.default"), _view),
    **dict.fromkeys(("expand.default", "broadcast_to.default"), _expand),
    **dict.fromkeys(
        (
            "alias.default",
            "clone.default",
            "contiguous.default",
            "detach.default",
            "lift_fresh_copy.default",
            "lift_fresh.default",
        ),
        _identity,
    ),
    "slice.Tensor": _slice,
    "slice_scatter.default": _slice_scatter,
    "select.int": _select,
    "select_scatter.default": _select_scatter,
    "cat.default": _cat,
    "stack.default": _stack,
    "flip.default": _flip,
    "roll.default": _roll,
    "constant_pad_nd.default": _pad,
    "unsqueeze.default": lambda site, x, dim: np.expand_dims(x, dim),
    **dict.fromkeys(("squeeze.dim", "squeeze.dims"), _squeeze),
    "permute.default": lambda site, x, dims: np.transpose(x, dims),
    "transpose.int": lambda site, x, a, b: np.swapaxes(x, a, b),
    "sum.dim_IntList": _fold("add"),
    "sum.default": _fold("add"),
    "amax.default": _fold("max"),
    "amin.default": _fold("min"),
    "prod.dim_int": _fold("mul"),
    "mean.dim": _mean,
    "cumsum.default": _cumsum,
    "index.Tensor": _index,
    "index_select.default": _index_select,
    **dict.fromkeys(("index_put.default", "_unsafe_index_put.default"), _index_put),
    **dict.fromkeys(("split.Tensor", "split_with_sizes.default"), _split),
    "unbind.int": _unbind,
}
"""By name and overload, such as "slice.Tensor"."""
