"""Rewrites of a graph that make it cheaper; each keeps its values up to rounding."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection

from .folding import Value
from .graph import Graph
from .ranges import Ranges

__all__ = [
    "COTANGENTS",
    "COTANGENTS",
    "drop_cotangents",
    "expand_functions",
    "expand_powers",
    "invariant",
    "share_divisions",
]

COTANGENTS = ("state_cotangent", "output_cotangent")
"""Kinds of the inputs that only an adjoint has."""
COTANGENTS = ("state_cotangent", "output_cotangent")
"""Kinds of the inputs that only an adjoint has."""
_LARGEST_POWER = 8


def expand_powers(graph: Graph, *, every: bool) -> Graph:
    """Return a graph with products and square roots for powers with a constant exponent.

    With ``every``, any other power becomes exp and log, which it may share; its relative error
    is then that of the exponent's product with the logarithm.
    """
    ranges: dict[int, Ranges] = {}
    powers = [n for i in graph.live() if (n := graph.nodes[i]).op == "pow"]
    bases = {n.args[0] for n in powers if every and graph.literal(n.args[1]) is None}

    def rule(g: Graph, op: str, args: tuple[Value, ...]) -> Value | None:
        if op != "pow":
            return None
        exponent = g.literal(args[1])
        if exponent is not None and abs(exponent) <= _LARGEST_POWER and exponent * 2 % 1 == 0:
            return _half_integer_power(g, args[0], float(exponent))
        if not every:
            return None
        known = ranges.setdefault(id(g), Ranges(g))
        return _power(g, *args, positive=known.of(args[0])[0] >= 0)

    return _share_logarithms(graph, bases).rewrite(rule)


def _share_logarithms(graph: Graph, bases: Collection[int]) -> Graph:
    """Take the logarithm of a power's base, which its slope needs, from the power's own."""
    known = Ranges(graph)
    signed = {b for b in bases if known.of(b)[0] < 0}
    new = Graph()
    at: dict[int, Value] = {}
    for i in graph.live():
        op, args, attr = graph.nodes[i]
        mapped = [at[a] for a in args]
        if op in ("const", "in"):
            at[i] = new.raw(op, attr=attr)
        elif op == "log" and args[0] in signed:
            logarithm = new("log", new("abs", mapped[0]))
            at[i] = new("where", new("lt", mapped[0], 0.0), math.nan, logarithm)
        else:
            at[i] = new(op, *mapped)
    new.outputs = [at[o] for o in graph.outputs]
    return new


def _half_integer_power(g: Graph, x: Value, exponent: float) -> Value:
    """x**n from products, with a square root for the half."""
    n = int(abs(exponent))
    result = g("sqrt", x) if abs(exponent) % 1 else None
    square = x
    while n:
        if n & 1:
            result = square if result is None else g("mul", result, square)
        n >>= 1
        if n:
            square = g("mul", square, square)
    if result is None:
        return g.constant(1.0)
    return g("div", 1.0, result) if exponent < 0 else result


def _power(g: Graph, x: Value, y: Value, *, positive: bool) -> Value:
    """x**y for any y, with the special cases of IEEE 754 that torch follows."""
    size = x if positive else g("abs", x)
    result = g("exp", g("mul", y, g("log", size)))
    if not positive:
        # x < 0: NaN unless y is an integer, whose parity is the sign; y is often invariant
        half = g("mul", y, 0.5)
        sign = g("where", g("eq", g("floor", half), half), 1.0, -1.0)
        sign = g("where", g("eq", g("floor", y), y), sign, math.nan)
        result = g("where", g("lt", x, 0.0), g("mul", result, sign), result)
    return g("where", g("eq", y, 0.0), 1.0, result)


def expand_functions(graph: Graph, *, double: bool = False) -> Graph:
    """Return a graph of exp, log and arithmetic, accurate to a few ulp."""
    terms = 17 if double else 9

    def rule(g: Graph, op: str, args: tuple[Value, ...]) -> Value | None:
        if op == "sigmoid":
            return g("div", 1.0, g("add", 1.0, g("exp", g("neg", args[0]))))
        if op == "expm1":
            return _expm1(g, args[0], terms)
        if op == "log1p":
            return _log1p(g, args[0])
        return _tanh(g, args[0], terms) if op == "tanh" else None

    return graph.rewrite(rule)


def _expm1(g: Graph, x: Value, terms: int) -> Value:
    series = g.constant(1.0 / math.factorial(terms))
    for n in range(terms - 1, 0, -1):
        series = g("add", g("mul", series, x), 1.0 / math.factorial(n))
    near = g("lt", g("abs", x), 0.5)
    return g("where", near, g("mul", series, x), g("sub", g("exp", x), 1.0))


def _log1p(g: Graph, x: Value) -> Value:
    # the logarithm of the rounded sum, plus what rounding lost
    total = g("add", 1.0, x)
    lost = g("div", g("sub", x, g("sub", total, 1.0)), total)
    lost = g("where", g("lt", g("abs", lost), 1.0), lost, 0.0)  # x = -1 and x = inf lose nothing
    return g("add", g("log", total), lost)


def _tanh(g: Graph, x: Value, terms: int) -> Value:
    bounded = g("min", g("max", x, -20.0), 20.0)
    less = _expm1(g, g("mul", bounded, 2.0), terms)
    return g("div", less, g("add", less, 2.0))


def invariant(graph: Graph, varying: Collection[str], static: Collection[int]) -> set[int]:
    """Values that are the same at every time step.

    Parameters
    ----------
    graph : Graph
    varying : collection of str
        Kinds of inputs that vary.
    static : collection of int
        Indices of the inputs of kind "parameter" that don't.
    """
    moving = graph.dependent(
        lambda name: name[0] in varying or (name[0] == "parameter" and name[1] not in static)
    )
    return set(range(len(graph.nodes))) - moving


def share_divisions(graph: Graph, varying: Collection[str], static: Collection[int]) -> Graph:
    """Return a graph that inverts a divisor once instead of dividing by it several times.

    A step compares its own quotients with bounds, so they stay exact: x * (1 / y) may be 1 where
    x is below y. A soil just short of its capacity would then count as full without spilling, and
    its gradient would grow at every step. Cotangents are compared with nothing.
    """
    still = invariant(graph, varying, static)
    slopes = graph.dependent(lambda name: name[0] in COTANGENTS)
    live = graph.live()
    uses = Counter(graph.nodes[i].args[1] for i in live if graph.nodes[i].op == "div")
    at: dict[int, Value] = {}
    new = Graph()
    for i in live:
        op, args, attr = graph.nodes[i]
        mapped = [at[a] for a in args]
        if op in ("const", "in", "iconst"):
            at[i] = new.raw(op, attr=attr)
        elif op != "div" or i in still or graph.nodes[args[1]].op == "const":
            at[i] = new(op, *mapped)
        elif i in slopes and (args[1] in still or uses[args[1]] > 1):
            at[i] = new("mul", mapped[0], new("div", 1.0, mapped[1]))
        elif args[1] in still:
            at[i] = _exact_quotient(new, *mapped)
        else:
            at[i] = new(op, *mapped)
    new.outputs = [at[o] for o in graph.outputs]
    return new


def _exact_quotient(g: Graph, x: Value, y: Value) -> Value:
    """The quotient x / y, rounded as a division rounds it, from the inverse of y.

    One correction with a fused multiply-add does (Markstein 1990, doi:10.1147/rd.341.0111).
    The correction is NaN where x or y is zero, infinite or NaN: there the product is exact.
    """
    inverse = g("div", 1.0, y)
    product = g("mul", x, inverse)
    rest = g("fma", g("neg", product), y, x)
    return g("where", g("eq", rest, rest), g("fma", rest, inverse, product), product)


def drop_cotangents(graph: Graph, names: Collection[tuple[str, int]]) -> Graph:
    """Return the adjoint without the cotangents of outputs that nothing depends on.

    These are absent, which is more than zero: zero times an infinite slope would be NaN.
    """
    absent: set[Value] = set()
    new = Graph()
    at: dict[int, Value] = {}

    def mark(value: Value) -> Value:
        absent.add(value)
        return value

    for i in graph.live():
        op, args, attr = graph.nodes[i]
        mapped = [at[a] for a in args]
        gone = [a in absent for a in mapped]
        if op == "in" and attr in names:
            at[i] = mark(new.raw("absent"))
        elif op in ("const", "in"):
            at[i] = new.raw(op, attr=attr)
        elif any(gone):
            at[i] = _without(new, op, mapped, gone)
            if at[i] == new.raw("absent"):
                mark(at[i])
        else:
            at[i] = new(op, *mapped)
    new.outputs = [new.constant(0.0) if at[o] in absent else at[o] for o in graph.outputs]
    return new.rewrite()


def _without(g: Graph, op: str, args: list[Value], gone: list[bool]) -> Value:
    absent = g.raw("absent")
    if op == "add":
        return args[1] if gone[0] else args[0]
    if op == "sub":
        return args[0] if gone[1] and not gone[0] else absent if all(gone) else g("neg", args[1])
    if op in ("mul", "neg") or (op == "div" and gone[0]):
        return absent
    if op == "where" and all(gone[1:]):
        return absent
    return g(op, *(0.0 if lost else value for value, lost in zip(args, gone, strict=True)))
