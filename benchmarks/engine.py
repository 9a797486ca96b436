"""Time the engine on HBV, forward and backward, against the eager loop and against peers.

    python benchmarks/engine.py --prototypes ../shared/prototypes

One process for each measurement, so that peak memory is its own; median of at least five runs.
The step is that of ``hbv_step.py`` in ``--prototypes`` (or ``XDPL_PROTOTYPES``), or else this
library's HBV. Peers that aren't installed are skipped with a line that says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SIZES = ((100, 1, 730), (100, 16, 730), (10000, 1, 365), (200000, 1, 30))
ENGINES = ("eager", "fused", "compile", "jax", "hydrodl2")
PEERS = {"jax": "jax", "hydrodl2": "hydrodl2"}
Inputs = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]


# ---- what is run --------------------------------------------------------------------------
def prototype(folder: str) -> tuple[Any, Any]:
    """Return a model of the step in ``hbv_step.py``, and the module itself."""
    from xdpl.variables import Forcing, Output, Parameter, State

    spec = importlib.util.spec_from_file_location("hbv_step", Path(folder) / "hbv_step.py")
    assert spec is not None
    assert spec.loader is not None
    hbv = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hbv)

    class Prototype:
        name = "hbv_step"
        forcings = {n: Forcing("1") for n in hbv.FORCINGS}
        parameters = {n: Parameter("1", bounds=hbv.BOUNDS[n]) for n in hbv.PARAMS}
        states = {n: State("mm") for n in hbv.STATES}
        outputs = {n: Output("mm day-1") for n in hbv.FLUXES}

        def step(self, forcing: Any, state: Any, parameter: Any, dt: float) -> Any:
            states, fluxes = hbv.step(
                tuple(getattr(state, n) for n in hbv.STATES),
                tuple(getattr(forcing, n) for n in hbv.FORCINGS),
                tuple(getattr(parameter, n) for n in hbv.PARAMS),
            )
            return dict(zip(hbv.STATES, states, strict=True)), dict(
                zip(hbv.FLUXES, fluxes, strict=True)
            )

    return Prototype(), hbv


def prepare(folder: str | None, size: tuple[int, int, int]) -> tuple[Any, Any, Inputs, str]:
    """Return model, prototype module or None, inputs, and the output that the loss is of."""
    cells, components, time_ = size
    if folder:
        model, hbv = prototype(folder)
        forcings, parameters, states, _ = hbv.make_inputs(cells, components, time_)
        groups = (
            dict(zip(hbv.FORCINGS, forcings, strict=True)),
            {n: p.requires_grad_() for n, p in zip(hbv.PARAMS, parameters, strict=True)},
            dict(zip(hbv.STATES, states, strict=True)),
        )
        return model, hbv, groups, "Q"
    from xdpl.models import HBV

    model = HBV()
    random = torch.Generator().manual_seed(0)
    forcing = {n: 8 * torch.rand(time_, cells, generator=random) for n in model.forcings}
    forcing["temperature"] = 3 * forcing["temperature"] - 10
    parameter = {}
    for name, p in model.parameters.items():
        low, high = p.bounds
        if not p.shared:
            value = low + (high - low) * torch.rand(cells, components, generator=random)
            parameter[name] = value.requires_grad_()
    state = {n: s.detach() for n, s in model.initial_state(parameter).items()}
    return model, None, (forcing, parameter, state), "streamflow"


def torch_case(how: str, folder: str | None, size: tuple[int, int, int]) -> Callable[[bool], None]:
    """Return a run of the eager loop or the fused engine; its argument asks for gradients."""
    from xdpl.engine import simulate

    model, hbv, (forcing, parameter, state), name = prepare(folder, size)
    leaves = list(parameter.values())
    step = torch.compile(hbv.step) if how == "compile" and hbv else None

    def yardstick() -> Tensor:
        # the peers' style: a loop over days, stacked at the end
        now, series = tuple(state.values()), []
        days = zip(*(f.unsqueeze(-1) for f in forcing.values()), strict=True)
        for today in days:
            now, fluxes = (step or hbv.step)(now, today, tuple(leaves))
            series.append(fluxes[0])
        return torch.stack(series).mean(-1)

    def run(gradients: bool) -> None:
        with torch.set_grad_enabled(gradients):
            if how == "fused" or hbv is None:
                engine = "fused" if how == "fused" else "eager"
                out, _ = simulate(model, forcing, parameter, state, outputs=[name], engine=engine)
                flow = out[name]
            else:
                flow = yardstick()
            if gradients:
                torch.autograd.grad(flow.pow(2).mean(), leaves)

    return run


def jax_case(folder: str, size: tuple[int, int, int]) -> Callable[[bool], None]:
    """Return a run of a ``lax.scan`` over the same step, read with torch's names as jax's."""
    import jax
    import jax.numpy as jnp

    _, hbv, (forcing, parameter, state), _ = prepare(folder, size)
    names = {
        "zeros_like": jnp.zeros_like,
        "where": jnp.where,
        "minimum": jnp.minimum,
        "clamp": lambda x, min=None, max=None: jnp.clip(x, min, max),
    }
    hbv.torch = type("jnp_as_torch", (), {k: staticmethod(v) for k, v in names.items()})
    days = tuple(jnp.asarray(f.numpy())[:, :, None] for f in forcing.values())
    start = tuple(jnp.asarray(s.numpy()) for s in state.values())
    leaves = tuple(jnp.asarray(p.detach().numpy()) for p in parameter.values())

    def loss(leaves: Any) -> Any:
        def advance(now: Any, today: Any) -> Any:
            now, fluxes = hbv.step(now, today, leaves)
            return now, fluxes[0]

        _, flow = jax.lax.scan(advance, start, days)
        return jnp.mean(flow.mean(-1) ** 2)

    plain, both = jax.jit(loss), jax.jit(jax.grad(loss))
    return lambda gradients: jax.block_until_ready((both if gradients else plain)(leaves))


def hydrodl2_case(size: tuple[int, int, int]) -> Callable[[bool], None]:
    """Return a run of the HBV of hydrodl2, through its public call only; its routing runs too."""
    import hydrodl2

    cells, components, time_ = size
    config = {"warm_up": 0, "nmul": components, "routing": True, "dynamic_params": {"Hbv": []}}
    model = hydrodl2.load_model("hbv")(config=config, device="cpu")
    forcing = torch.rand(time_, cells, 3) * torch.tensor([8.0, 20.0, 4.0])
    count = model.learnable_param_count
    raw = torch.randn(time_, cells, count, requires_grad=True)

    def run(gradients: bool) -> None:
        with torch.set_grad_enabled(gradients):
            flow = model({"x_phy": forcing}, raw)["streamflow_no_rout"]
            if gradients:
                torch.autograd.grad(flow.pow(2).mean(), raw)

    return run


# ---- one measurement, in a process of its own ---------------------------------------------
def measure(case: dict[str, Any]) -> dict[str, float]:
    """Return first and median times in seconds, and peak memory in MB."""
    torch.set_num_threads(case["threads"])
    size = tuple(case["size"])
    if case["engine"] == "jax":
        run = jax_case(case["prototypes"], size)
    elif case["engine"] == "hydrodl2":
        run = hydrodl2_case(size)
    else:
        run = torch_case(case["engine"], case["prototypes"], size)
    before = _peak()
    begin = time.perf_counter()
    run(True)
    first = time.perf_counter() - begin
    return {
        "first": first,
        "both": _median(lambda: run(True), case["repeats"]),
        "forward": _median(lambda: run(False), case["repeats"]),
        "memory": _peak() - before,
    }


def _median(run: Callable[[], None], repeats: int) -> float:
    run()
    spent = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- the limit of this machine ------------------------------------------------------------
class Arithmetic:
    """A step of nothing but multiply-adds, eight independent chains: measured throughput."""

    name = "arithmetic"
    chains, length = 8, 24

    def __init__(self) -> None:
        from xdpl.variables import Forcing, Output, Parameter, State

        self.forcings = {"x": Forcing("1")}
        self.parameters = {"a": Parameter("1", bounds=(0, 1)), "b": Parameter("1", bounds=(0, 1))}
        self.states = {f"s{i}": State("1") for i in range(self.chains)}
        self.outputs = {"y": Output("1")}

    def step(self, forcing: Any, state: Any, parameter: Any, dt: float) -> Any:
        values = [getattr(state, name) for name in self.states]
        for _ in range(self.length):
            values = [v * parameter.a + parameter.b for v in values]
        return dict(zip(self.states, values, strict=True)), {"y": forcing.x}


def limits(case: dict[str, Any]) -> dict[str, float]:
    """Return operations and bytes that HBV needs, over measured throughput and bandwidth."""
    from xdpl.engine import simulate
    from xdpl.engine.plan import Request, plan_forward, plan_reverse
    from xdpl.engine.program import make_program

    torch.set_num_threads(1)
    model = Arithmetic()
    cells, days = 512, 500
    ones = torch.full((cells, 1), 0.5)
    groups = (
        {"x": torch.ones(days, cells)},
        dict.fromkeys(model.parameters, ones),
        dict.fromkeys(model.states, ones),
    )
    with torch.no_grad():
        spent = _median(lambda: simulate(model, *groups, engine="fused"), 9)
    rate = cells * days * model.chains * model.length / spent
    source = torch.rand(50_000_000)
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / _median(lambda: target.copy_(source), 5)
    hbv, _, (_, parameter, _), _ = prepare(case["prototypes"], (1, 1, 1))
    program = make_program(hbv, 1.0, torch.float32)
    everything = tuple(range(len(parameter)))
    request = Request(frozenset(everything), (0,), (), everything)
    forward = plan_forward(program, request, native=False, avx512=True).step
    reverse = plan_reverse(program, request, native=False, avx512=True)
    graphs = (forward, reverse.recompute, reverse.adjoint)
    operations = sum(
        sum(g.nodes[i].op not in ("const", "in", "iconst") for i in _moving(g, request))
        for g in graphs
    )
    moved = 4 * (len(program.forcings) * 2 + 2)
    return {
        "operations": operations,
        "compute": operations / rate * 1e9,
        "memory": moved / bandwidth * 1e9,
        "rate": rate / 1e9,
        "bandwidth": bandwidth / 1e9,
    }


def _moving(graph: Any, request: Any) -> set[int]:
    """Operations that every time step needs."""
    from xdpl.engine.plan import VARYING
    from xdpl.engine.rewrites import invariant

    return set(graph.live()) - invariant(graph, VARYING, request.static)


# ---- the table ----------------------------------------------------------------------------
def child(case: dict[str, Any], timeout: float) -> dict[str, float] | str:
    """Run a measurement in a process of its own; a string says why there is none."""
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--case", json.dumps(case)],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return f"more than {timeout:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:90]
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(options: argparse.Namespace) -> None:
    """Print the whole table, one line a measurement."""
    folder = options.prototypes
    common = {"prototypes": folder, "repeats": options.repeats}
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"torch {torch.__version__}, step of {'hbv_step.py' if folder else 'xdpl.models.HBV'}")
    bound = child({**common, "limits": True}, options.timeout)
    if isinstance(bound, dict):
        print(
            f"limit, one thread: {bound['operations']:.0f} operations a cell and step at "
            f"{bound['rate']:.1f} G/s are {bound['compute']:.2f} ns, memory at "
            f"{bound['bandwidth']:.1f} GB/s {bound['memory']:.2f} ns"
        )
    print(
        "| size | threads | engine | first s | f+b ms | forward ms | ns | MB | eager / it | limit |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in options.sizes:
        for threads in options.threads:
            eager = None
            for engine in options.engines:
                if engine in PEERS and importlib.util.find_spec(PEERS[engine]) is None:
                    print(f"skipped {engine}: not installed")
                    continue
                case = {**common, "size": size, "threads": threads, "engine": engine}
                found = child(case, options.timeout)
                if isinstance(found, str):
                    print(f"skipped {engine} at {size}: {found}")
                    continue
                eager = found["both"] if engine == "eager" else eager
                print(line(size, threads, engine, found, eager, bound), flush=True)


def line(size: Any, threads: int, engine: str, found: Any, eager: Any, bound: Any) -> str:
    """Return one line of the table."""
    each = found["both"] / (size[0] * size[1] * size[2]) * 1e9
    ratio = "" if eager is None else f"{eager / found['both']:.1f}"
    share = ""
    if engine == "fused" and isinstance(bound, dict):
        share = f"{max(bound['compute'] / threads, bound['memory']) / each:.0%}"
    return (
        f"| {tuple(size)} | {threads} | {engine} | {found['first']:.2f} | "
        f"{found['both'] * 1e3:.2f} | "
        f"{found['forward'] * 1e3:.2f} | {each:.2f} | {found['memory']:.0f} | {ratio} | {share} |"
    )


def main() -> None:
    """Read the command line; with ``--case``, be one of the processes that measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prototypes", default=os.environ.get("XDPL_PROTOTYPES"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--sizes", type=json.loads, nargs="+", default=[list(s) for s in SIZES])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is None:
        table(options)
    else:
        measurement = limits if options.case.get("limits") else measure
        print(json.dumps(measurement(options.case)))


if __name__ == "__main__":
    main()
