"""LLVM instructions for vectors of cells: types, loops, loads, stores, and the graph's nodes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import llvmlite.ir as ll

from .graph import Graph

__all__ = ["INT", "Read", "VectorBuilder", "int64"]

INT = ll.IntType(64)
Read = Callable[[], ll.Value]
"""Writes what reads a vector, where it is first needed."""
_I32, _I1 = ll.IntType(32), ll.IntType(1)
_FLAGS = ("contract", "nsz")  # a * b + c may round once; NaN and infinity stay what they are
_ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_ORDERED = {"lt": "<", "le": "<=", "eq": "=="}
_BITWISE = {
    "and": "and_",
    "or": "or_",
    "xor": "xor",
    "iadd": "add",
    "isub": "sub",
    "iand": "and_",
    "ishl": "shl",
    "isar": "ashr",
}
_INTRINSICS = {
    "sqrt": "sqrt",
    "abs": "fabs",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "rint",
    "fma": "fma",
}
_AVX512 = {"scalef": 4, "getexp": 4, "getmant": 4}
_CURRENT_ROUNDING = 4
_GETMANT_THREE_QUARTERS_NAN_IF_NEGATIVE = 11
LIBM = frozenset("exp log pow sin cos tan asin acos atan sinh cosh tanh erf expm1 log1p".split())
"""Functions taken from the C library one lane at a time."""


def int64(value: int) -> ll.Constant:
    """Return a 64-bit constant."""
    return ll.Constant(INT, value)


class VectorBuilder:
    """Writes instructions at one place of a function, for vectors of ``width`` cells.

    Parameters
    ----------
    module : llvmlite.ir.Module
    builder : llvmlite.ir.IRBuilder
    single : bool
        float32 rather than float64.
    width : int
        Lanes of a vector.
    masked : bool
        Loads and stores leave out the lanes beyond the last cell.
    """

    def __init__(
        self, module: ll.Module, builder: ll.IRBuilder, single: bool, width: int, masked: bool
    ) -> None:
        self.module, self.b, self.single, self.width = module, builder, single, width
        self.masked = masked
        self.real = ll.FloatType() if single else ll.DoubleType()
        self.integer = _I32 if single else INT
        self.bytes = 4 if single else 8
        self.vector = ll.VectorType(self.real, width)
        self.bits = ll.VectorType(self.integer, width)
        self.truth = ll.VectorType(_I1, width)

    # ---- constants and types -------------------------------------------------------------
    def constant(self, value: float | bool) -> ll.Constant:
        """Return a vector with one value in all lanes."""
        if isinstance(value, bool):
            return ll.Constant(self.truth, [int(value)] * self.width)
        if self.single:
            value = _to_single(value)
        return ll.Constant(self.vector, [ll.Constant(self.real, value)] * self.width)

    def type_of(self, kind: str) -> ll.Type:
        """Return the vector type of a kind of value."""
        return {"real": self.vector, "bool": self.truth, "bits": self.bits}[kind]

    # ---- memory --------------------------------------------------------------------------
    def room(self, count: int) -> ll.Value:
        """Return ``count`` aligned vectors on the stack."""
        with self.b.goto_entry_block():
            place = self.b.alloca(self.vector, count)
        place.align = self.bytes * self.width
        return place

    def get(self, place: ll.Value, index: ll.Value) -> ll.Value:
        """Load vector ``index`` of an aligned place."""
        return self.b.load(self.b.gep(place, [index]), align=self.bytes * self.width)

    def put(self, value: ll.Value, place: ll.Value, index: ll.Value) -> None:
        """Store vector ``index`` of an aligned place."""
        self.b.store(value, self.b.gep(place, [index]), align=self.bytes * self.width)

    def load(self, pointer: ll.Value, offset: ll.Value, mask: ll.Value) -> ll.Value:
        """Load the cells from ``pointer + offset`` on; lanes beyond the last cell are 0."""
        address = self._address(pointer, offset)
        if not self.masked:
            return self.b.load(address, align=self.bytes)
        function = self._declare(
            "llvm.masked.load", self.vector, [address.type, _I32, self.truth, self.vector], "p0"
        )
        return self.b.call(function, [address, _I32(self.bytes), mask, self.constant(0.0)])

    def store(self, value: ll.Value, pointer: ll.Value, offset: ll.Value, mask: ll.Value) -> None:
        """Store the cells from ``pointer + offset`` on."""
        address = self._address(pointer, offset)
        if not self.masked:
            self.b.store(value, address, align=self.bytes)
            return
        function = self._declare(
            "llvm.masked.store", ll.VoidType(), [self.vector, address.type, _I32, self.truth], "p0"
        )
        self.b.call(function, [value, address, _I32(self.bytes), mask])

    def prefetch(self, pointer: ll.Value) -> None:
        """Ask for the cache line at ``pointer``; any address will do, even one that isn't ours."""
        byte = ll.IntType(8).as_pointer()
        name = "llvm.prefetch.p0"
        if name not in self.module.globals:
            kind = ll.FunctionType(ll.VoidType(), [byte, _I32, _I32, _I32])
            ll.Function(self.module, kind, name)
        read, keep, data = _I32(0), _I32(3), _I32(1)
        self.b.call(self.module.globals[name], [self.b.bitcast(pointer, byte), read, keep, data])

    def _address(self, pointer: ll.Value, offset: ll.Value) -> ll.Value:
        return self.b.bitcast(self.b.gep(pointer, [offset]), self.vector.as_pointer())

    def mask(self, left: ll.Value) -> ll.Value:
        """Return the lanes that hold one of the ``left`` remaining cells."""
        lanes = ll.Constant(ll.VectorType(_I32, self.width), list(range(self.width)))
        return self.b.icmp_signed("<", lanes, self.splat(self.b.trunc(left, _I32)))

    def splat(self, value: ll.Value) -> ll.Value:
        """Return a vector with ``value`` in all lanes."""
        kind = ll.VectorType(value.type, self.width)
        undefined = ll.Constant(kind, ll.Undefined)
        first = self.b.insert_element(undefined, value, _I32(0))
        zeros = ll.Constant(ll.VectorType(_I32, self.width), [0] * self.width)
        return self.b.shuffle_vector(first, undefined, zeros)

    # ---- control -------------------------------------------------------------------------
    @contextmanager
    def loop(self, end: ll.Value, start: ll.Value | None = None) -> Iterator[ll.Value]:
        """Repeat what is written inside for ``start <= i < end``."""
        b = self.b
        before = b.block
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(INT)
        i.add_incoming(int64(0) if start is None else start, before)
        b.cbranch(b.icmp_signed("<", i, end), body, after)
        b.position_at_end(body)
        yield i
        following = b.add(i, int64(1), flags=("nsw",))
        i.add_incoming(following, b.block)
        b.branch(head)
        b.position_at_end(after)

    # ---- the graph -----------------------------------------------------------------------
    def evaluate(
        self,
        graph: Graph,
        inputs: Mapping[tuple[str, int], Read],
        known: Mapping[int, Read],
    ) -> dict[int, ll.Value]:
        """Write a graph's nodes and return the values of its outputs, by node.

        Parameters
        ----------
        graph : Graph
        inputs : mapping of (kind, index) to a callable that gives a vector
            Called once, where the input is first needed.
        known : mapping of int to callable
            Values that are read instead of computed, such as loop invariants.
        """
        values: dict[int, ll.Value] = {}
        for i in self._wanted(graph, known):
            op, args, attr = graph.nodes[i]
            if i in known:
                values[i] = known[i]()
            elif op == "in":
                values[i] = inputs[attr]()  # type: ignore[index]
            elif op == "const":
                values[i] = self.constant(attr)  # type: ignore[arg-type]
            elif op == "iconst":
                values[i] = ll.Constant(self.bits, [attr] * self.width)
            else:
                values[i] = self.node(graph, op, args, [values[a] for a in args])
        return {o: values[o] for o in graph.outputs}

    @staticmethod
    def _wanted(graph: Graph, known: Mapping[int, Read]) -> list[int]:
        seen: set[int] = set()
        stack = [int(o) for o in graph.outputs]
        while stack:
            i = stack.pop()
            if i not in seen:
                seen.add(i)
                if i not in known:
                    stack.extend(graph.nodes[i].args)
        return sorted(seen)

    def node(self, graph: Graph, op: str, args: tuple[int, ...], v: list[ll.Value]) -> ll.Value:
        """Write one operation."""
        b = self.b
        if op in _ARITHMETIC:
            return getattr(b, _ARITHMETIC[op])(*v, flags=_FLAGS)
        if op in _ORDERED:
            return b.fcmp_ordered(_ORDERED[op], *v)
        if op in _BITWISE:
            return getattr(b, _BITWISE[op])(*v)
        if op in _INTRINSICS:
            return self._intrinsic(_INTRINSICS[op], v)
        if op in _AVX512:
            return self._avx512(op, v)
        if op in LIBM:
            return self._by_lane(op, v)
        if op in ("min", "max"):
            return self._extreme(graph, op, args, v)
        return self._other(op, v)

    def _other(self, op: str, v: list[ll.Value]) -> ll.Value:
        b = self.b
        if op == "neg":
            return b.fneg(v[0])
        if op == "ne":
            return b.fcmp_unordered("!=", *v)
        if op == "not":
            return b.not_(v[0])
        if op == "where":
            return b.select(*v)
        if op == "real":
            return b.select(v[0], self.constant(1.0), self.constant(0.0))
        if op == "sigmoid":  # float64 only
            one = self.constant(1.0)
            return b.fdiv(one, b.fadd(one, self._by_lane("exp", [b.fneg(v[0])])))
        if op == "bits":
            return b.bitcast(v[0], self.bits)
        if op == "real_of_bits":
            return b.bitcast(v[0], self.vector)
        if op == "real_of_int":
            return b.sitofp(v[0], self.vector)
        raise NotImplementedError(op)

    def _extreme(self, graph: Graph, op: str, args: tuple[int, ...], v: list[ll.Value]) -> ll.Value:
        """Minimum or maximum; NaN if either is. A constant can't be, which saves a test."""
        b, sign = self.b, "<" if op == "min" else ">"
        if graph.literal(args[0]) is not None:
            v = v[::-1]
        if graph.literal(args[1]) is not None or graph.literal(args[0]) is not None:
            return b.select(b.fcmp_ordered(sign, v[1], v[0]), v[1], v[0])
        better = b.select(b.fcmp_ordered(sign, v[0], v[1]), v[0], v[1])
        return b.select(b.fcmp_unordered("uno", v[0], v[0]), v[0], better)

    def _declare(
        self, name: str, result: ll.Type, args: list[ll.Type], extra: str = ""
    ) -> ll.Function:
        suffix = f"v{self.width}f{8 * self.bytes}"
        name = ".".join(filter(None, (name, suffix, extra)))
        if name in self.module.globals:
            return self.module.globals[name]
        return ll.Function(self.module, ll.FunctionType(result, args), name)

    def _intrinsic(self, name: str, v: list[ll.Value]) -> ll.Value:
        function = self._declare(f"llvm.{name}", self.vector, [self.vector] * len(v))
        return self.b.call(function, v)

    def _avx512(self, op: str, v: list[ll.Value]) -> ll.Value:
        """Write an instruction for 512 bits, as often as a vector needs it."""
        lanes = 64 // self.bytes
        parts = [
            self._avx512_part(op, [self._part(x, first, lanes) for x in v], lanes)
            for first in range(0, self.width, lanes)
        ]
        while len(parts) > 1:
            parts = [self._joined(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def _avx512_part(self, op: str, v: list[ll.Value], lanes: int) -> ll.Value:
        letter, mask = ("s", ll.IntType(16)) if self.single else ("d", ll.IntType(8))
        name = f"llvm.x86.avx512.mask.{op}.p{letter}.512"
        immediate = [_I32(_GETMANT_THREE_QUARTERS_NAN_IF_NEGATIVE)] if op == "getmant" else []
        args = [*v, *immediate, v[0], mask(-1), _I32(_CURRENT_ROUNDING)]
        if name not in self.module.globals:
            kinds = [a.type for a in args]
            result = ll.VectorType(self.real, lanes)
            ll.Function(self.module, ll.FunctionType(result, kinds), name)
        return self.b.call(self.module.globals[name], args)

    def _part(self, value: ll.Value, first: int, lanes: int) -> ll.Value:
        if lanes == self.width:
            return value
        return self._shuffled(value, value, list(range(first, first + lanes)))

    def _joined(self, a: ll.Value, b: ll.Value) -> ll.Value:
        return self._shuffled(a, b, list(range(2 * a.type.count)))

    def _shuffled(self, a: ll.Value, b: ll.Value, lanes: list[int]) -> ll.Value:
        mask = ll.Constant(ll.VectorType(_I32, len(lanes)), lanes)
        return self.b.shuffle_vector(a, b, mask)

    def _by_lane(self, name: str, v: list[ll.Value]) -> ll.Value:
        name = name + "f" if self.single else name
        if name not in self.module.globals:
            kind = ll.FunctionType(self.real, [self.real] * len(v))
            ll.Function(self.module, kind, name)
        result = ll.Constant(self.vector, ll.Undefined)
        for lane in range(self.width):
            given = [self.b.extract_element(x, _I32(lane)) for x in v]
            value = self.b.call(self.module.globals[name], given)
            result = self.b.insert_element(result, value, _I32(lane))
        return result


def _to_single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
