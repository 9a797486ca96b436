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
import importlib
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

# before numpy begins threads for its algebra: none of them would live on in a fork
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve()
SIDE = 32
"""Rows and columns of a chunk."""


# ---- data -----------------------------------------------------------------------------------
def write_store(path: Path, rows: int, columns: int, days: int) -> float:
    """Write a store of chunks of all times; return its size in GB, uncompressed."""
    import xarray as xr

    draw = np.random.default_rng(0)
    season = np.sin(2 * np.pi * np.arange(days) / 365.25)
    wet = np.where(draw.random((days, 16)) < 0.3, draw.gamma(1.0, 8.0, (days, 16)), 0.0)
    flow = 0.3 * pd.DataFrame(wet).ewm(alpha=0.05).mean().to_numpy()
    series = {
        "prcp": (wet, "mm day-1"),
        "tas": (10 + 12 * season[:, None] + draw.normal(0, 3, (days, 16)), "degC"),
        "pet": (np.repeat((2.5 + 2 * season)[:, None], 16, 1), "mm day-1"),
        "qobs": (flow, "mm day-1"),
    }
    space = ("time", "y", "x")
    time_axis = pd.date_range("2000-01-01", periods=days)
    coords = {
        "time": time_axis,
        "y": ("y", np.linspace(60, 30, rows), {"units": "degrees_north"}),
        "x": ("x", np.linspace(-120, -70, columns), {"units": "degrees_east"}),
    }
    import dask.array as da

    chunks = (days, SIDE, SIDE)
    ds = xr.Dataset(coords=coords)
    for name, (values, units) in series.items():
        tile = np.tile(values.astype("f4")[:, None, :], (1, SIDE, SIDE // 16))
        data = da.map_blocks(
            _tile, tile=tile, chunks=da.core.normalize_chunks(chunks, (days, rows, columns)),
            dtype="f4",
        )  # fmt: skip
        ds[name] = (space, data, {"units": units})
    for name in ("elevation", "forest", "sand"):
        values = draw.random((rows, columns)).astype("f4")
        ds[name] = (("y", "x"), da.from_array(values, chunks=(SIDE, SIDE)), {"units": "1"})
    ds.to_zarr(path, mode="w", consolidated=False)
    return ds.nbytes / 1e9


def _tile(tile: np.ndarray, block_info: Any = None) -> np.ndarray:
    shape = block_info[None]["chunk-shape"]
    return tile[:, : shape[1], : shape[2]]


def opened(path: Path) -> Any:
    import xarray as xr

    return xr.open_zarr(path, consolidated=False)


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
            "part-memory", "--store", path, "--limit", options.limit, "--years", options.years
        )
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
    from xdpl.fitting import plan

    torch.set_num_threads(1)
    noted: dict[str, float] = {"before": memory_held("VmRSS")}
    train = plan.train

    def timed(trainer: Any, objective: Any, batches: Any, **keywords: Any) -> None:
        noted["survey"] = time.perf_counter() - began
        train(trainer, objective, batches, **keywords)
        noted["training"] = time.perf_counter() - began - noted["survey"]
        noted["waited"] = batches.loader.waited

    plan.train = timed
    ds = opened(options.store)
    years = slice(ds.time.values[-round(options.years * 365.25)], None)
    began = time.perf_counter()
    fit = xdpl.fit(ds, obs="qobs", period=years, epochs=1, deviations=False, progress=False)
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


# ---- kill -----------------------------------------------------------------------------------
def kill(options: argparse.Namespace) -> None:
    """Kill at random moments of sampling, fit and writing, until so many; then compare.

    What is killed are forks of this process, which has imported all and begun no thread: so the
    moments fall on work, not on imports.
    """
    _imported()
    path = options.folder / "store.zarr"
    _ended(_forked(lambda: write_store(path, 8, 16, 760)))
    whole, often = options.folder / "whole", options.folder / "often"
    for left in (whole, often):
        shutil.rmtree(left, ignore_errors=True)
    began = time.perf_counter()
    _ended(_forked(lambda: _life(path, whole)))
    usual = time.perf_counter() - began
    print(f"a life that is not killed takes {usual:.0f} s", file=sys.stderr)
    draw, kills, finished = random.Random(0), 0, 0
    differ: list[str] = []
    moments: Counter[str] = Counter()
    while kills < options.times:
        child = _forked(lambda: _life(path, often))
        if not _ended(child, draw.uniform(0.0, 0.8 * usual)):
            kills += 1
            moments[_phase(often)] += 1
            print(f"{kills} killed {dict(moments)}, {finished} at their end", file=sys.stderr)
            continue
        finished += 1
        differ += _compared(whole, often)
        shutil.rmtree(often)
    _ended(_forked(lambda: _life(path, often)))
    differ += _compared(whole, often)
    print(f"{kills} times kill -9 ({', '.join(f'{k}: {n}' for k, n in moments.items())}), "
          f"{finished + 1} runs brought to their end in between; "
          f"files that differ from those of a run never killed: {differ or 'none'}")  # fmt: skip
    for written in (path, whole, often):
        shutil.rmtree(written)


def _imported() -> None:
    """Import for the forks what they need, and see that no thread has begun by that."""
    names = (
        "torch", "rasterio", "rioxarray", "zarr", "xdpl.batches", "xdpl.emulation", "xdpl.engine",
        "xdpl.fitting", "xdpl.models", "xdpl.rasters",
    )  # fmt: skip
    for name in names:
        importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise SystemExit(f"importing began {threads - 1} threads, which no fork would have")


def _forked(work: Callable[[], Any]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _ended(child: int, within: float | None = None) -> bool:
    """Wait for a fork; kill it where it takes longer, and say whether it came to its end."""
    until = math.inf if within is None else time.monotonic() + within
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            if status:
                raise SystemExit("it did not go on: see above")
            return True
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return status == 0  # it ended in this moment


def _compared(whole: Path, often: Path) -> list[str]:
    """`_differences`, by a fork: reading begins threads."""
    told = often / "differences.json"
    _ended(_forked(lambda: told.write_text(json.dumps(_differences(whole, often)))))
    return json.loads(told.read_text())


def _life(store: Path, out: Path) -> None:
    """All that a user's script does: sample a black box, fit, write; called again it goes on."""
    import torch

    import xdpl
    from xdpl.fitting import watch

    torch.set_num_threads(1)
    watch.EVERY = 0.2
    ds = opened(store)
    out.mkdir(exist_ok=True)
    _begun(out, "sampling")
    surrogate = xdpl.emulate(
        _reservoir(), ds.isel(y=slice(2), x=slice(4)), samples=8, epochs=2, batch_size=8,
        sensitivity=2, network=xdpl.surrogate.EmulatorLSTM(hidden=8), store=out / "runs",
        scheduler="synchronous", progress=False,
    )  # fmt: skip
    (out / "surrogate").write_text(surrogate.digest)
    _begun(out, "fit")
    fit = xdpl.fit(ds, obs="qobs", epochs=6, checkpoint=out / "kept", progress=False)
    fit.save(out / "fit.xdpl")
    _begun(out, "writing")
    fit.parameters(ds).dpl.to_zarr(out / "maps.zarr")
    fit.simulate(ds, outputs=["streamflow"]).dpl.to_zarr(out / "flow.zarr")
    fit.parameters(ds).dpl.to_geotiff(out / "tif")


def _begun(out: Path, phase: str) -> None:
    (out / "phase.new").write_text(phase)
    os.replace(out / "phase.new", out / "phase")


def _phase(out: Path) -> str:
    noted = out / "phase"
    return noted.read_text() if noted.exists() else "start"


def _reservoir() -> Any:
    """A black box: rain through a linear reservoir, a moment for each run."""
    from xdpl import Forcing, Output, Parameter
    from xdpl.blackbox import Function

    def reservoir(forcings: Any, parameters: Any) -> dict[str, np.ndarray]:
        time.sleep(0.02)
        storage, flow = 20.0, []
        for rain in forcings["precipitation"]:
            out = parameters["recession"] * (storage + rain)
            storage += rain - out
            flow.append(out)
        return {"streamflow": np.array(flow)}

    rain = Forcing("mm day-1", standard_name="lwe_precipitation_rate", names=("prcp",))
    return Function(
        reservoir,
        forcings={"precipitation": rain},
        parameters={"recession": Parameter("day-1", bounds=(0.01, 0.9), scale="log")},
        outputs={"streamflow": Output("mm day-1")},
    )


def _differences(whole: Path, often: Path) -> list[str]:
    import rasterio
    import torch

    import xdpl

    one, two = (xdpl.load(folder / "fit.xdpl").learner.state_dict() for folder in (whole, often))
    found = [name for name in one if not torch.equal(one[name], two[name])]
    if (whole / "surrogate").read_text() != (often / "surrogate").read_text():
        found.append("surrogate")
    for name in ("maps.zarr", "flow.zarr"):
        first, second = (opened(folder / name).load() for folder in (whole, often))
        found += [name] if not first.equals(second) else []
    for path in sorted((whole / "tif").iterdir()):
        with rasterio.open(path) as a, rasterio.open(often / "tif" / path.name) as b:
            found += [] if np.array_equal(a.read(), b.read(), equal_nan=True) else [path.name]
    return found


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
    parser.add_argument("--columns", type=int, default=208, help="of the smaller store")
    parser.add_argument("--days", type=int, default=3653)
    parser.add_argument("--limit", type=float, default=1.5, help="GB of data allowed in memory")
    parser.add_argument("--years", type=float, default=2, help="to train on, the last ones")
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
