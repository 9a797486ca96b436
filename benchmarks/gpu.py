"""Check the fused loop on a GPU against the eager one, and time it.

    python benchmarks/gpu.py --prototypes ../shared/prototypes --out results.json

Needs torch, Triton, NumPy and this repository only. First every kernel of the bundled models is
compared with the eager loop in both precisions; then HBV is timed, forward and backward, with
events of the device. ``--device cpu`` runs all of it at small sizes with the CPU's engine, to see
that the script itself works.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import importlib.util
import json
import multiprocessing
import os
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((100, 16, 730), (10000, 1, 365), (100000, 16, 365), (1000000, 1, 365))
SHORT = 30
"""Days of the eager loop that are timed where all of them don't fit into memory."""
SMALL = ((20, 2, 30), (200, 1, 20))
Groups = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]


def use_package() -> None:
    """Import xdpl's engine and models where xarray, which they don't need, is missing."""
    sys.path.insert(0, str(ROOT))
    if importlib.util.find_spec("xarray") is None:
        package = types.ModuleType("xdpl")
        package.__path__ = [str(ROOT / "xdpl")]
        sys.modules["xdpl"] = package


def bundled() -> list[Any]:
    """Return all bundled models that are single steps."""
    from xdpl import models

    return [models.HBV(), models.HBV(capillary_rise=True), models.VIC(), models.GR4J()]


def draw(model: Any, size: tuple[int, int, int], dtype: torch.dtype, device: str) -> Groups:
    """Return forcings, parameters within their bounds and initial states."""
    cells, components, days = size
    random = torch.Generator(device).manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random, dtype=dtype, device=device)

    forcing = {n: 10 * uniform(days, cells) for n in model.forcings}
    if "temperature" in forcing:
        forcing["temperature"] = 3 * forcing["temperature"] - 15
    parameter = {}
    for name, p in model.parameters.items():
        low, high = p.bounds
        if not p.shared:
            parameter[name] = low + (high - low) * (0.05 + 0.9 * uniform(cells, components))
    shapes = {n: (cells, components, s.size)[: 2 + (s.size > 1)] for n, s in model.states.items()}
    state = {n: model.states[n].initial + 5 * uniform(*shape) for n, shape in shapes.items()}
    return forcing, parameter, state


# ---- correctness --------------------------------------------------------------------------
def compare(model: Any, device: str, dtype: torch.dtype, components: int, dynamic: bool) -> float:
    """Return the largest difference from the eager loop, relative to each array's size."""
    from xdpl.engine import simulate

    groups = draw(model, (37, components, 50), dtype, device)
    if dynamic:
        wave = 1 + 0.05 * torch.sin(torch.arange(50, dtype=dtype, device=device))[:, None, None]
        groups = (groups[0], {n: p * wave for n, p in groups[1].items()}, groups[2])
    leaves = [v.requires_grad_() for group in groups for v in group.values()]
    results = []
    for engine in ("eager", "fused"):
        out, final = simulate(model, *groups, engine=engine)
        values = [*out.values(), *final.values()]
        random = torch.Generator(device).manual_seed(7)
        weights = [
            torch.rand(v.shape, generator=random, dtype=dtype, device=device) for v in values
        ]
        parts = [((w - 0.3) * v).sum() for w, v in zip(weights, values, strict=True)]
        loss = torch.stack(parts).sum()
        slopes = torch.autograd.grad(loss, leaves, allow_unused=True)
        zero = [
            torch.zeros_like(v) if s is None else s for s, v in zip(slopes, leaves, strict=True)
        ]
        results.append([v.detach() for v in values] + zero)
    return max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
        for b, a in zip(*results, strict=True)
    )


LIMITS = {torch.float64: 1e-9, torch.float32: 1e-2}


def check(device: str) -> list[dict[str, Any]]:
    """Compare every bundled model in both precisions, static and dynamic, one and several parts.

    A process for each comparison, since most of the time goes into compiling; the model that takes
    longest comes first.
    """
    jobs = [
        (device, number, dtype, components, dynamic)
        for number in reversed(range(len(bundled())))
        for dtype in LIMITS
        for dynamic in (True, False)
        for components in (3, 1)
    ]
    workers = min(len(jobs), os.cpu_count() or 1)
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        return list(pool.map(check_one, jobs))


def check_one(job: tuple[str, int, torch.dtype, int, bool]) -> dict[str, Any]:
    """Compare one model in one precision."""
    device, number, dtype, components, dynamic = job
    torch.set_num_threads(1)
    use_package()
    model = bundled()[number]
    error = compare(model, device, dtype, components, dynamic)
    row = {
        "model": str(model),
        "dtype": str(dtype).removeprefix("torch."),
        "components": components,
        "dynamic": dynamic,
        "error": error,
        "right": error <= LIMITS[dtype],
    }
    print(row, flush=True)
    return row


# ---- time -----------------------------------------------------------------------------------
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


def prototype(folder: str) -> Any:
    """Return the module ``hbv_step``."""
    spec = importlib.util.spec_from_file_location("hbv_step", Path(folder) / "hbv_step.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(hbv: Any, groups: Groups) -> dict[str, Callable[[bool], Tensor]]:
    """Return the ways to run HBV: each gives the loss."""
    from xdpl.engine import simulate
    from xdpl.models import HBV

    model = HBV()

    def engine(how: str) -> Callable[[bool], Tensor]:
        def run(gradients: bool) -> Tensor:
            out, _ = simulate(model, *groups, outputs=["streamflow"], engine=how)
            return out["streamflow"].square().mean()

        return run

    ways = {"fused": engine("fused"), "eager": engine("eager")}
    if hbv is not None:
        ways["compiled step"] = _prototype_loop(torch.compile(hbv.step), hbv, groups)
    return ways


def _prototype_loop(step: Callable[..., Any], hbv: Any, groups: Groups) -> Callable[[bool], Tensor]:
    """Run ``hbv_step`` over the same number of columns; its leaves take the parameters' place."""
    forcing, parameter, _ = groups
    days = list(forcing.values())
    some = next(iter(parameter.values()))
    leaves = list(parameter.values())[: len(hbv.PARAMS)]

    def run(gradients: bool) -> Tensor:
        now = tuple(torch.ones_like(some) for _ in hbv.STATES)
        total = []
        for t in range(days[0].shape[0]):
            today = tuple(f[t].unsqueeze(-1) for f in days)
            now, fluxes = step(now, today, tuple(leaves))
            total.append(fluxes[0])
        return torch.stack(total).mean(-1).square().mean()

    return run


def measure(options: argparse.Namespace, sizes: Any) -> list[dict[str, Any]]:
    """Time every way at every size; a way that takes too long or too much memory is left out."""
    hbv = prototype(options.prototypes) if options.prototypes else None
    from xdpl.models import HBV

    found = []
    for size in sizes:
        groups = draw(HBV(), size, torch.float32, options.device)
        leaves = [p.requires_grad_() for p in groups[1].values()]
        for name, run in cases(hbv, groups).items():
            columns = size[0] * size[1]
            row = {"size": size, "way": name}
            if name == "eager" and columns > options.largest_eager:
                found.append(row | _shortened(groups, leaves, options))
                print(found[-1], flush=True)
                continue
            if name != "fused" and columns > options.largest_eager:
                continue
            row |= timed(run, leaves, options)
            if name == "eager" and options.device == "cuda":
                row |= graphed(run, leaves, options)
            found.append(row)
            print(row, flush=True)
        del groups, leaves
        if options.device == "cuda":
            torch.cuda.empty_cache()
    return found


def _shortened(groups: Groups, leaves: list[Tensor], options: argparse.Namespace) -> dict[str, Any]:
    """Time eager over the first days: it keeps hundreds of tensors a step, too many for all."""
    forcing, parameter, state = groups
    days = len(next(iter(forcing.values())))
    short = {name: series[:SHORT] for name, series in forcing.items()}
    run = cases(None, (short, parameter, state))["eager"]
    row = {"days timed": SHORT, **timed(run, leaves, options)}
    if "both ms" in row:
        row["both ms for all days"] = row["both ms"] * days / SHORT
    return row


def timed(run: Any, leaves: list[Tensor], options: argparse.Namespace) -> dict[str, Any]:
    """Return times forward and both ways, and peak memory."""

    def both() -> None:
        torch.autograd.grad(run(True), leaves, allow_unused=True)

    def forward() -> None:
        with torch.no_grad():
            run(False)

    try:
        if options.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        both()
        first = time.perf_counter() - begin
        result = {
            "first s": first,
            "both ms": clock(both, options.device, options.repeats),
            "forward ms": clock(forward, options.device, options.repeats),
        }
        if options.device == "cuda":
            result["memory MB"] = torch.cuda.max_memory_allocated() / 2**20
        return result
    except (RuntimeError, torch.OutOfMemoryError) as error:
        return {"failed": str(error).splitlines()[0][:120]}


def graphed(run: Any, leaves: list[Tensor], options: argparse.Namespace) -> dict[str, Any]:
    """Return the time of the eager loop replayed from a CUDA graph."""
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            torch.autograd.grad(run(True), leaves, allow_unused=True)
        return {"graphed ms": clock(graph.replay, options.device, options.repeats)}
    except RuntimeError as error:
        return {"graphed ms": str(error).splitlines()[0][:120]}


# ---- the limit --------------------------------------------------------------------------------
def limits(options: argparse.Namespace) -> dict[str, float]:
    """Return copy bandwidth and arithmetic rate, and what HBV needs of both."""
    from xdpl.engine.gpu import EVERY
    from xdpl.engine.plan import VARYING, Request, plan_forward, plan_reverse
    from xdpl.engine.program import make_program
    from xdpl.engine.rewrites import invariant
    from xdpl.models import HBV

    count = 2**28 if options.device == "cuda" else 2**20
    source = torch.rand(count, device=options.device)
    target = torch.empty_like(source)
    copying = clock(lambda: target.copy_(source), options.device, 9)
    program = make_program(HBV(), 1.0, torch.float32)
    every = tuple(range(len(program.parameters)))
    request = Request(frozenset(every), (0,), (), every)
    forward = plan_forward(program, request, native=True, avx512=False).step
    reverse = plan_reverse(program, request, native=True, avx512=False)
    operations = 0
    for g in (forward, reverse.recompute, reverse.adjoint):
        moving = set(g.live()) - invariant(g, VARYING, request.static)
        operations += sum(g.nodes[i].op not in ("const", "in") for i in moving)
    records = 4 * program.slots * (2 / EVERY + 2)  # checkpoints, and the recomputed segments
    return {
        "copy GB/s": 2 * source.nbytes / copying / 1e6,
        "operations": operations,
        "bytes": 4 * (2 * len(program.forcings) + 2) + records,
    }


def registers() -> list[dict[str, Any]]:
    """Return registers and spills of the kernels that were launched."""
    from xdpl.engine import fused
    from xdpl.engine.gpu import GpuLoop

    found = []
    for loop in fused._LOOPS.values():
        if not isinstance(loop, GpuLoop):
            continue
        kernels = loop._kernels
        for (kind, _), (kernel, _) in kernels.items():
            for cache in getattr(kernel, "device_caches", {}).values():
                for compiled in cache[0].values():
                    row = {"kernel": kind, "model parameters": len(loop.program.parameters)}
                    row |= {"registers": compiled.n_regs, "spills": compiled.n_spills}
                    found.append(row)
    return found


def main() -> None:
    """Run all of it, and write one file of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--prototypes", default=os.environ.get("XDPL_PROTOTYPES"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--largest-eager", type=int, default=20000, help="columns")
    parser.add_argument("--out", default="gpu.json")
    options = parser.parse_args()
    use_package()
    sizes = SIZES if options.device == "cuda" else SMALL
    machine = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    results: dict[str, Any] = {"machine": machine, "torch": torch.__version__}
    for name, part in (
        ("limits", lambda: limits(options)),
        ("times", lambda: measure(options, sizes)),
        ("registers", registers),
        ("checks", lambda: check(options.device)),
    ):
        with contextlib.suppress(KeyboardInterrupt):
            results[name] = part()
            Path(options.out).write_text(json.dumps(results, indent=1))
    wrong = [row for row in results["checks"] if not row["right"]]
    print(f"{machine}: {len(results['checks'])} comparisons, {len(wrong)} wrong")
    print(json.dumps(results["limits"]), json.dumps(results["registers"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
