"""A small graph of scalar operations: what a step is once torch is out of the way.

A value is the index of a node. Equal nodes are the same value, constants fold, and only
rewrites that keep IEEE results (up to the sign of zero) are made, so that a graph computes what
the traced step computes, NaN included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .folding import Node, Operand, Value, fold, simplify

__all__ = ["BIT_OPS", "BOOL_OPS", "Graph", "Node", "Operand", "Value", "cone", "select_outputs"]


Rule = Callable[["Graph", str, tuple[Value, ...]], "Value | None"]

BOOL_OPS = frozenset({"lt", "le", "eq", "ne", "and", "or", "not", "xor"})
BIT_OPS = frozenset({"bits", "iadd", "isub", "iand", "ishl", "isar", "iconst"})
_COMMUTE = frozenset({"add", "mul", "eq", "ne", "and", "or", "xor", "iadd", "iand"})
_LEAVES = frozenset({"const", "iconst", "in"})


class Graph:
    """Nodes in order of evaluation, and the values that leave the graph.

    Attributes
    ----------
    nodes : list of Node
    kinds : list of {"real", "bool", "bits"}
    outputs : list of Value
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.kinds: list[str] = []
        self.outputs: list[Value] = []
        self._known: dict[tuple[object, ...], int] = {}

    # ---- construction --------------------------------------------------------------------
    def raw(self, op: str, *args: int, attr: object = None) -> Value:
        """Return the node as it stands, without simplification."""
        if op in _COMMUTE and args[1] < args[0]:
            args = (args[1], args[0])
        key = (op, args, repr(attr))  # repr tells 1.0 from True and 0.0 from -0.0
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(Node(op, tuple(int(a) for a in args), attr))  # type: ignore[arg-type]
            self.kinds.append(self._kind(op, args, attr))
        return Value(self._known[key])

    def _kind(self, op: str, args: tuple[int, ...], attr: object) -> str:
        if op == "const":
            return "bool" if isinstance(attr, bool) else "real"
        if op in BOOL_OPS:
            return "bool"
        if op in BIT_OPS:
            return "bits"
        return self.kinds[args[1]] if op == "where" else "real"

    def constant(self, value: float | bool) -> Value:
        """Return a constant."""
        return self.raw("const", attr=value if isinstance(value, bool) else float(value))

    def input(self, kind: str, index: int) -> Value:
        """Return the input ``index`` of a kind, such as ("state", 2)."""
        return self.raw("in", attr=(kind, index))

    def literal(self, value: int) -> float | bool | None:
        """Return the constant that a value is, or None."""
        node = self.nodes[value]
        return node.attr if node.op == "const" else None  # type: ignore[return-value]

    def __call__(self, op: str, *operands: Operand) -> Value:
        """Return the simplified node for an operation on values and constants."""
        args = tuple(self._value(a) for a in operands)
        literals = [self.literal(a) for a in args]
        folded = fold(op, literals)
        if folded is not None:
            return self.constant(folded)
        simpler = simplify(self, op, args, literals)
        return self.raw(op, *args) if simpler is None else simpler

    def _value(self, operand: Operand) -> Value:
        if isinstance(operand, Value):
            return operand
        if isinstance(operand, (float, bool)):
            return self.constant(operand)
        raise TypeError(f"{operand!r} is neither a Value nor a float or bool")

    # ---- passes --------------------------------------------------------------------------
    def live(self) -> list[int]:
        """Values that the outputs need, in order of evaluation."""
        return sorted(cone(self, self.outputs))

    def rewrite(self, rule: Rule | None = None) -> Graph:
        """Rebuild what is live; ``rule`` may replace a node."""
        new = Graph()
        at: dict[int, Value] = {}
        for i in self.live():
            op, args, attr = self.nodes[i]
            mapped = tuple(at[a] for a in args)
            if op in _LEAVES:
                at[i] = new.raw(op, attr=attr)
                continue
            made = None if rule is None else rule(new, op, mapped)
            at[i] = new(op, *mapped) if made is None else made
        new.outputs = [at[o] for o in self.outputs]
        return new

    def dependent(self, on: Callable[[tuple[str, int]], bool]) -> set[int]:
        """Values that depend on any input for which ``on(name)`` holds."""
        found: set[int] = set()
        for i, (op, args, attr) in enumerate(self.nodes):
            if (op == "in" and on(attr)) or any(a in found for a in args):  # type: ignore[arg-type]
                found.add(i)
        return found

    def used_inputs(self) -> set[tuple[str, int]]:
        """Names of the inputs that the outputs need."""
        return {self.nodes[i].attr for i in self.live() if self.nodes[i].op == "in"}  # type: ignore[misc]

    def signature(self) -> str:
        """Text that two graphs share exactly when they compute the same in the same order."""
        at = {i: k for k, i in enumerate(self.live())}
        lines = [
            f"{op} {' '.join(str(at[a]) for a in args)} {attr!r}"
            for op, args, attr in (self.nodes[i] for i in at)
        ]
        return "\n".join([*lines, " ".join(str(at[o]) for o in self.outputs)])


def cone(graph: Graph, outputs: Iterable[int]) -> set[int]:
    """Values that the given outputs need."""
    seen: set[int] = set()
    stack = [int(o) for o in outputs]
    while stack:
        i = stack.pop()
        if i not in seen:
            seen.add(i)
            stack.extend(graph.nodes[i].args)
    return seen


def select_outputs(graph: Graph, keep: Iterable[int]) -> Graph:
    """Return a graph of some of the outputs only."""
    view = Graph()
    view.nodes, view.kinds = graph.nodes, graph.kinds
    view.outputs = [graph.outputs[i] for i in keep]
    return view.rewrite()
