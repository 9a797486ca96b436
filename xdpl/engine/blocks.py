"""What both kernels of the time loop share: arguments, loops over blocks and components, loads.

Cells lie along the lanes of vectors. A block of up to ``BLOCK`` vectors of cells runs through all
time steps, one component after the other, with its states in the nearest cache; blocks are
independent, so threads share them out freely and the result doesn't depend on how. Arrays are
laid out (component, [time or state,] cell).

Every kernel is ``void (sizes, pointers, scratch, first block, last block)``; `SIZES` and
`pointer_names` say what the first two hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import llvmlite.ir as ll
import torch

from .graph import Graph
from .plan import VARYING, ForwardPlan, ReversePlan
from .program import Program
from .rewrites import invariant
from .vector import INT, Read, VectorBuilder, int64

__all__ = ["BLOCK", "SIZES", "Kernel", "Shape", "pointer_names"]

BLOCK = 16
"""Largest number of vectors in a block."""
SIZES = ("cells", "components", "time", "every", "vectors", "segments")
"""What ``sizes`` holds: ``every`` steps a checkpoint, ``vectors`` a block."""


@dataclass(frozen=True)
class Shape:
    """Properties of a kernel that are fixed when it is compiled.

    Attributes
    ----------
    width : int
        Lanes of a vector.
    masked : bool
        The last vector may be partly filled.
    single_component : bool
        There is one component, so outputs need no sum.
    """

    width: int
    masked: bool
    single_component: bool


def pointer_names(plan: ForwardPlan | ReversePlan) -> list[tuple[str, int]]:
    """Return what each entry of ``pointers`` is, as (kind, index)."""
    program, request = plan.program, plan.request
    names = [("forcing", i) for i in range(len(program.forcings))]
    names += [("parameter", i) for i in range(len(program.parameters))]
    if isinstance(plan, ForwardPlan):
        names += [("initial", 0), ("final", 0), ("checkpoint", 0)]
        names += [("output", i) for i in request.outputs]
    else:
        names += [("initial", 0), ("final", 0), ("checkpoint", 0)]  # cotangents, but the last
        names += [("output_cotangent", i) for i in request.outputs]
        names += [("forcing_gradient", i) for i in request.forcings]
        names += [("parameter_gradient", i) for i in request.parameters]
    return names


class Kernel:
    """What both kernels share: arguments, loops over blocks and components, loads."""

    def __init__(self, plan: ForwardPlan | ReversePlan, shape: Shape, name: str) -> None:
        self.program: Program = plan.program
        self.request, self.shape = plan.request, shape
        single = self.program.dtype == torch.float32
        self.module = ll.Module(name)
        real = ll.FloatType() if single else ll.DoubleType()
        pointer = real.as_pointer()
        kind = ll.FunctionType(
            ll.VoidType(), [INT.as_pointer(), pointer.as_pointer(), pointer, INT, INT]
        )
        self.function = ll.Function(self.module, kind, name)
        self.b = ll.IRBuilder(self.function.append_basic_block("entry"))
        self.v = VectorBuilder(self.module, self.b, single, shape.width, shape.masked)
        sizes, pointers, self.scratch, self.first, self.last = self.function.args
        for i, size in enumerate(SIZES):
            setattr(self, size, self.b.load(self.b.gep(sizes, [int64(i)])))
        self.pointer = {
            key: self.b.load(self.b.gep(pointers, [int64(i)]))
            for i, key in enumerate(pointer_names(plan))
        }
        self.lanes = int64(shape.width)
        self.still: dict[str, dict[int, ll.Value]] = {}
        self.own = {
            i: self.v.room(BLOCK)
            for i in sorted(self.request.static)
            if self._parameter_used(plan, i)
        }

    cells: ll.Value
    components: ll.Value
    time: ll.Value
    every: ll.Value
    vectors: ll.Value
    segments: ll.Value

    @staticmethod
    def _parameter_used(plan: ForwardPlan | ReversePlan, index: int) -> bool:
        graphs = [plan.step] if isinstance(plan, ForwardPlan) else [plan.recompute, plan.adjoint]
        return any(("parameter", index) in g.used_inputs() for g in graphs)

    def run(self, body: Callable[[], None]) -> str:
        """Write the loops over blocks and components around ``body``."""
        b = self.b
        across = b.mul(self.vectors, self.lanes)
        with self.v.loop(self.last, self.first) as self.block:
            self.start = b.mul(self.block, across)
            left = b.sub(self.cells, self.start)
            filled = b.sdiv(b.add(left, int64(self.shape.width - 1)), self.lanes)
            self.count = b.select(b.icmp_signed("<", filled, self.vectors), filled, self.vectors)
            with self.v.loop(self.components) as self.component:
                body()
        b.ret_void()
        return str(self.module)

    # ---- places --------------------------------------------------------------------------
    def at(self, i: ll.Value) -> ll.Value:
        """Offset of vector ``i`` of the block within a row of cells."""
        return self.b.add(self.start, self.b.mul(i, self.lanes))

    def mask(self, i: ll.Value) -> ll.Value | None:
        """Lanes of vector ``i`` that hold cells."""
        if not self.shape.masked:
            return None
        return self.v.mask(self.b.sub(self.cells, self.at(i)))

    def row(self, key: tuple[str, int], *index: ll.Value | tuple[ll.Value, ll.Value]) -> ll.Value:
        """Row of cells of an array, from (index, length of the next axis) outermost first."""
        offset = int64(0)
        for part in index:
            number, length = part if isinstance(part, tuple) else (part, int64(1))
            offset = self.b.add(self.b.mul(offset, length), number)
        return self.b.gep(self.pointer[key], [self.b.mul(offset, self.cells)])

    def slot_row(self, key: tuple[str, int], slot: int) -> ll.Value:
        """Row of state ``slot`` of this component, of (component, slot, cell)."""
        return self.row(key, self.component, (int64(slot), int64(self.program.slots)))

    def parameter_row(self, key: tuple[str, int], t: ll.Value) -> ll.Value:
        """Row of a parameter or its gradient, static or for time step ``t``."""
        if key[1] in self.request.static:
            return self.row(key, self.component)
        return self.row(key, self.component, (t, self.time))

    def checkpoint(self, segment: ll.Value) -> ll.Value:
        """Place of a checkpoint: (block, component, segment, slot, vector of the block)."""
        b = self.b
        k = b.add(b.mul(self.block, self.components), self.component)
        k = b.add(b.mul(k, self.segments), segment)
        k = b.mul(b.mul(k, int64(self.program.slots)), b.mul(self.vectors, self.lanes))
        place = b.gep(self.pointer["checkpoint", 0], [k])
        return b.bitcast(place, self.v.vector.as_pointer())

    def packed(self, place: ll.Value, slot: int, i: ll.Value) -> tuple[ll.Value, ll.Value]:
        """Where vector ``i`` of ``slot`` lies in a checkpoint or a scratch record."""
        return place, self.b.add(self.b.mul(int64(slot), self.vectors), i)

    # ---- parts ---------------------------------------------------------------------------
    def fetch(self, place: ll.Value, row: ll.Value) -> None:
        """Copy the block's part of a row to the stack."""
        with self.v.loop(self.count) as i:
            self.v.put(self.v.load(row, self.at(i), self.mask(i)), place, i)

    def hold(self, place: ll.Value, row: ll.Value) -> None:
        """Copy from the stack to the block's part of a row."""
        with self.v.loop(self.count) as i:
            self.v.store(self.v.get(place, i), row, self.at(i), self.mask(i))

    def begin(self, graphs: dict[str, Graph]) -> None:
        """Fetch the static parameters and compute what is the same at every step."""
        for index, place in self.own.items():
            self.fetch(place, self.row(("parameter", index), self.component))
        for name, graph in graphs.items():
            self._hoist(name, graph)

    def _hoist(self, name: str, graph: Graph) -> None:
        live = graph.live()
        still = invariant(graph, VARYING, self.request.static) & set(live)
        used = {a for i in live if i not in still for a in graph.nodes[i].args}
        used |= {int(o) for o in graph.outputs}
        wanted = sorted(
            i for i in used & still if graph.nodes[i].op not in ("const", "iconst", "in")
        )
        view = Graph()
        view.nodes, view.kinds = graph.nodes, graph.kinds
        view.outputs = list(wanted)  # type: ignore[arg-type]
        # truth values are kept as 0 and 1: a vector of bits has no layout of its own in memory
        places = {i: self.v.room(BLOCK) for i in wanted}
        if wanted:
            with self.v.loop(self.count) as i:
                inputs = {
                    ("parameter", p): partial(self.v.get, place, i) for p, place in self.own.items()
                }
                for node, value in self.v.evaluate(view, inputs, {}).items():
                    if graph.kinds[node] == "bool":
                        value = self.v._other("real", [value])
                    self.v.put(value, places[node], i)
        self.still[name] = places

    def known(self, name: str, graph: Graph, i: ll.Value) -> dict[int, Read]:
        """Return the invariants of a graph, ready to be read for vector ``i``."""

        def read(node: int, place: ll.Value) -> ll.Value:
            value = self.v.get(place, i)
            if graph.kinds[node] == "bool":
                value = self.b.fcmp_ordered("!=", value, self.v.constant(0.0))
            return value

        return {n: partial(read, n, place) for n, place in self.still[name].items()}

    def drivers(
        self, t: ll.Value, i: ll.Value, mask: ll.Value | None
    ) -> dict[tuple[str, int], Read]:
        """Return forcings and parameters, ready to be read for step ``t`` and vector ``i``."""
        found: dict[tuple[str, int], Read] = {}

        def load(row: Callable[[], ll.Value]) -> ll.Value:
            return self.v.load(row(), self.at(i), mask)

        for k in range(len(self.program.forcings)):
            found["forcing", k] = partial(load, partial(self.row, ("forcing", k), t))
        for k in range(len(self.program.parameters)):
            if k in self.own:
                found["parameter", k] = partial(self.v.get, self.own[k], i)
            elif k not in self.request.static:
                row = partial(self.parameter_row, ("parameter", k), t)
                found["parameter", k] = partial(load, row)
        return found

    def forcing_rows(self, graph: Graph, t: ll.Value) -> list[ll.Value]:
        """Rows of the forcings that a graph reads at step ``t``."""
        used = graph.used_inputs()
        keys = [("forcing", k) for k in range(len(self.program.forcings))]
        return [self.row(key, t) for key in keys if key in used]

    def prefetch(self, rows: list[ll.Value]) -> None:
        """Ask for the block's part of rows that later steps read, from pages of their own."""
        step = 64 // self.v.bytes
        lines = self.b.sdiv(
            self.b.add(self.b.mul(self.count, self.lanes), int64(step - 1)), int64(step)
        )
        with self.v.loop(lines) as line:
            offset = self.b.add(self.start, self.b.mul(line, int64(step)))
            for row in rows:
                self.v.prefetch(self.b.gep(row, [offset]))

    def add_up(self, value: ll.Value, row: ll.Value, i: ll.Value, mask: ll.Value | None) -> None:
        """Store, or from the second component on add to what is there."""
        if not self.shape.single_component:
            before = self.v.load(row, self.at(i), mask)
            first = self.b.icmp_signed("==", self.component, int64(0))
            before = self.b.select(first, self.v.constant(0.0), before)
            value = self.b.fadd(before, value)
        self.v.store(value, row, self.at(i), mask)

    def share(self) -> ll.Value | None:
        """Return 1 / components in all lanes, or None where that is 1."""
        if self.shape.single_component:
            return None
        count = self.b.sitofp(self.components, self.v.real)
        return self.v.splat(self.b.fdiv(ll.Constant(self.v.real, 1.0), count))
