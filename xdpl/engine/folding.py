"""Constant folding and algebra of the graph: only what keeps IEEE results."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["Builder", "Literal", "Node", "Operand", "Value", "fold", "simplify"]


class Value(int):
    """Index of a node; a class of its own, so that a plain int is a constant."""


class Node(NamedTuple):
    """One operation: its name, the values it takes, and a constant or an input's name."""

    op: str
    args: tuple[int, ...] = ()
    attr: float | bool | int | tuple[str, int] | None = None


Literal = float | bool
Literals = list[float | bool | None]
Operand = Value | float | bool


class Builder(Protocol):
    """What a rule looks at, and builds with: a graph."""

    nodes: list[Node]

    def __call__(self, op: str, *operands: Operand) -> Value:
        """Return the simplified node for an operation on values and constants."""


def _minimum(a: float, b: float) -> float:
    return math.nan if a != a or b != b else min(a, b)


def _maximum(a: float, b: float) -> float:
    return math.nan if a != a or b != b else max(a, b)


_EVALUATE: dict[str, Callable[..., Literal]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": abs,
    "min": _minimum,
    "max": _maximum,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "pow": math.pow,
    "tanh": math.tanh,
    "expm1": math.expm1,
    "log1p": math.log1p,
    "floor": lambda a: float(math.floor(a)),
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "xor": lambda a, b: a != b,
    "not": lambda a: not a,
    "real": lambda a: 1.0 if a else 0.0,
}


def fold(op: str, literals: Literals) -> Literal | None:
    """Return the constant result, or None where an operand varies or Python can't say."""
    if op not in _EVALUATE or any(value is None for value in literals):
        return None
    try:
        return _EVALUATE[op](*literals)
    except (ArithmeticError, ValueError):
        return None  # the machine makes an infinity or a NaN of it


def simplify(graph: Builder, op: str, args: tuple[Value, ...], literals: Literals) -> Value | None:
    """Return a simpler equal value, or None."""
    rule = _RULES.get(op)
    return rule(graph, args, literals) if rule is not None else None


def _negated(graph: Builder, value: int) -> Value | None:
    node = graph.nodes[value]
    return Value(node.args[0]) if node.op == "neg" else None


def _add(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    for here, other in ((0, 1), (1, 0)):
        if literals[here] == 0:
            return args[other]
        negated = _negated(graph, args[here])
        if negated is not None:
            return graph("sub", args[other], negated)
    return None


def _sub(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    if literals[1] == 0:
        return args[0]
    if literals[0] == 0:
        return graph("neg", args[1])
    negated = _negated(graph, args[1])
    return None if negated is None else graph("add", args[0], negated)


def _mul(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    for here, other in ((0, 1), (1, 0)):
        if literals[here] == 1:
            return args[other]
        if literals[here] == -1:
            return graph("neg", args[other])
    first, second = _negated(graph, args[0]), _negated(graph, args[1])
    if first is not None and second is not None:
        return graph("mul", first, second)
    # signs travel outwards, where additions swallow them
    if first is not None:
        return graph("neg", graph("mul", first, args[1]))
    if second is not None:
        return graph("neg", graph("mul", args[0], second))
    return None


def _div(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    divisor = literals[1]
    if divisor == 1:
        return args[0]
    if divisor is not None and divisor != 0 and math.frexp(abs(divisor))[0] == 0.5:
        return graph("mul", args[0], 1.0 / divisor)  # a power of two: exact
    first = _negated(graph, args[0])
    if first is not None:
        return graph("neg", graph("div", first, args[1]))
    return None


def _neg(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    op, inner, _ = graph.nodes[args[0]]
    if op == "neg":
        return Value(inner[0])
    if op == "sub":
        return graph("sub", Value(inner[1]), Value(inner[0]))
    return None


def _where(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    condition, yes, no = args
    if literals[0] is not None:
        return yes if literals[0] else no
    if yes == no:
        return yes
    node = graph.nodes[condition]
    if node.op == "not":
        return graph("where", Value(node.args[0]), no, yes)
    inner = graph.nodes[yes]
    if inner.op == "where" and inner.args[0] == condition:
        return graph("where", condition, Value(inner.args[1]), no)
    inner = graph.nodes[no]
    if inner.op == "where" and inner.args[0] == condition:
        return graph("where", condition, yes, Value(inner.args[2]))
    return None


def _and(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    for here, other in ((0, 1), (1, 0)):
        if literals[here] is not None:
            return args[other] if literals[here] else args[here]
    return args[0] if args[0] == args[1] else None


def _or(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    for here, other in ((0, 1), (1, 0)):
        if literals[here] is not None:
            return args[here] if literals[here] else args[other]
    return args[0] if args[0] == args[1] else None


def _not(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    node = graph.nodes[args[0]]
    return Value(node.args[0]) if node.op == "not" else None


def _same(graph: Builder, args: tuple[Value, ...], literals: Literals) -> Value | None:
    return args[0] if args[0] == args[1] else None


_RULES = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "where": _where,
    "and": _and,
    "or": _or,
    "not": _not,
    "min": _same,
    "max": _same,
}
