"""The limit of this machine for HBV: operations and bytes, over rates that are measured."""

from __future__ import annotations

from collections import Counter
from typing import Any

import engine_cases as cases
import torch
from engine_clock import median_time

RATES = ("multiply-add", "div", "exp", "log")


class Chains:
    """A step of nothing but one operation, in eight independent chains."""

    chains, length = 8, 24

    def __init__(self, operation: str) -> None:
        from xdpl.variables import Forcing, Output, Parameter, State

        self.operation = operation
        self.name = f"chains of {operation}"
        self.forcings = {"x": Forcing("1")}
        self.parameters = {"a": Parameter("1", bounds=(0, 1)), "b": Parameter("1", bounds=(0, 1))}
        self.states = {f"s{i}": State("1") for i in range(self.chains)}
        self.outputs = {"y": Output("1")}

    def step(self, forcing: Any, state: Any, parameter: Any, dt: float) -> Any:
        once = {
            "multiply-add": lambda v: v * parameter.a + parameter.b,
            "div": lambda v: parameter.a / v,
            "exp": lambda v: torch.exp(-v),
            "log": lambda v: torch.log(v + 3.0),
        }[self.operation]
        values = [getattr(state, name) for name in self.states]
        for _ in range(self.length):
            values = [once(v) for v in values]
        return dict(zip(self.states, values, strict=True)), {"y": forcing.x}


def rate(operation: str) -> float:
    """Return how many of an operation the engine does in a second on one thread."""
    from xdpl.engine import simulate

    model = Chains(operation)
    cells, days = 512, 2000
    half = torch.full((cells, 1), 0.5)
    groups = (
        {"x": torch.ones(days, cells)},
        dict.fromkeys(model.parameters, half),
        dict.fromkeys(model.states, half),
    )
    with torch.no_grad():
        spent = median_time(lambda: simulate(model, *groups, engine="fused"), 9)
    return cells * days * model.chains * model.length / spent


def bandwidth() -> float:
    """Return the bytes a second that a copy reads and writes."""
    source = torch.rand(50_000_000)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_time(lambda: target.copy_(source), 5)


def operations(folder: str | None) -> tuple[Counter[str], int]:
    """Return what HBV does a cell and step, forward, recomputed and reverse, and bytes moved.

    Forcings are read twice, the output is written and its cotangent read; checkpoints, every
    sixteen steps, and what stays the same over time are left out.
    """
    from xdpl.engine.plan import VARYING, Request, forward_graph, reverse_graphs
    from xdpl.engine.program import make_program
    from xdpl.engine.rewrites import invariant

    model, (_, parameter, _), _ = cases.prepare(folder, (1, 1, 1))
    program = make_program(model, 1.0, torch.float32)
    everything = tuple(range(len(parameter)))
    request = Request(frozenset(everything), (0,), (), everything)
    recompute, adjoint, _ = reverse_graphs(program, request, native=False)
    found: Counter[str] = Counter()
    for graph in (forward_graph(program, request, native=False), recompute, adjoint):
        moving = set(graph.live()) - invariant(graph, VARYING, request.static)
        ops = Counter(graph.nodes[i].op for i in moving)
        for name, count in ops.items():
            if name not in ("const", "in"):
                found[name if name in RATES else "multiply-add"] += count
    return found, 4 * (len(program.forcings) * 2 + 2)


def limits(folder: str | None) -> dict[str, Any]:
    """Return nanoseconds a cell and step that arithmetic and memory need at least."""
    torch.set_num_threads(1)
    counts, moved = operations(folder)
    rates = {name: rate(name) for name in RATES}
    speed = bandwidth()
    return {
        "counts": dict(counts),
        "rates": {name: value / 1e9 for name, value in rates.items()},
        "compute": sum(count / rates[name] for name, count in counts.items()) * 1e9,
        "memory": moved / speed * 1e9,
        "bandwidth": speed / 1e9,
    }


def describe(found: dict[str, Any]) -> str:
    """Return the limit in words."""
    parts = ", ".join(
        f"{found['counts'].get(name, 0)} {name} at {found['rates'][name]:.2f}" for name in RATES
    )
    return (
        f"limit, one thread: operations a cell and step, and thousand millions of them a second: "
        f"{parts}; that is {found['compute']:.2f} ns. Memory at {found['bandwidth']:.1f} GB/s: "
        f"{found['memory']:.2f} ns"
    )
