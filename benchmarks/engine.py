"""Time the engine on HBV, forward and backward, against the eager loop and against peers.

    python benchmarks/engine.py --prototypes ../shared/prototypes
    python benchmarks/engine.py --prototypes ... --python jax=peers/bin/python smash=...
    python benchmarks/engine.py --parts fit          # a whole fit, and what an iteration costs

One process for each measurement, so that peak memory is its own; median of five runs after one that
doesn't count, or of as many as ``--budget`` seconds hold. The step is that of ``hbv_step.py`` in
``--prototypes`` (or ``XDPL_PROTOTYPES``), or else this library's HBV. The peers (jax, hydrodl2,
hydro-smash) may live in environments of their own, whose Python must find torch and xdpl, too;
those that aren't there are named in a line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import engine_cases as cases
import engine_clock as clock
import torch

SIZES = ((1, 1, 10), (100, 1, 730), (100, 16, 730), (10000, 1, 365), (200000, 1, 30))
PARTS = ("table", "smash", "fit")
COMPILERS = ("fused", "compile", "jax")
CACHES = ("XDPL_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


# ---- one measurement, in a process of its own ---------------------------------------------
def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return first and median times in seconds, peak memory in MB, and the loss."""
    cases.set_threads(case["threads"])
    if case["engine"] == "smash":
        size, run = cases.smash(case["dataset"], case["threads"])
    elif case["engine"] == "GR4J":
        size = tuple(case["size"])
        run = cases.fused(*cases.prepare(None, size, "GR4J"))
    else:
        size = tuple(case["size"])
        run = cases.make(case["engine"], case["prototypes"], size)
    before = clock.peak()
    begin = time.perf_counter()
    loss = run(True)
    found = {"size": size, "loss": loss, "first": time.perf_counter() - begin}
    if not case["repeats"]:
        return found
    both = clock.times(lambda: run(True), case["repeats"], case["budget"])
    memory = clock.peak() - before
    run(False)
    forward = clock.times(lambda: run(False), case["repeats"], case["budget"])
    found |= {"runs": len(both), "both": statistics.median(both), "memory": memory}
    return found | {"forward": statistics.median(forward)}


def child(case: dict[str, Any], options: argparse.Namespace) -> dict[str, Any] | str:
    """Run a measurement in a process of its own; a string says why there is none."""
    common = {"prototypes": options.prototypes, "repeats": options.repeats}
    whole = {**common, "budget": options.budget, **case}
    python = options.python.get(case.get("engine"), sys.executable)
    command = [python, __file__, "--case", json.dumps(whole)]
    # some libraries count threads before a program can say how many
    environment = {**os.environ, "OMP_NUM_THREADS": str(case.get("threads", 1)), **options.caches}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.timeout, env=environment
        )
    except subprocess.TimeoutExpired:
        return f"more than {options.timeout:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:90]
    return json.loads(done.stdout.strip().splitlines()[-1])


def absent(engine: str, options: argparse.Namespace) -> str | None:
    """Return the line for a peer that isn't installed."""
    if engine not in cases.PEERS:
        return None
    python = options.python.get(engine, sys.executable)
    look = (
        f"import importlib.util as u, sys; sys.exit(u.find_spec({cases.PEERS[engine]!r}) is None)"
    )
    if subprocess.run([python, "-c", look], capture_output=True).returncode == 0:
        return None
    return f"absent: {engine} is not installed for {os.path.basename(python)}"


# ---- the tables ---------------------------------------------------------------------------
def table(options: argparse.Namespace) -> None:
    """Print HBV at every size, one line a measurement."""
    bound = child({"limits": True}, options)
    if isinstance(bound, dict):
        print(bound.pop("said"))
    else:
        print(f"limit: {bound}")
    engines = []
    for engine in options.engines:
        missing = absent(engine, options)
        print(missing) if missing else engines.append(engine)
    print(
        "| cells, components, steps | threads | engine | runs | both ways ms | forward ms | "
        "ns a cell and step | eager / it | of the limit | MB | compiled s, cold | cached |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for size in options.sizes:
        for threads in options.threads:
            later = options.once if threads != options.threads[0] else []
            rows(tuple(size), threads, [e for e in engines if e not in later], bound, options)


def rows(
    size: cases.Size, threads: int, engines: list[str], bound: Any, options: argparse.Namespace
) -> None:
    """Print the lines of one size; a loss unlike the eager one's is said."""
    eager: dict[str, Any] | None = None
    for engine in engines:
        case = {"engine": engine, "size": size, "threads": threads}
        with tempfile.TemporaryDirectory() as folder:
            cold = None
            if engine in COMPILERS and threads == options.threads[0]:
                options.caches = dict.fromkeys(CACHES, folder)
                cold = child({**case, "repeats": 0}, options)
            found = child(case, options)
            options.caches = {}
        if isinstance(found, str):
            print(f"| {size} | {threads} | {engine} | none: {found} |", flush=True)
            continue
        eager = found if engine == "eager" else eager
        print(line(engine, threads, found, eager, bound, cold), flush=True)
        if eager and engine != "hydrodl2" and abs(found["loss"] / eager["loss"] - 1) > 1e-3:
            print(f"another loss: {engine} {found['loss']}, eager {eager['loss']}")


def line(engine: str, threads: int, found: Any, eager: Any, bound: Any, cold: Any) -> str:
    """Return one line of the table."""
    cells, components, steps = found["size"]
    each = found["both"] / (cells * components * steps) * 1e9
    share = ""
    if engine == "fused" and isinstance(bound, dict):
        share = f"{max(bound['compute'] / threads, bound['memory']) / each:.0%}"
    parts = [
        str(tuple(found["size"])),
        str(threads),
        engine,
        str(found["runs"]),
        f"{found['both'] * 1e3:.2f}",
        f"{found['forward'] * 1e3:.2f}",
        f"{each:.1f}",
        f"{eager['both'] / found['both']:.1f}" if eager else "",
        share,
        f"{found['memory']:.0f}",
        f"{cold['first']:.2f}" if isinstance(cold, dict) else "",
        f"{found['first']:.2f}" if engine in COMPILERS else "",
    ]
    return "| " + " | ".join(parts) + " |"


def smash(options: argparse.Namespace) -> None:
    """Print hydro-smash's GR4 on its own data, and this library's GR4J at the same size."""
    missing = absent("smash", options)
    if missing:
        print(missing)
        return
    print(
        "| cells, components, steps | threads | what | both ways ms | forward ms | both ways, ns |"
    )
    print("|---|---|---|---|---|---|")
    for threads in options.threads:
        case = {"engine": "smash", "dataset": options.dataset, "threads": threads}
        found = child(case, options)
        if isinstance(found, str):
            print(f"| {options.dataset} | {threads} | hydro-smash | none: {found} |")
            continue
        ours = child({"engine": "GR4J", "size": found["size"], "threads": threads}, options)
        for what, row in ((f"hydro-smash GR4, {options.dataset}", found), ("GR4J, fused", ours)):
            cells, _, steps = found["size"]
            each = row["both"] / cells / steps * 1e9
            print(
                f"| {tuple(found['size'])} | {threads} | {what} | {row['both'] * 1e3:.2f} | "
                f"{row['forward'] * 1e3:.2f} | {each:.0f} |",
                flush=True,
            )


def pairs(texts: list[str]) -> dict[str, str]:
    """Return {peer: Python} from PEER=PYTHON."""
    return dict(text.split("=", 1) for text in texts)


def main() -> None:
    """Read the command line; with ``--case``, be one of the processes that measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--prototypes", default=os.environ.get("XDPL_PROTOTYPES"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engines", nargs="+", default=list(cases.ENGINES), choices=cases.ENGINES)
    parser.add_argument(
        "--once", nargs="*", default=["compile", "hydrodl2"], choices=cases.ENGINES,
        help="measured with the first number of threads only, since they take minutes",
    )  # fmt: skip
    parser.add_argument("--sizes", type=json.loads, nargs="+", default=[list(s) for s in SIZES])
    parser.add_argument("--python", nargs="+", default=[], metavar="PEER=PYTHON")
    parser.add_argument("--dataset", default="lez", help="of hydro-smash: lez or cance")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for the runs of a line")
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.python, options.caches = pairs(options.python), {}
    if options.case is not None:
        print(json.dumps(answer(options.case)))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"torch {torch.__version__}, step of ", end="")
    print("hbv_step.py" if options.prototypes else "xdpl.models.HBV")
    for part in options.parts:
        print(f"\n## {part}", flush=True)
        {"table": table, "smash": smash, "fit": whole_fit}[part](options)


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """Return the measurement that a process was started for."""
    if case.get("limits"):
        import engine_limit

        found = engine_limit.limits(case["prototypes"])
        return {**found, "said": engine_limit.describe(found)}
    return measure(case)


def whole_fit(options: argparse.Namespace) -> None:
    """Time a fit and its parts."""
    import engine_fit

    engine_fit.report(options.threads[-1])


if __name__ == "__main__":
    main()
