"""What is known of a value's sign and size, so that special cases need no instructions."""

from __future__ import annotations

import math
from collections.abc import Callable

from .graph import Graph

__all__ = ["Ranges"]

Interval = tuple[float, float]
_ANY: Interval = (-math.inf, math.inf)


class Ranges:
    """Closed intervals that hold a graph's values wherever these aren't NaN."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[int, Interval] = {}

    def of(self, value: int) -> Interval:
        """Return (lowest, highest)."""
        stack = [int(value)]
        while stack:
            i = stack[-1]
            missing = [a for a in self._graph.nodes[i].args if a not in self._known]
            if missing and i not in self._known:
                stack.extend(missing)
                continue
            stack.pop()
            self._known.setdefault(i, self._infer(i))
        return self._known[int(value)]

    def _infer(self, i: int) -> Interval:
        op, args, attr = self._graph.nodes[i]
        if op == "const":
            value = float(attr)  # type: ignore[arg-type]
            return _ANY if math.isnan(value) else (value, value)
        rule = _RULES.get(op)
        if rule is None:
            return _ANY
        low, high = rule(*(self._known[a] for a in args))
        return (
            -math.inf if math.isnan(low) else low,
            math.inf if math.isnan(high) else high,
        )


def _mul(a: Interval, b: Interval) -> Interval:
    if a[0] >= 0 and b[0] >= 0:
        high = math.inf if math.inf in (a[1], b[1]) else a[1] * b[1]
        return a[0] * b[0] if math.inf not in (a[0], b[0]) else 0.0, high
    return _ANY


def _div(a: Interval, b: Interval) -> Interval:
    return (0.0, math.inf) if a[0] >= 0 and b[0] >= 0 else _ANY


_RULES: dict[str, Callable[..., Interval]] = {
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _mul,
    "div": _div,
    "neg": lambda a: (-a[1], -a[0]),
    "abs": lambda a: (max(a[0], -a[1], 0.0), max(a[1], -a[0])),
    "exp": lambda a: (0.0, math.inf),
    "sqrt": lambda a: (0.0, math.inf),
    "sigmoid": lambda a: (0.0, 1.0),
    "tanh": lambda a: (-1.0, 1.0),
    "real": lambda a: (0.0, 1.0),
    "where": lambda c, a, b: (min(a[0], b[0]), max(a[1], b[1])),
}
