"""From torch's graph of a step to the engine's own: every tensor becomes its scalar values."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

from .arrays import REARRANGE, Array, Site, shrink
from .elementwise import ELEMENTWISE, as_bool, as_real
from .folding import Value
from .graph import Graph
from .tracing import Axes, Unsupported

__all__ = ["lower"]

_CREATE = {
    "full_like.default": 1,
    "zeros_like.default": 0.0,
    "ones_like.default": 1.0,
    "new_zeros.default": 0.0,
    "new_ones.default": 1.0,
    "new_full.default": 2,
}
_LARGEST_CONSTANT = 4096


def lower(module: torch.fx.GraphModule, kinds: list[str], axes: Axes, dtype: torch.dtype) -> Graph:
    """Return the graph of a traced function.

    Parameters
    ----------
    module : torch.fx.GraphModule
        Functional aten operations, as `trace_step` gives them.
    kinds : list of str
        The kind of each placeholder ("forcing", "state"...), in order. The values of an array
        are numbered from its first, so that inputs of a kind are numbered throughout.
    axes : Axes
        The lengths that stand for cells and components.
    dtype : torch.dtype
        Of all real values.

    Raises
    ------
    Unsupported
        Names the first operation that has no place in the graph.
    """
    return _Lowering(module, axes, dtype).run(kinds)


class _Lowering:
    """One pass over torch's graph. A value is a torch constant or an array of graph values."""

    def __init__(self, module: torch.fx.GraphModule, axes: Axes, dtype: torch.dtype) -> None:
        self.module, self.axes, self.dtype = module, axes, dtype
        self.graph = Graph()
        self.values: dict[torch.fx.Node, object] = {}

    def run(self, kinds: list[str]) -> Graph:
        kind, count = iter(kinds), dict.fromkeys(kinds, 0)
        for node in self.module.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node, next(kind), count)
            elif node.op == "get_attr":
                self.values[node] = self._constant(node)
            elif node.op == "call_function":
                self.values[node] = self._checked(node, self._call(node))
            elif node.op == "output":
                leaves = torch.utils._pytree.tree_leaves(node.args[0])
                self.graph.outputs = [v for leaf in leaves for v in self._leaving(leaf)]
        return self.graph

    def _leaving(self, leaf: torch.fx.Node) -> list[Value]:
        shape = tuple(leaf.meta["val"].shape)
        if shape[:2] != (self.axes.cells, self.axes.components):
            raise Unsupported(f"a result of shape {shape} without the axes of the cells")
        return [as_real(self.graph, v) for v in self._array(self.values[leaf]).ravel()]

    def _placeholder(self, node: torch.fx.Node, kind: str, count: dict[str, int]) -> Array:
        shape = shrink(node.meta["val"].shape, self.axes)
        array = np.empty(shape, dtype=object)
        for i in np.ndindex(shape):
            array[i] = self.graph.input(kind, count[kind])
            count[kind] += 1
        return array

    def _constant(self, node: torch.fx.Node) -> torch.Tensor:
        fresh = all("lift_fresh" in str(user.target) for user in node.users)
        if not fresh:
            raise Unsupported("a tensor from outside the step: pass it as a parameter or a float")
        value = getattr(self.module, str(node.target))
        return value.detach()

    def _call(self, node: torch.fx.Node) -> Any:
        args = [self._argument(a) for a in node.args]
        kwargs = {k: self._argument(v) for k, v in node.kwargs.items()}
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = str(node.target).removeprefix("aten.")
        if name in _CREATE:
            return self._create(node, _CREATE[name], args)
        if not _symbolic([*args, *kwargs.values()]):
            return self._evaluate(node, name, args, kwargs)
        if name == "_to_copy.default":
            return self._convert(node, args[0])
        if name in REARRANGE:
            return self._rearrange(node, name, args, kwargs)
        if name in ELEMENTWISE:
            return self._elementwise(node, name, args, kwargs)
        raise Unsupported(f"{name}, which has no place in the fused loop")

    def _argument(self, argument: object) -> Any:
        if isinstance(argument, torch.fx.Node):
            return self.values[argument]
        if isinstance(argument, (list, tuple)):
            return [self._argument(a) for a in argument]
        return argument

    def _create(self, node: torch.fx.Node, fill: float | int, args: list[Any]) -> torch.Tensor:
        meta = node.meta["val"]
        value = fill if isinstance(fill, float) else args[fill]
        if isinstance(value, np.ndarray):
            raise Unsupported("a tensor filled with a computed value")
        return torch.full(meta.shape, value, dtype=meta.dtype)

    def _evaluate(
        self, node: torch.fx.Node, name: str, args: list[Any], kwargs: dict[str, object]
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise Unsupported(f"{name}, which is random")
        return node.target(*args, **kwargs)  # type: ignore[operator]

    def _convert(self, node: torch.fx.Node, value: Array) -> Array:
        change = as_bool if node.meta["val"].dtype == torch.bool else as_real
        return _map(lambda v: change(self.graph, v), value)

    def _rearrange(
        self, node: torch.fx.Node, name: str, args: list[object], kwargs: dict[str, object]
    ) -> Any:
        before = node.args[0]
        first = before[0] if isinstance(before, (list, tuple)) else before
        after = node.meta["val"]
        site = Site(
            self.graph,
            self.axes,
            tuple(first.meta["val"].shape),  # type: ignore[union-attr]
            () if isinstance(after, (list, tuple)) else tuple(after.shape),
        )
        given = self._moved(name, args)
        kwargs.pop("memory_format", None)
        try:
            return REARRANGE[name](site, *given, **kwargs)
        except Unsupported as error:
            raise Unsupported(f"{name}, which {error}") from None

    def _moved(self, name: str, args: list[Any]) -> list[object]:
        """Return arguments as arrays of values; an index stays the constant that it is."""
        place = {"index": 1, "index_put": 1, "_unsafe_index_put": 1, "index_select": 2}
        index = place.get(name.split(".")[0])
        if index is not None and _symbolic([args[index]]):
            raise Unsupported(f"{name}, whose index depends on values")
        given = list(args)
        for k, argument in enumerate(args):
            if k == index:
                continue
            if _is_value(argument):
                given[k] = self._array(argument)
            elif isinstance(argument, list) and any(map(_is_value, argument)):
                given[k] = [self._array(a) for a in argument]
        if name.startswith("sum."):  # a sum of truth values counts them
            given[0] = _map(lambda v: as_real(self.graph, v), given[0])
        return given

    def _elementwise(
        self, node: torch.fx.Node, name: str, args: list[Any], kwargs: dict[str, object]
    ) -> Array:
        truth = name.startswith(("where", "logical", "bitwise", "masked_fill"))
        kwargs = {k: v for k, v in kwargs.items() if k != "dtype" and v is not None}
        names = list(kwargs)
        operands = [self._operand(a, truth) for a in [*args, *kwargs.values()]]
        arrays = np.broadcast_arrays(*operands)
        emit, positional = ELEMENTWISE[name], len(args)
        result = np.empty(arrays[0].shape, dtype=object)
        for i in np.ndindex(result.shape):
            values = [a[i] for a in arrays]
            keywords = dict(zip(names, values[positional:], strict=True))
            result[i] = emit(self.graph, *values[:positional], **keywords)
        return result

    def _operand(self, value: Any, truth: bool) -> Array:
        if _is_value(value):
            array = self._array(value)
            return array if truth else _map(lambda v: as_real(self.graph, v), array)
        box = np.empty((), dtype=object)
        plain = value is None or isinstance(value, bool)
        box[()] = value if plain else float(value)
        return box

    def _array(self, value: Any) -> Array:
        """Return graph values of a constant; its column axes must be uniform."""
        if isinstance(value, np.ndarray):
            return value
        for dim, size in enumerate(value.shape):
            if size in self.axes:
                first = value.narrow(dim, 0, 1)
                if not torch.equal(first.expand_as(value), value):
                    raise Unsupported("a constant that differs between cells or components")
                value = first
        if value.numel() > _LARGEST_CONSTANT:
            raise Unsupported(f"a constant of {value.numel()} values")
        array = np.empty(tuple(value.shape), dtype=object)
        for i in np.ndindex(array.shape):
            item = value[i].item()
            array[i] = self.graph.constant(item if isinstance(item, bool) else float(item))
        return array

    def _checked(self, node: torch.fx.Node, value: Any) -> Any:
        meta = node.meta.get("val")
        if not isinstance(value, np.ndarray) or not isinstance(meta, torch.Tensor):
            return value
        if value.shape != shrink(meta.shape, self.axes):
            raise Unsupported(f"{node.target} that gives shape {tuple(meta.shape)}")
        counts = meta.dtype == torch.int64 and "aten.sum." in str(node.target)
        if meta.dtype not in (self.dtype, torch.bool) and not counts:
            raise Unsupported(f"{node.target} that gives {meta.dtype}")
        return value


def _is_value(value: object) -> bool:
    return isinstance(value, (np.ndarray, torch.Tensor))


def _symbolic(args: Any) -> bool:
    return any(
        isinstance(a, np.ndarray) or (isinstance(a, (list, tuple)) and _symbolic(a)) for a in args
    )


def _map(function: Any, array: Array) -> Array:
    result = np.empty(array.shape, dtype=object)
    for i in np.ndindex(array.shape):
        result[i] = function(array[i])
    return result
