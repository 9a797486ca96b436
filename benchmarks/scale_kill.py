"""Kill -9 at random moments of sampling, fit and writing, for ``scale.py kill``; then compare."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scale_store import opened, write_store  # beside this file


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
    from xdpl.runtime import signals as watch

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
