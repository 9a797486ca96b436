"""What the recomputation of a segment leaves behind for the adjoint, instead of computing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from .folding import Value
from .graph import Graph, cone
from .rewrites import invariant

__all__ = ["save_shared"]

_COST = {"exp": 14, "log": 14, "pow": 28, "tanh": 20, "expm1": 20, "log1p": 18, "sigmoid": 18}
_COST |= {"div": 4, "sqrt": 4, "const": 0, "in": 0}
_PRICE = 5
"""Operations that a saved value must spare: it is stored once and loaded once."""


def save_shared(
    recompute: Graph, adjoint: Graph, varying: Collection[str], static: Collection[int]
) -> tuple[Graph, Graph, int]:
    """Let the adjoint read values that the recomputation has at hand.

    Returns
    -------
    recompute : Graph
        With the saved values as further outputs.
    adjoint : Graph
        With inputs ("saved", k) in their place.
    saved : int
        Their number.
    """
    both = Graph()
    states = _copy(recompute, both)
    cotangents = _copy(adjoint, both)
    still = invariant(both, varying, static)
    shared = cone(both, states) - still
    kept = _choose(both, cotangents, {i for i in shared if both.kinds[i] == "real"})
    reading = _read_saved(both, cotangents, kept)
    both.outputs = [*states, *(Value(i) for i in kept)]
    return both.rewrite(), reading, len(kept)


def _copy(source: Graph, into: Graph) -> list[Value]:
    at: dict[int, Value] = {}
    for i in source.live():
        op, args, attr = source.nodes[i]
        at[i] = into.raw(op, *(at[a] for a in args), attr=attr)
    return [at[o] for o in source.outputs]


def _choose(graph: Graph, outputs: list[Value], candidates: set[int]) -> list[int]:
    """Take, one after the other, the candidate that spares the outputs most."""
    uses = Counter(a for i in cone(graph, outputs) for a in set(graph.nodes[i].args))
    uses.update(int(o) for o in set(outputs))
    chosen: set[int] = set()
    while True:
        gains = {i: _spared(graph, i, uses, chosen)[0] for i in candidates if uses[i]}
        best = max(sorted(gains), key=lambda i: gains[i], default=None)
        if best is None or gains[best] <= _PRICE:
            # what became unused after it was chosen needn't be kept
            return sorted(i for i in chosen if uses[i])
        uses.subtract(_spared(graph, best, uses, chosen)[1])
        chosen.add(best)
        candidates = candidates - {best}


def _spared(
    graph: Graph, value: int, uses: Counter[int], chosen: set[int]
) -> tuple[int, Counter[int]]:
    """Return the cost of what only ``value`` needs, itself included, and the uses that end."""
    ended: Counter[int] = Counter()
    gain, stack = 0, [value]
    while stack:
        i = stack.pop()
        node = graph.nodes[i]
        gain += _COST.get(node.op, 1)
        for a in set(node.args):
            ended[a] += 1
            if ended[a] == uses[a] and a not in chosen:
                stack.append(a)
    return gain, ended


def _read_saved(graph: Graph, outputs: list[Value], kept: list[int]) -> Graph:
    """Return the graph that reads the kept values."""
    at = {i: k for k, i in enumerate(kept)}
    new = Graph()
    values: dict[int, Value] = {}
    needed: set[int] = set()
    stack = [int(o) for o in outputs]
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            if i not in at:
                stack.extend(graph.nodes[i].args)
    for i in sorted(needed):
        op, args, attr = graph.nodes[i]
        if i in at:
            values[i] = new.input("saved", at[i])
        else:
            values[i] = new.raw(op, *(values[a] for a in args), attr=attr)
    new.outputs = [values[o] for o in outputs]
    return new
