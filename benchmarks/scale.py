"""Show what holds on large data: bounded memory, little waiting, the same results, nothing lost.

    python benchmarks/scale.py memory      # stores of 2 and 4 times the memory allowed
    python benchmarks/scale.py loader      # waiting per batch: this loader and others
    python benchmarks/scale.py workers     # two processes against one, a cluster against none
    python benchmarks/scale.py kill        # kill -9 at random moments, and go on
    python benchmarks/scale.py fuzz        # damaged files, odd attributes and units

Stores are written to ``--folder`` and removed. Everything runs on the CPU, training with one
thread, so that the reading threads have a core of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# before numpy begins threads for its algebra: none of them would live on in a fork
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scale_kill import kill  # this one and the next: beside this file
from scale_store import SIDE, opened, write_store

HERE = Path(__file__).resolve()


def child(*arguments: Any, **environment: str) -> dict[str, Any]:
    """Run a part of this file in a process of its own; it prints one line of JSON at its end."""
    command = [sys.executable, str(HERE), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


# ---- memory ---------------------------------------------------------------------------------
def memory(options: argparse.Namespace) -> None:
    """Fit and write maps under a limit, as the store doubles."""
    print(
        "| store, GB | cells | before, GB | peak, GB | survey, s | training, s | waited, s | share "
        "| all of fit, s | maps, s |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for factor in (1, 2):
        path = options.folder / "large.zarr"
        size = write_store(path, options.rows, options.columns * factor, options.days)
        got = child(
            "part-memory", "--store", path, "--limit", options.limit, "--years", options.years,
            MALLOC_MMAP_THRESHOLD_="4000000",  # else the C library keeps much of what is freed
        )  # fmt: skip
        print(
            f"| {size:.1f} | {got['cells']} | {got['before']:.2f} | {got['peak']:.2f} | "
            f"{got['survey']:.0f} | {got['training']:.0f} | {got['waited']:.1f} | "
            f"{got['waited'] / got['training']:.1%} | {got['fit']:.0f} | {got['maps']:.0f} |",
            flush=True,
        )
        shutil.rmtree(path)


def part_memory(options: argparse.Namespace) -> None:
    """One epoch over the last years, and all maps, in a process that may hold so much data.

    The limit is RLIMIT_DATA: on addresses it would stop LLVM and torch.
    """
    limit = int(options.limit * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    import dask
    import torch

    import xdpl
    from xdpl.training import Callback

    torch.set_num_threads(1)
    noted: dict[str, float] = {"before": memory_held("VmRSS")}

    class Clock(Callback):
        def on_start(self, state: Any) -> None:
            noted["survey"] = time.perf_counter() - began

        def on_end(self, state: Any) -> None:
            noted["training"] = time.perf_counter() - began - noted["survey"]
            noted["waited"] = state.waited

    ds = opened(options.store)
    years = slice(ds.time.values[-round(options.years * 365.25)], None)
    began = time.perf_counter()
    keywords = {"deviations": False, "progress": False, "callbacks": [Clock()]}
    fit = xdpl.fit(ds, obs="qobs", period=years, epochs=1, **keywords)
    noted["fit"] = time.perf_counter() - began
    folder = options.store.with_name("maps")
    with dask.config.set(num_workers=2):
        fit.parameters(ds).dpl.to_geotiff(folder)
    noted["maps"] = time.perf_counter() - began - noted["fit"]
    shutil.rmtree(folder)
    print(json.dumps({"cells": fit.record["cells"], "peak": memory_held("VmHWM"), **noted}))


def memory_held(which: str) -> float:
    """GB of this process: of now (VmRSS) or the most so far (VmHWM).

    getrusage won't do: what it says of a child includes the parent that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith(which))


# ---- loader ---------------------------------------------------------------------------------
def loader(options: argparse.Namespace) -> None:
    """Steps on batches of one size, however they come; what is told is the time between steps."""
    path = options.folder / "store.zarr"
    write_store(path, 8 * SIDE, 4 * SIDE, 1461)
    print("| loader | batches | step, s | waiting per batch, s | share |\n|---|---|---|---|---|")
    for name in ("sequential dask", "this loader", "xbatcher and DataLoader"):
        got = child("part-loader", "--store", path, "--which", name)
        share = got["waited"] / (got["waited"] + got["step"])
        print(
            f"| {name} | {got['batches']} | {got['step']:.2f} | {got['waited']:.3f} | "
            f"{share:.0%} |",
            flush=True,
        )
    shutil.rmtree(path)


def part_loader(options: argparse.Namespace) -> None:
    import scale_loaders as loaders

    print(json.dumps(loaders.measured(opened(options.store), options.which)))


# ---- workers --------------------------------------------------------------------------------
def workers(options: argparse.Namespace) -> None:
    """The same fit by one and by two processes; the same maps with and without a cluster."""
    path = options.folder / "store.zarr"
    write_store(path, 2 * SIDE, 4 * SIDE, 1461)
    out = {}
    for count in (1, 2):
        target = options.folder / f"{count}.npz"
        run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        began = time.perf_counter()
        part = [str(HERE), "part-rank", "--store", str(path), "--out", str(target)]
        done = subprocess.run([sys.executable, *run, *part], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join([*run, *part])} failed:\n{done.stderr[-3000:]}")
        out[count] = (np.load(target), time.perf_counter() - began)
    (one, alone), (two, shared) = out[1], out[2]
    print(f"loss of epochs, one process: {one['loss']}\nloss of epochs, two: {two['loss']}")
    far = max(float(np.nanmax(np.abs(two[k] / one[k] - 1))) for k in one.files)
    print(f"largest relative difference of loss and maps: {far:.1e}")
    print(f"seconds: {alone:.0f} by one process, {shared:.0f} by two")
    print(
        "maps with a LocalCluster of two workers against none:",
        child("part-cluster", "--store", path),
    )
    shutil.rmtree(path)


def part_rank(options: argparse.Namespace) -> None:
    import xdpl

    ds = opened(options.store)
    fit = xdpl.fit(ds, obs="qobs", epochs=2, progress=False)
    if os.environ["RANK"] == "0":
        maps = {k: v.values for k, v in fit.parameters(ds).compute().items()}
        np.savez(options.out, loss=fit.record["loss"], **maps)


def part_cluster(options: argparse.Namespace) -> None:
    import distributed

    import xdpl

    ds = opened(options.store)
    fit = xdpl.fit(ds, obs="qobs", epochs=1, progress=False)
    alone = fit.simulate(ds, period=slice("2003-01-01", None)).streamflow.compute()
    maps = fit.parameters(ds).compute()
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        same = bool(fit.simulate(ds, period=slice("2003-01-01", None)).streamflow.equals(alone))
        same_maps = bool(fit.parameters(ds).compute().equals(maps))
    print(json.dumps({"simulation": same, "parameters": same_maps}))


# ---- fuzz -----------------------------------------------------------------------------------
def fuzz(options: argparse.Namespace) -> None:
    """The cases of tests/test_fuzz.py, as many as asked for in all."""
    tests = HERE.parent.parent / "tests" / "test_fuzz.py"
    each = -(-options.cases // 5)
    environment = {**os.environ, "XDPL_FUZZ": str(each)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        str(tests),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(f"5 tests of {each} cases each:", done.stdout.strip().splitlines()[-1])


def main() -> None:
    parts = {f.__name__.replace("_", "-"): f for f in (
        memory, loader, workers, kill, fuzz, part_memory, part_loader, part_rank, part_cluster,
    )}  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=parts)
    parser.add_argument("--folder", type=Path, help="for stores; a temporary one by default")
    parser.add_argument("--rows", type=int, default=256, help="of both stores")
    parser.add_argument("--columns", type=int, default=272, help="of the smaller store")
    parser.add_argument("--days", type=int, default=3653)
    parser.add_argument("--limit", type=float, default=2.0, help="GB of data allowed in memory")
    parser.add_argument("--years", type=float, default=10, help="to train on, the last ones")
    parser.add_argument("--times", type=int, default=50, help="kills")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--which", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        parts[options.part](options)


if __name__ == "__main__":
    main()
