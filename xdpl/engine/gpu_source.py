"""The two kernels of the time loop as Triton source: one program for a tile of cells.

A tile is (cells, components), padded to powers of two; states, static parameters and their
gradients stay in registers through all time steps. Checkpoints and the segment that the reverse
sweep recomputes lie in global memory as (tile, step, slot, place in the tile): one address a step,
and the slots at fixed distances from it. What a step reads is asked for one step ahead. Sums over
components are reductions within a tile: their order is fixed, so results don't depend on
scheduling.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch

from .graph import Graph
from .plan import VARYING, ForwardPlan, ReversePlan
from .program import Program
from .rewrites import COTANGENTS, invariant
from .tracing import Unsupported

__all__ = ["argument_names", "forward_source", "reverse_source"]

_EXTREME = "tl.{}imum({}, {}, propagate_nan=tl.PropagateNan.ALL)"
_TEMPLATES = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "fma": "tl.fma({}, {}, {})",
    "neg": "-{}",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "eq": "{} == {}",
    "ne": "{} != {}",
    "and": "{} & {}",
    "or": "{} | {}",
    "xor": "{} ^ {}",
    "not": "{} ^ yes",
    "where": "tl.where({}, {}, {})",
    "real": "tl.where({}, one, zero)",
    "min": _EXTREME.replace("{}", "min", 1),
    "max": _EXTREME.replace("{}", "max", 1),
    "trunc": "tl.where({0} < zero, tl.ceil({0}), tl.floor({0}))",
    **{f: f"tl.{f}({{}})" for f in "abs sqrt exp log sin cos erf floor ceil".split()},
}
_LEAVES = ("const", "in")


def argument_names(plan: ForwardPlan | ReversePlan) -> list[tuple[str, int]]:
    """Return the arrays that a kernel takes, as (kind, index), in order."""
    program, request = plan.program, plan.request
    names = [("forcing", i) for i in range(len(program.forcings))]
    names += [("parameter", i) for i in range(len(program.parameters))]
    names += [("initial", 0), ("final", 0), ("checkpoint", 0)]
    if isinstance(plan, ForwardPlan):
        return names + [("output", i) for i in request.outputs]
    names += [("scratch", 0)]
    names += [("output_cotangent", i) for i in request.outputs]
    names += [("forcing_gradient", i) for i in request.forcings]
    return names + [("parameter_gradient", i) for i in request.parameters]


class _Writer:
    """Lines of a kernel, with places, loads and stores in a tile's terms."""

    def __init__(self, plan: ForwardPlan | ReversePlan, graphs: Mapping[str, Graph]) -> None:
        self.program: Program = plan.program
        self.request = plan.request
        self.lines: list[str] = []
        self.depth = 0
        name = "forward" if isinstance(plan, ForwardPlan) else "reverse"
        arguments = [f"{kind}_{i}" for kind, i in argument_names(plan)]
        sizes = "cells, components, time, segments, EVERY: tl.constexpr, KEEP: tl.constexpr, "
        tile = "ACROSS: tl.constexpr, DEEP: tl.constexpr, WIDE: tl.constexpr"
        self("import triton", "import triton.language as tl", "")
        # one compilation for all sizes: a thread reads single values, so alignment gains nothing
        self("@triton.jit(do_not_specialize=['cells', 'time', 'segments'],")
        self(f"            do_not_specialize_on_alignment={arguments})")
        self(f"def {name}({', '.join(arguments)}, {sizes}{tile}):")
        self.depth = 1
        kind = "tl.float32" if self.program.dtype == torch.float32 else "tl.float64"
        self(
            "cell = (tl.program_id(0) * ACROSS + tl.arange(0, ACROSS))[:, None]",
            "part = tl.arange(0, DEEP)[None, :]",
            "inside = (cell < cells) & (part < components)",
            "edge = cell < cells",
            # 64-bit offsets only where there is need: they double the integer arithmetic
            "wide = tl.zeros([ACROSS, 1], tl.int64 if WIDE else tl.int32)",
            "tile = tl.program_id(0).to(tl.int64 if WIDE else tl.int32)",
            "lane = tl.arange(0, ACROSS)[:, None] * DEEP + part",
            f"zero = tl.full([ACROSS, DEEP], 0.0, {kind})",
            f"one = tl.full([ACROSS, DEEP], 1.0, {kind})",
            "yes = one == one",
            "share = one / components",
        )
        self.kind = kind
        self.still: dict[str, set[int]] = {}
        for i in sorted(self.request.static):
            self(f"parameter_{i}_now = {self.read('parameter', i, 'part * cells + cell')}")
        for prefix, graph in graphs.items():
            self._prepare(prefix, graph)

    def __call__(self, *lines: str) -> None:
        self.lines.extend("    " * self.depth + line for line in lines)

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    # ---- memory --------------------------------------------------------------------------
    def read(self, kind: str, index: int, offset: str) -> str:
        return f"tl.load({kind}_{index} + {offset}, mask=inside, other=1.0)"

    def write(self, kind: str, index: int, offset: str, value: str) -> None:
        self(f"tl.store({kind}_{index} + {offset}, {value}, mask=inside)")

    def slot(self, slot: int) -> str:
        """Offset of a state slot in (component, slot, cell)."""
        return f"(wide + part * {self.program.slots} + {slot}) * cells + cell"

    def open_record(self, kind: str, steps: str, step: str) -> None:
        """Find the states of a step among the tile's ``steps``."""
        place = f"(tile * {steps} + {step}) * ({self.program.slots} * ACROSS * DEEP)"
        self(f"{kind}_at = {kind}_0 + ({place} + lane)")

    def keep(self, kind: str) -> None:
        """Store the states where a record was opened; padding has its place there, too."""
        for s in range(self.program.slots):
            self(f"tl.store({kind}_at + {s} * ACROSS * DEEP, state_{s}_now)")

    def recall(self, kind: str, suffix: str) -> None:
        """Load the states from where a record was opened."""
        for s in range(self.program.slots):
            self(f"state_{s}_{suffix} = tl.load({kind}_at + {s} * ACROSS * DEEP)")

    def moving(self, index: int) -> str:
        """Offset of a dynamic parameter in (component, time, cell)."""
        return "(wide + part) * time * cells + today"

    def driving(self, graph: Graph) -> list[tuple[str, int]]:
        """What changes from step to step, but for states."""
        used = graph.used_inputs()
        forcings = [("forcing", i) for i in range(len(self.program.forcings))]
        moving = [
            ("parameter", i)
            for i in range(len(self.program.parameters))
            if i not in self.request.static
        ]
        cotangents = [("output_cotangent", i) for i in self.request.outputs]
        return [key for key in (*forcings, *moving, *cotangents) if key in used]

    def ask(self, graph: Graph, step: str) -> None:
        """Load what changes with the step, for the step to come."""
        self(f"today = (wide + {step}) * cells + cell")
        for kind, i in self.driving(graph):
            place = self.moving(i) if kind == "parameter" else "today + part * 0"
            self(f"{kind}_{i}_next = {self.read(kind, i, place)}")

    def drive(self, graph: Graph) -> None:
        """Take what was asked for a step before."""
        for kind, i in self.driving(graph):
            share = " * share" if kind == "output_cotangent" else ""
            self(f"{kind}_{i}_now = {kind}_{i}_next{share}")

    # ---- graphs --------------------------------------------------------------------------
    def _prepare(self, prefix: str, graph: Graph) -> None:
        """Write constants, and what is the same at every step."""
        live = graph.live()
        for i in live:
            node = graph.nodes[i]
            if node.op == "const":
                self(f"{prefix}{i} = {self._literal(node.attr)}")
        still = invariant(graph, VARYING, self.request.static) & set(live)
        self.still[prefix] = still
        self._nodes(prefix, graph, [i for i in live if i in still])

    def _literal(self, value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "yes ^ yes"
        number = float(value)  # type: ignore[arg-type]
        text = repr(number) if math.isfinite(number) else f"float('{number}')"
        return f"tl.full([ACROSS, DEEP], {text}, {self.kind})"

    def evaluate(self, prefix: str, graph: Graph) -> list[str]:
        """Write a graph's varying nodes; return the names of its outputs."""
        moving = [i for i in graph.live() if i not in self.still[prefix]]
        self._nodes(prefix, graph, moving)
        return [self._name(prefix, graph, o) for o in graph.outputs]

    def _name(self, prefix: str, graph: Graph, i: int) -> str:
        op, _, attr = graph.nodes[i]
        return f"{attr[0]}_{attr[1]}_now" if op == "in" else f"{prefix}{i}"  # type: ignore[index]

    def _nodes(self, prefix: str, graph: Graph, which: Collection[int]) -> None:
        slopes = graph.dependent(lambda name: name[0] in COTANGENTS)
        for i in which:
            op, args, _ = graph.nodes[i]
            if op in _LEAVES:
                continue
            if op not in _TEMPLATES:
                raise Unsupported(f"{op}, which has no place in the fused loop on a GPU")
            names = [self._name(prefix, graph, a) for a in args]
            # Triton's own division of float32 is off by up to two roundings; see share_divisions
            exact = op == "div" and self.kind == "tl.float32" and i not in slopes
            template = "tl.div_rn({}, {})" if exact else _TEMPLATES[op]
            self(f"{prefix}{i} = {template.format(*names)}")

    def carry(self, prefix: str, names: list[str]) -> None:
        """Give the states, or their cotangents, their next values all at once."""
        targets = [f"{prefix}_{s}_now" for s in range(len(names))]
        fresh = [f"{prefix}_{s}_next" for s in range(len(names))]
        self(*(f"{a} = {b}" for a, b in zip(fresh, names, strict=True)))
        self(*(f"{a} = {b}" for a, b in zip(targets, fresh, strict=True)))


def forward_source(plan: ForwardPlan) -> str:
    """Return the forward kernel: outputs and final states, and checkpoints if ``KEEP``."""
    w = _Writer(plan, {"f": plan.step})
    slots = range(plan.program.slots)
    for s in slots:
        w(f"state_{s}_now = {w.read('initial', 0, w.slot(s))}")
    w.ask(plan.step, "0")
    w("for segment in range(segments):")
    w.depth = 2
    w("begin = segment * EVERY", "end = tl.minimum(begin + EVERY, time)")
    w("if KEEP:")
    w.depth = 3
    w.open_record("checkpoint", "segments", "segment")
    w.keep("checkpoint")
    w.depth = 2
    w("for t in range(begin, end):")
    w.depth = 3
    w.drive(plan.step)
    w.ask(plan.step, "tl.minimum(t + 1, time - 1)")
    names = w.evaluate("f", plan.step)
    w("today = (wide + t) * cells + cell")
    for index, name in zip(plan.request.outputs, names[len(slots) :], strict=True):
        w(f"total = tl.sum(tl.where(inside, {name} * share, zero), axis=1, keep_dims=True)")
        w(f"tl.store(output_{index} + today, total, mask=edge)")
    w.carry("state", names[: len(slots)])
    w.depth = 1
    for s in slots:
        w.write("final", 0, w.slot(s), f"state_{s}_now")
    return w.text()


def reverse_source(plan: ReversePlan) -> str:
    """Return the reverse kernel: cotangents of initial states, and the gradients asked for."""
    w = _Writer(plan, {"r": plan.recompute, "a": plan.adjoint})
    slots, request = range(plan.program.slots), plan.request
    static = [p for p in request.parameters if p in request.static]
    for s in slots:
        w(f"state_cotangent_{s}_now = {w.read('final', 0, w.slot(s))}")
    for p in static:
        w(f"sum_{p} = zero")
    w("for back in range(segments):")
    w.depth = 2
    w("segment = segments - 1 - back", "begin = segment * EVERY")
    w("end = tl.minimum(begin + EVERY, time)")
    _recompute(w, plan)
    _step_back(w, plan)
    w.depth = 1
    for s in slots:
        w.write("initial", 0, w.slot(s), f"state_cotangent_{s}_now")
    for p in static:
        w.write("parameter_gradient", p, "part * cells + cell", f"sum_{p}")
    return w.text()


def _recompute(w: _Writer, plan: ReversePlan) -> None:
    """Run through a segment once more, from its checkpoint, and keep the states of each step."""
    w.open_record("checkpoint", "segments", "segment")
    w.recall("checkpoint", "now")
    w.ask(plan.recompute, "begin")
    # the states at the end of a segment are those after it: nobody asks for them
    w("for t in range(begin, end - 1):")
    w.depth = 3
    w.open_record("scratch", "EVERY", "(t - begin)")
    w.keep("scratch")
    w.drive(plan.recompute)
    w.ask(plan.recompute, "(t + 1)")
    w.carry("state", w.evaluate("r", plan.recompute)[: plan.program.slots])
    w.depth = 2


def _step_back(w: _Writer, plan: ReversePlan) -> None:
    """Step back through a segment; the states before its last step are at hand."""
    w.ask(plan.adjoint, "(end - 1)")
    w("for step in range(end - begin):")
    w.depth = 3
    w("t = end - 1 - step")
    w.drive(plan.adjoint)
    w("ahead = tl.maximum(t - 1, begin)")
    w.ask(plan.adjoint, "ahead")
    w.open_record("scratch", "EVERY", "(ahead - begin)")
    w.recall("scratch", "next")
    names = w.evaluate("a", plan.adjoint)
    w("today = (wide + t) * cells + cell")
    _collect(w, plan, names)
    w(*(f"state_{s}_now = state_{s}_next" for s in range(plan.program.slots)))
    w.depth = 2


def _collect(w: _Writer, plan: ReversePlan, names: list[str]) -> None:
    """Carry the cotangents of the states on, and put gradients where they belong."""
    request, slots = plan.request, plan.program.slots
    split = slots + len(request.forcings)
    for index, name in zip(request.forcings, names[slots:split], strict=True):
        w(f"total = tl.sum(tl.where(inside, {name}, zero), axis=1, keep_dims=True)")
        w(f"tl.store(forcing_gradient_{index} + today, total, mask=edge)")
    for p, name in zip(request.parameters, names[split:], strict=True):
        if p in request.static:
            w(f"sum_{p} = sum_{p} + {name}")
        else:
            w.write("parameter_gradient", p, w.moving(p), name)
    w.carry("state_cotangent", names[:slots])
