"""The two kernels of the time loop in LLVM: forward, and reverse from checkpoints."""

from __future__ import annotations

from functools import partial

import llvmlite.ir as ll

from .blocks import BLOCK, Kernel, Shape
from .plan import ForwardPlan, ReversePlan
from .vector import INT, Read, int64

__all__ = ["forward_source", "reverse_source"]

_AHEAD = 2  # time steps between asking for a row of cells and reading it


def forward_source(plan: ForwardPlan, shape: Shape) -> str:
    """Return the forward kernel: outputs and final states, and checkpoints where asked for."""
    k = Kernel(plan, shape, "forward")
    v, b, slots = k.v, k.b, range(plan.program.slots)
    state = [v.room(BLOCK) for _ in slots]
    wants_checkpoints = b.icmp_signed("!=", b.ptrtoint(k.pointer["checkpoint", 0], INT), int64(0))

    def step(t: ll.Value) -> None:
        due = b.and_(wants_checkpoints, b.icmp_signed("==", b.srem(t, k.every), int64(0)))
        with b.if_then(due):
            place = k.checkpoint(b.sdiv(t, k.every))
            with v.loop(k.count) as i:
                for s in slots:
                    v.put(v.get(state[s], i), *k.packed(place, s, i))
        share = k.share()
        k.prefetch(k.forcing_rows(plan.step, b.add(t, int64(_AHEAD))))
        with v.loop(k.count) as i:
            mask = k.mask(i)
            inputs = k.drivers(t, i, mask)
            inputs |= {("state", s): partial(v.get, state[s], i) for s in slots}
            values = v.evaluate(plan.step, inputs, k.known("step", plan.step, i))
            results = [values[o] for o in plan.step.outputs]
            for s in slots:
                v.put(results[s], state[s], i)
            for index, value in zip(plan.request.outputs, results[len(slots) :], strict=True):
                part = value if share is None else b.fmul(value, share)
                k.add_up(part, k.row(("output", index), t), i, mask)

    def body() -> None:
        k.begin({"step": plan.step})
        for s in slots:
            k.fetch(state[s], k.slot_row(("initial", 0), s))
        with v.loop(k.time) as t:
            step(t)
        for s in slots:
            k.hold(state[s], k.slot_row(("final", 0), s))

    return k.run(body)


class _Reverse(Kernel):
    """The reverse kernel: segment by segment from the last, recompute, then go back."""

    def __init__(self, plan: ReversePlan, shape: Shape) -> None:
        super().__init__(plan, shape, "reverse")
        self.plan = plan
        slots = range(self.program.slots)
        self.slots = slots
        self.cotangent = [self.v.room(BLOCK) for _ in slots]
        self.total = {
            p: self.v.room(BLOCK) for p in plan.request.parameters if p in plan.request.static
        }
        self.record = int64(len(slots) + plan.saved)

    def source(self) -> str:
        return self.run(self.body)

    def body(self) -> None:
        v, b = self.v, self.b
        self.begin({"recompute": self.plan.recompute, "adjoint": self.plan.adjoint})
        for s in self.slots:
            self.fetch(self.cotangent[s], self.slot_row(("final", 0), s))
        with v.loop(self.count) as i:
            for place in self.total.values():
                v.put(v.constant(0.0), place, i)
        with v.loop(self.segments) as k:
            segment = b.sub(b.sub(self.segments, int64(1)), k)
            begin = b.mul(segment, self.every)
            end = b.add(begin, self.every)
            end = b.select(b.icmp_signed("<", end, self.time), end, self.time)
            self.restore(segment)
            with v.loop(end, begin) as t:
                self.recompute(t, b.sub(t, begin))
            with v.loop(b.sub(end, begin)) as back:
                t = b.sub(b.sub(end, int64(1)), back)
                self.reverse(t, b.sub(t, begin))
        for s in self.slots:
            self.hold(self.cotangent[s], self.slot_row(("initial", 0), s))
        for p, place in self.total.items():
            self.hold(place, self.row(("parameter_gradient", p), self.component))

    def recorded(self, step: ll.Value) -> ll.Value:
        """Place of a step's record in the scratch: its states, then its saved values."""
        b = self.b
        offset = b.mul(b.mul(step, self.record), b.mul(self.vectors, self.lanes))
        return b.bitcast(b.gep(self.scratch, [offset]), self.v.vector.as_pointer())

    def restore(self, segment: ll.Value) -> None:
        v, place, record = self.v, self.checkpoint(segment), self.recorded(int64(0))
        with v.loop(self.count) as i:
            for s in self.slots:
                v.put(v.get(*self.packed(place, s, i)), *self.packed(record, s, i))

    def recompute(self, t: ll.Value, step: ll.Value) -> None:
        v, graph = self.v, self.plan.recompute
        now, following = self.recorded(step), self.recorded(self.b.add(step, int64(1)))
        self.prefetch(self.forcing_rows(graph, self.b.add(t, int64(_AHEAD))))
        with v.loop(self.count) as i:
            inputs = self.drivers(t, i, self.mask(i))
            inputs |= self._from_record("state", now, 0, self.slots, i)
            values = v.evaluate(graph, inputs, self.known("recompute", graph, i))
            results = [values[o] for o in graph.outputs]
            for k, value in enumerate(results):
                place = following if k < len(self.slots) else now
                v.put(value, *self.packed(place, k, i))

    def _from_record(
        self, kind: str, record: ll.Value, first: int, which: range, i: ll.Value
    ) -> dict[tuple[str, int], Read]:
        def get(k: int) -> ll.Value:
            return self.v.get(*self.packed(record, first + k, i))

        return {(kind, k): partial(get, k) for k in which}

    def reverse(self, t: ll.Value, step: ll.Value) -> None:
        v, b, graph, request = self.v, self.b, self.plan.adjoint, self.plan.request
        record, share = self.recorded(step), self.share()

        def output_cotangent(index: int, i: ll.Value, mask: ll.Value | None) -> ll.Value:
            value = v.load(self.row(("output_cotangent", index), t), self.at(i), mask)
            return value if share is None else b.fmul(value, share)

        before = b.sub(t, int64(_AHEAD))
        self.prefetch([self.row(("output_cotangent", i), before) for i in request.outputs])
        with v.loop(self.count) as i:
            mask = self.mask(i)
            inputs = self.drivers(t, i, mask)
            inputs |= self._from_record("state", record, 0, self.slots, i)
            inputs |= self._from_record("saved", record, len(self.slots), range(self.plan.saved), i)
            for s in self.slots:
                inputs["state_cotangent", s] = partial(v.get, self.cotangent[s], i)
            for index in request.outputs:
                inputs["output_cotangent", index] = partial(output_cotangent, index, i, mask)
            values = v.evaluate(graph, inputs, self.known("adjoint", graph, i))
            results = [values[o] for o in graph.outputs]
            self.collect(t, i, mask, results)

    def collect(
        self, t: ll.Value, i: ll.Value, mask: ll.Value | None, results: list[ll.Value]
    ) -> None:
        """Carry the cotangents of the states on, and put gradients where they belong."""
        v, request, slots = self.v, self.plan.request, len(self.slots)
        for s in self.slots:
            v.put(results[s], self.cotangent[s], i)
        for f, value in zip(request.forcings, results[slots:], strict=False):
            self.add_up(value, self.row(("forcing_gradient", f), t), i, mask)
        for p, value in zip(
            request.parameters, results[slots + len(request.forcings) :], strict=True
        ):
            if p in self.total:
                v.put(self.b.fadd(v.get(self.total[p], i), value), self.total[p], i)
            else:
                row = self.parameter_row(("parameter_gradient", p), t)
                v.store(value, row, self.at(i), mask)


def reverse_source(plan: ReversePlan, shape: Shape) -> str:
    """Return the reverse kernel: cotangents of initial states, and the gradients asked for."""
    return _Reverse(plan, shape).source()
