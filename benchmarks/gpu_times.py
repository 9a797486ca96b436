"""Times of `gpu.py`: the ways to run HBV, what limits them, and what the compiler made of them."""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from gpu import Groups, draw  # beside this file
from torch import Tensor

from xdpl.engine import simulate, squared_misfit
from xdpl.engine.gpu import EVERY, GpuLoop
from xdpl.engine.plan import VARYING, Request, plan_forward, plan_reverse
from xdpl.engine.program import make_program
from xdpl.engine.rewrites import invariant
from xdpl.models import HBV
from xdpl.variables import Forcing, Output, Parameter, State

SIZES = ((100, 16, 730), (10000, 1, 365), (100000, 16, 365), (1000000, 1, 365))
SMALL = ((20, 2, 30), (200, 1, 20))
SHORT = 30
"""Days of the eager loop that are timed where all of them don't fit into memory."""
NAME = "streamflow"
Run = Callable[[], Tensor]


def clock(run: Callable[[], object], device: str, repeats: int) -> float:
    """Return the median time of a run in milliseconds."""
    for _ in range(2):
        run()
    spent = []
    for _ in range(repeats):
        if device == "cpu":
            begin = time.perf_counter()
            run()
            spent.append(1e3 * (time.perf_counter() - begin))
            continue
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        run()
        last.record()
        torch.cuda.synchronize()
        spent.append(first.elapsed_time(last))
    return statistics.median(spent)


# ---- ways ---------------------------------------------------------------------------------------
def engine(how: str, groups: Groups, observed: Tensor) -> Run:
    """Return the loss of a run of this package's engine."""

    def run() -> Tensor:
        out, _ = simulate(HBV(), *groups, outputs=[NAME], engine=how)
        total, count = squared_misfit(out[NAME], observed)
        return total.sum() / count.sum()

    return run


def compiled(groups: Groups, observed: Tensor) -> Run:
    """Return the loss of an eager loop over the step that torch.compile makes faster."""
    model, (forcing, parameter, state) = HBV(), groups

    def step(today: Any, now: Any, still: Any) -> Any:
        named = (
            SimpleNamespace(**dict(zip(names, values, strict=True)))
            for names, values in ((forcing, today), (state, now), (parameter, still))
        )
        states, outputs = model.step(*named, 1.0)
        return tuple(states[name] for name in state), outputs[NAME]

    fast = torch.compile(step)

    def run() -> Tensor:
        now, still, series = tuple(state.values()), tuple(parameter.values()), []
        for today in zip(*(f.unsqueeze(-1) for f in forcing.values()), strict=True):
            now, flow = fast(today, now, still)
            series.append(flow)
        total, count = squared_misfit(torch.stack(series).mean(-1), observed)
        return total.sum() / count.sum()

    return run


def hydrodl2(size: tuple[int, int, int], observed: Tensor) -> tuple[Run, list[Tensor]]:
    """Return the loss of hydrodl2's HBV, by its public call, and what it is differentiated in."""
    import hydrodl2 as peer

    cells, components, days = size
    device = observed.device
    config = {"warm_up": 0, "nmul": components, "routing": True, "dynamic_params": {"Hbv": []}}
    model = peer.load_model("hbv")(config=config, device=str(device))
    spans = torch.tensor([8.0, 20.0, 4.0], device=device)
    forcing = torch.rand(days, cells, 3, device=device) * spans
    raw = torch.randn(days, cells, model.learnable_param_count, device=device, requires_grad=True)

    def run() -> Tensor:
        flow = model({"x_phy": forcing}, raw)["streamflow_no_rout"]
        total, count = squared_misfit(flow.reshape(days, cells), observed)
        return total.sum() / count.sum()

    return run, [raw]


# ---- measuring ----------------------------------------------------------------------------------
def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time every way at every size; a way that takes too long or too much memory is left out."""
    found = []
    for size in SIZES if options.device == "cuda" else SMALL:
        for row in _ways(size, options):
            print(row, flush=True)
            found.append(row)
        if options.device == "cuda":
            torch.cuda.empty_cache()
    return found


def _ways(size: tuple[int, int, int], options: argparse.Namespace) -> Any:
    groups = draw(HBV(), size, torch.float32, options.device)
    leaves = [p.requires_grad_() for p in groups[1].values()]
    observed = 3 * torch.rand(size[2], size[0], device=options.device)
    observed[observed < 0.3] = torch.nan  # a tenth isn't observed
    large = size[0] * size[1] > options.largest_eager
    for way in options.ways:
        row: dict[str, Any] = {"size": size, "way": way}
        if way == "fused":
            yield row | timed(engine("fused", groups, observed), leaves, options, True)
        elif way == "eager" and large:
            forcing = {name: series[:SHORT] for name, series in groups[0].items()}
            run = engine("eager", (forcing, *groups[1:]), observed[:SHORT])
            yield row | {"days timed": SHORT} | timed(run, leaves, options)
        elif way == "eager":
            yield row | timed(engine("eager", groups, observed), leaves, options, True)
        elif way == "compiled step" and not large:
            yield row | timed(compiled(groups, observed), leaves, options)
        elif way == "hydrodl2" and not large and importlib.util.find_spec("hydrodl2"):
            run, raw = hydrodl2(size, observed)
            yield row | timed(run, raw, options)


def timed(
    run: Run, leaves: list[Tensor], options: argparse.Namespace, graph: bool = False
) -> dict[str, Any]:
    """Return times forward and both ways, from a CUDA graph, too, and peak memory."""

    def both() -> None:
        torch.autograd.grad(run(), leaves, allow_unused=True)

    def forward() -> None:
        with torch.no_grad():
            run()

    cuda, result = options.device == "cuda", {}
    try:
        begin = time.perf_counter()
        both()
        result["first s"] = time.perf_counter() - begin
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        repeats = 3 if result["first s"] > 2 and not graph else options.repeats
        result["both ms"] = clock(both, options.device, repeats)
        if cuda:
            result["memory MB"] = torch.cuda.max_memory_allocated() / 2**20
        result["forward ms"] = clock(forward, options.device, repeats)
        if cuda and graph:
            record = torch.cuda.CUDAGraph()
            with torch.cuda.graph(record):
                both()
            result["graphed ms"] = clock(record.replay, options.device, repeats)
    except (RuntimeError, torch.OutOfMemoryError) as error:
        result["failed"] = str(error).splitlines()[0][:120]
    return result


# ---- the limit ----------------------------------------------------------------------------------
class Arithmetic:
    """A step of nothing but multiply-adds, eight independent chains: measured throughput."""

    name = "arithmetic"
    chains, length = 8, 48

    def __init__(self) -> None:
        self.forcings = {"x": Forcing("1")}
        self.parameters = {"a": Parameter("1", bounds=(0, 1)), "b": Parameter("1", bounds=(0, 1))}
        self.states = {f"s{i}": State("1") for i in range(self.chains)}
        self.outputs = {"y": Output("1")}

    def step(self, forcing: Any, state: Any, parameter: Any, dt: float) -> Any:
        """Advance all chains."""
        values = [getattr(state, name) for name in self.states]
        for _ in range(self.length):
            values = [v * parameter.a + parameter.b for v in values]
        return dict(zip(self.states, values, strict=True)), {"y": forcing.x}


def limits(options: argparse.Namespace) -> dict[str, float]:
    """Return copy bandwidth and arithmetic rate, and what HBV needs of both a cell and step.

    Bytes are those that any two sweeps have to move: the loop reads forcings twice, writes its
    output and reads its cotangent, writes and reads checkpoints; the misfit reads both series
    twice and writes a cotangent. The segment's states, written and read once a step, are counted
    apart: they stay in the cache.
    """
    cuda = options.device == "cuda"
    source = torch.rand(2**28 if cuda else 2**20, device=options.device)
    target = torch.empty_like(source)
    copying = clock(lambda: target.copy_(source), options.device, 9)
    program = make_program(HBV(), 1.0, torch.float32)
    loop = 4 * (2 * len(program.forcings) + 2) + 4 * program.slots * 2 / EVERY
    found = {
        "copy GB/s": 2 * source.nbytes / copying / 1e6,
        "multiply-adds 1e9/s": _rate(options, 1_000_000 if cuda else 100),
        "operations": _operations(program),
        "bytes of the loop": loop,
        "bytes of loop and misfit": loop + 4 * 5,
        "bytes of the segment": 4 * program.slots * 2,
    }
    columns = 1000000 * 365
    found["memory ms at the last size"] = (
        found["bytes of loop and misfit"] * columns / found["copy GB/s"] / 1e6
    )
    found["arithmetic ms at the last size"] = (
        found["operations"] * columns / found["multiply-adds 1e9/s"] / 1e6
    )
    return found


def _rate(options: argparse.Namespace, cells: int) -> float:
    """Multiply-adds a second of the engine's own forward kernel, in thousand millions."""
    model, days = Arithmetic(), 200
    groups = draw(model, (cells, 1, days), torch.float32, options.device)

    def run() -> None:
        with torch.no_grad():
            simulate(model, *groups, engine="fused")

    spent = clock(run, options.device, 5)
    return model.chains * model.length * cells * days / spent / 1e6


def _operations(program: Any) -> int:
    """Operations a cell and step: forward, recomputed, and in reverse."""
    every = tuple(range(len(program.parameters)))
    request = Request(frozenset(every), (0,), (), every)
    reverse = plan_reverse(program, request, native=True, avx512=False)
    forward = plan_forward(program, request, native=True, avx512=False)
    count = 0
    for graph in (forward.step, reverse.recompute, reverse.adjoint):
        moving = set(graph.live()) - invariant(graph, VARYING, request.static)
        count += sum(graph.nodes[i].op not in ("const", "in") for i in moving)
    return count


# ---- the compiler's report ----------------------------------------------------------------------
def registers() -> list[dict[str, Any]]:
    """Return registers, spills and occupancy of the kernels launched, the two largest first."""
    from xdpl.engine import fused

    found = []
    for (identity, *_), loop in fused._LOOPS.items():
        if not isinstance(loop, GpuLoop):
            continue
        name = getattr(identity[0], "__name__", "a model of the benchmark")
        for (kind, _), (kernel, _) in loop._kernels.items():
            for cache in kernel.device_caches.values():
                for made in cache[0].values():
                    row = {"model": name, "kernel": kind, "registers": made.n_regs}
                    warps = made.metadata.num_warps
                    row |= {"spills": made.n_spills, "warps a tile": warps}
                    found.append(row | {"occupancy": occupancy(made.n_regs, warps)})
    return sorted(found, key=lambda row: -row["registers"])


def occupancy(registers: int, warps: int) -> float:
    """Share of a multiprocessor's 64 warps that fit: 65536 registers, at most 32 tiles."""
    a_warp = -(-registers * 32 // 256) * 256
    return min(65536 // (a_warp * warps), 32) * warps / 64
