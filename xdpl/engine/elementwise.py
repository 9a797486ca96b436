"""What every elementwise operation of torch is in the graph, with torch's NaN semantics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import overload

from .folding import Operand, Value
from .graph import Graph

__all__ = ["ELEMENTWISE", "as_bool", "as_real"]

Emit = Callable[..., Value]


@overload
def as_bool(g: Graph, value: Value) -> Value: ...
@overload
def as_bool(g: Graph, value: Operand) -> Operand: ...
def as_bool(g: Graph, value: Operand) -> Operand:
    """Return a truth value: a real one is true where it isn't zero."""
    real = isinstance(value, Value) and g.kinds[value] == "real"
    return g("ne", value, 0.0) if real else value


@overload
def as_real(g: Graph, value: Value) -> Value: ...
@overload
def as_real(g: Graph, value: Operand) -> Operand: ...
def as_real(g: Graph, value: Operand) -> Operand:
    """Return a real value: 1 where true."""
    truth = isinstance(value, Value) and g.kinds[value] == "bool"
    return g("real", value) if truth else value


def _plain(op: str) -> Emit:
    return lambda g, *args: g(op, *args)


def _swapped(op: str) -> Emit:
    return lambda g, a, b: g(op, b, a)


def _truth(op: str) -> Emit:
    return lambda g, *args: g(op, *(as_bool(g, a) for a in args))


def _scaled(g: Graph, value: Operand, alpha: float) -> Operand:
    return value if alpha == 1 else g("mul", value, float(alpha))


def _add(g: Graph, a: Operand, b: Operand, alpha: float = 1) -> Value:
    return g("add", a, _scaled(g, b, alpha))


def _sub(g: Graph, a: Operand, b: Operand, alpha: float = 1) -> Value:
    return g("sub", a, _scaled(g, b, alpha))


def _rsub(g: Graph, a: Operand, b: Operand, alpha: float = 1) -> Value:
    return g("sub", b, _scaled(g, a, alpha))


def _clamp(g: Graph, x: Operand, min: Operand | None = None, max: Operand | None = None) -> Value:  # noqa: A002
    if max is None:
        return g("max", x, -math.inf if min is None else min)
    return g("min", x if min is None else g("max", x, min), max)


def _sign(g: Graph, x: Operand) -> Value:
    # as torch: NaN has sign 0
    return g("where", g("lt", 0.0, x), 1.0, g("where", g("lt", x, 0.0), -1.0, 0.0))


def _softplus(g: Graph, x: Operand, beta: float = 1, threshold: float = 20) -> Value:
    z = g("mul", x, float(beta))
    smooth = g("div", g("log1p", g("exp", z)), float(beta))
    return g("where", g("lt", float(threshold), z), x, smooth)


def _softplus_backward(g: Graph, grad: Operand, x: Operand, beta: float, threshold: float) -> Value:
    z = g("mul", x, float(beta))
    return g("where", g("lt", float(threshold), z), grad, g("mul", grad, g("sigmoid", z)))


def _threshold_backward(g: Graph, grad: Operand, x: Operand, threshold: float) -> Value:
    return g("where", g("le", x, float(threshold)), 0.0, grad)


def _sigmoid_backward(g: Graph, grad: Operand, y: Operand) -> Value:
    return g("mul", grad, g("mul", g("sub", 1.0, y), y))


def _tanh_backward(g: Graph, grad: Operand, y: Operand) -> Value:
    return g("mul", grad, g("sub", 1.0, g("mul", y, y)))


def _where(g: Graph, condition: Operand, yes: Operand, no: Operand) -> Value:
    if isinstance(yes, Value) and isinstance(no, Value) and g.kinds[yes] != g.kinds[no]:
        yes, no = as_real(g, yes), as_real(g, no)
    return g("where", as_bool(g, condition), yes, no)


def _masked_fill(g: Graph, x: Operand, mask: Operand, value: Operand) -> Value:
    return g("where", as_bool(g, mask), value, x)


def _times(factor: float, op: str) -> Emit:
    return lambda g, x: g("mul", g(op, x), factor)


def _is_infinite(g: Graph, x: Operand) -> Value:
    return g("eq", g("abs", x), math.inf)


_BINARY: dict[str, Emit] = {
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _plain("mul"),
    "div": _plain("div"),
    "pow": _plain("pow"),
    "maximum": _plain("max"),
    "minimum": _plain("min"),
    "lt": _plain("lt"),
    "le": _plain("le"),
    "gt": _swapped("lt"),
    "ge": _swapped("le"),
    "eq": _plain("eq"),
    "ne": _plain("ne"),
    "clamp_min": lambda g, x, low: g("max", x, low),
    "clamp_max": lambda g, x, high: g("min", x, high),
    "clamp": _clamp,
    "masked_fill": _masked_fill,
    "where": _where,
    "logical_and": _truth("and"),
    "logical_or": _truth("or"),
    "logical_xor": _truth("xor"),
    "bitwise_and": _truth("and"),
    "bitwise_or": _truth("or"),
    "bitwise_xor": _truth("xor"),
}
_UNARY: dict[str, Emit] = {
    name: _plain(name)
    for name in (
        "neg abs exp log sqrt sin cos tan asin acos atan sinh cosh tanh sigmoid erf expm1 log1p "
        "floor ceil trunc"
    ).split()
}
_UNARY |= {
    "round": _plain("rint"),
    "reciprocal": lambda g, x: g("div", 1.0, x),
    "rsqrt": lambda g, x: g("div", 1.0, g("sqrt", x)),
    "square": lambda g, x: g("mul", x, x),
    "exp2": lambda g, x: g("exp", g("mul", x, math.log(2.0))),
    "log2": _times(1.0 / math.log(2.0), "log"),
    "log10": _times(1.0 / math.log(10.0), "log"),
    "relu": lambda g, x: g("max", x, 0.0),
    "sign": _sign,
    "sgn": _sign,
    "softplus": _softplus,
    "softplus_backward": _softplus_backward,
    "threshold_backward": _threshold_backward,
    "sigmoid_backward": _sigmoid_backward,
    "tanh_backward": _tanh_backward,
    "logical_not": _truth("not"),
    "bitwise_not": _truth("not"),
    "isnan": lambda g, x: g("ne", x, x),
    "isinf": _is_infinite,
}
_OVERLOADS = "Tensor Scalar Tensor_Tensor Tensor_Scalar default self ScalarSelf ScalarOther".split()

ELEMENTWISE: dict[str, Emit] = {
    f"{name}.{overload}": emit
    for table in (_BINARY, _UNARY)
    for name, emit in table.items()
    for overload in _OVERLOADS
}
"""By name and overload, such as "mul.Tensor"; any other overload (rounding modes) is unknown."""
