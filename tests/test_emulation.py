"""From a black box to parameters: sampled, resumed, extended, trained, checked, refined, judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import boxes
import numpy as np
import pytest
import torch
import toy
import xarray as xr

import xdpl
from xdpl.emulation import design
from xdpl.emulation.store import CHUNK, RunStore
from xdpl.emulation.training import Runs
from xdpl.errors import (
    DataError,
    DeclarationError,
    FitFileError,
    LayoutError,
    ModelRunError,
    NonFiniteLoss,
    XdplWarning,
)
from xdpl.surrogate import EmulatorLSTM


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return toy.basins(12, 250)


@pytest.fixture(scope="module")
def surrogate(ds, tmp_path_factory):
    """A surrogate that was trained for long enough to be of use."""
    return xdpl.emulate(
        boxes.NumpyBucket(), ds,
        **{**boxes.SMALL, "samples": 32, "epochs": 4, "batch_size": 48, "sensitivity": 6,
           "network": EmulatorLSTM(hidden=24), "learning_rate": 0.01},
    )  # fmt: skip


def test_the_report_tells_how_far_it_can_be_trusted(surrogate):
    report = surrogate.report
    assert report.runs == {"sampled": 12 * 32, "sensitivity": 6 * 4} and report.cells == 12
    held = report.held_out["streamflow"]
    assert held["runs"]["nse"] > 0.8 and held["runs"]["count"] > 20
    assert held["cells"]["count"] == 32
    for name in ("recession", "evaporation_factor"):
        assert len(report.by_parameter["streamflow"][name]) == 3
        assert report.sensitivity["streamflow"][name]["corr"] > 0.7
        assert 0.5 < report.sensitivity["streamflow"][name]["ratio"] < 2
    low, high = report.ranges["recession"]
    assert 0.01 <= low < 0.02 < 0.5 < high <= 0.9
    assert report.ranges["streamflow"][0] >= 0 and "response to" in str(surrogate)


def test_parameters_are_learned_through_it_and_judged_by_the_true_model(ds, surrogate, tmp_path):
    fit = ds.dpl.fit(
        obs="qobs", model=surrogate, epochs=40, learning_rate=0.03, warmup=100, progress=False
    )
    scores = ds.dpl.evaluate()
    assert float(scores.nse.median()) > 0.6
    found = scores.nse - scores.nse_surrogate
    np.testing.assert_allclose(scores.nse_difference, found, atol=1e-6)
    assert "true model less" in scores.nse_difference.attrs["long_name"]
    alone = fit.evaluate(ds, true_model=False)
    np.testing.assert_allclose(alone.nse, scores.nse_surrogate, atol=1e-6)

    true = fit.simulate(ds, true_model=True)
    maps = fit.parameters(ds)
    again = xdpl.blackbox.run_cells(
        boxes.NumpyBucket(),
        {"precipitation": ds.prcp.values[np.r_[0:250, 0:250]],
         "potential_evaporation": ds.pet.values[np.r_[0:250, 0:250]]},
        {k: maps[k].values for k in maps.data_vars},
        time=xdpl.blackbox.times_before(ds.indexes["time"], 250), dt=1.0,
        label=list(ds.basin.values), scheduler="synchronous",
    )[0]  # fmt: skip
    np.testing.assert_allclose(
        true.streamflow.transpose("time", "basin"), again["streamflow"][250:], rtol=1e-4
    )
    chunked = ds.chunk({"basin": 5})
    lazy = fit.simulate(chunked, true_model=True)
    np.testing.assert_allclose(lazy.streamflow.compute(), true.streamflow, rtol=1e-4)

    path = fit.save(tmp_path / "fit.xdpl")
    whole = xdpl.load(path, model=boxes.NumpyBucket())
    xr.testing.assert_equal(whole.evaluate(ds), scores)
    stranger = xdpl.load(path)
    np.testing.assert_allclose(stranger.simulate(ds).streamflow, fit.simulate(ds).streamflow)
    with pytest.raises(DeclarationError, match="true model NumpyBucket is not at hand"):
        stranger.simulate(ds, true_model=True)
    with pytest.warns(XdplWarning, match="these are scores of the Surrogate of NumpyBucket"):
        own = stranger.evaluate(ds)
    np.testing.assert_allclose(own.nse, scores.nse_surrogate, atol=1e-6)


def test_a_store_is_resumed_and_extended_and_no_run_is_made_twice(ds, tmp_path):
    first, second = boxes.Counted(), boxes.Counted()
    given = {**boxes.SMALL, "store": tmp_path / "runs", "samples": 2}
    one = xdpl.emulate(first, ds, **given)
    assert len(first.runs) == 24 + 8 and len(set(first.runs)) == 32
    again = xdpl.emulate(second, ds, **given)
    assert not second.runs and again.digest == one.digest
    more = xdpl.emulate(second, ds, **{**given, "samples": 3})
    assert len(second.runs) == 12 and not set(second.runs) & set(first.runs)
    assert more.report.runs["sampled"] == 36
    fresh = boxes.Counted()
    xdpl.emulate(fresh, ds, **{**given, "store": tmp_path / "other", "samples": 3})
    assert sorted(fresh.runs) == sorted(first.runs + second.runs)
    with pytest.raises(FitFileError, match="holds runs of something else: cells and weather is"):
        xdpl.emulate(first, ds.isel(basin=slice(5)), **given)


def test_what_was_run_is_kept_when_it_is_interrupted(ds, tmp_path):
    class Interrupted(boxes.Counted):
        def run(self, forcings, parameters):
            if len(self.runs) == 13:
                raise KeyboardInterrupt
            return super().run(forcings, parameters)

    given = {**boxes.SMALL, "store": tmp_path, "samples": 2}
    first, rest, whole = Interrupted(), boxes.Counted(), boxes.Counted()
    with pytest.raises(KeyboardInterrupt):
        xdpl.emulate(first, ds, **given)
    resumed = xdpl.emulate(rest, ds, **given)
    assert len(first.runs) == 13 and not set(rest.runs) & set(first.runs)
    straight = xdpl.emulate(whole, ds, **{**given, "store": None})
    assert sorted(first.runs + rest.runs) == sorted(whole.runs)
    assert resumed.digest == straight.digest


def test_a_contained_box_keeps_its_process_from_chunk_to_chunk(ds, tmp_path, monkeypatch):
    def noting(forcings, parameters):
        with open(tmp_path / "pids", "a") as file:
            file.write(f"{os.getpid()}\n")
        return {"streamflow": parameters["recession"] * forcings["precipitation"]}

    monkeypatch.setattr("xdpl.emulation.sampling.CHUNK", 8)
    xdpl.emulate(boxes.of(noting, isolate=True), ds, **{**boxes.SMALL, "samples": 2})
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 24 + 8 and len(set(pids)) == 1


KILLED = """
import os, sys, time, warnings
import boxes, toy, xdpl
from xdpl.surrogate import EmulatorLSTM
warnings.simplefilter("ignore")

def counted(forcings, parameters):
    found = boxes.bucket(forcings, parameters)
    time.sleep(0.02)
    with open(sys.argv[2], "a") as log:
        log.write(f"{forcings.cell} {sorted(parameters.items())}\\n")
    return found

if __name__ == "__main__":
    surrogate = xdpl.emulate(
        boxes.of(counted), toy.basins(10, 200), samples=6, epochs=int(sys.argv[3]), batch_size=8,
        sensitivity=2, network=EmulatorLSTM(hidden=8), store=sys.argv[1], workers=2,
        progress=False,
    )
    print(surrogate.digest)
"""


@pytest.mark.slow
def test_killed_in_sampling_and_in_training_it_goes_on_to_the_same_end(tmp_path):
    script, log, store = tmp_path / "script.py", tmp_path / "log", tmp_path / "runs"
    script.write_text(KILLED)
    folder = Path(__file__).parent
    paths = [str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}

    def start(where: Path, told: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(script), str(where), str(told), "6"],
            env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def kill_when(reached) -> None:
        process = start(store, log)
        began = time.monotonic()
        while not reached() and time.monotonic() - began < 200:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    kill_when(lambda: log.exists() and len(log.read_text().splitlines()) >= 20)
    kept = len(list((store / "journal").glob("*.npy")))
    before = log.read_text().splitlines()
    assert kept >= len(before) - 2  # all but what was about to be written by two threads
    kill_when(lambda: len(list(store.glob("training/*/epoch-*"))) >= 2)
    runs = log.read_text().splitlines()
    wanted = 10 * 6 + 2 * 4
    assert len(set(runs)) == wanted and len(runs) <= wanted + 2
    end = start(store, log).communicate()[0]
    assert log.read_text().splitlines() == runs
    assert end == start(tmp_path / "straight", tmp_path / "log2").communicate()[0] != ""


def test_failed_runs_are_told_recorded_and_left_out(ds, tmp_path):
    def picky(forcings, parameters):
        if parameters["recession"] > 0.85:
            raise ArithmeticError("the outlet is too wide")
        return boxes.bucket(forcings, parameters)

    given = {**boxes.SMALL, "samples": 12, "store": tmp_path}
    with pytest.warns(XdplWarning, match="runs of picky failed and are left out: .*Arithm.*wide"):
        found = xdpl.emulate(boxes.of(picky), ds, **given)
    failed = found.report.failed["ArithmeticError"]
    assert 0 < failed < 0.1 * 152 and found.report.ranges["recession"][1] <= 0.85
    lines = (tmp_path / "failures.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert len(told) == failed and all(t["parameter"]["recession"] > 0.85 for t in told)
    with warnings.catch_warnings():
        warnings.simplefilter("error", XdplWarning)
        again = xdpl.emulate(boxes.of(picky), ds, **given)  # not run again, not told again
    assert again.report.failed == found.report.failed


def test_too_many_failures_stop_and_can_be_put_right(ds, tmp_path):
    broken = [True]

    def sick(forcings, parameters):
        if broken and parameters["recession"] > 0.2:
            raise ArithmeticError("sick")
        return boxes.bucket(forcings, parameters)

    given = {**boxes.SMALL, "samples": 2, "store": tmp_path}
    with pytest.raises(ModelRunError, match="failed, more than a tenth of the 32 wanted: 4 Arith"):
        xdpl.emulate(boxes.of(sick), ds, **given)
    broken.clear()
    assert not xdpl.emulate(boxes.of(sick), ds, **given).report.failed


def test_cells_whose_true_run_fails_are_nan_and_counted(ds, surrogate):
    def mostly(forcings, parameters):
        if forcings.cell == "00000003":
            raise ArithmeticError("no")
        return boxes.bucket(forcings, parameters)

    from dataclasses import replace

    box = boxes.of(mostly, name="NumpyBucket")
    fit = xdpl.fit(ds, "qobs", model=replace(surrogate, box=box), epochs=1, progress=False)
    with pytest.warns(XdplWarning, match="1 of 12 runs of NumpyBucket failed.*cell 00000003"):
        true = fit.simulate(ds, true_model=True)
    missing = true.streamflow.isnull().all("time")
    assert list(ds.basin.values[missing]) == ["00000003"]


def test_grids_and_chunks_are_emulated_alike():
    grid = toy.grid(3, 4, 200)
    plain = xdpl.emulate(boxes.NumpyBucket(), grid, **{**boxes.SMALL, "samples": 2})
    lazy = xdpl.emulate(
        boxes.NumpyBucket(), grid.chunk({"x": 2}).isel(y=slice(None, None, -1)),
        **{**boxes.SMALL, "samples": 2},
    )  # fmt: skip
    assert plain.digest == lazy.digest


def test_designs_cover_the_bounds_and_sobol_goes_on_where_it_ended():
    whole = design.draw("sobol", 3, 0, 64, 1)
    parts = [design.draw("sobol", 3, 0, 20, 1), design.draw("sobol", 3, 20, 44, 1)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    hypercube = design.draw("latin hypercube", 2, 0, 10, 0)
    assert (np.sort((hypercube * 10).astype(int), axis=0) == np.arange(10)[:, None]).all()
    with pytest.raises(DeclarationError, match="design='halton' is unknown. Use sobol or latin"):
        design.draw("halton", 2, 0, 1, 0)
    declared = boxes.BUCKET.parameters
    values = design.physical(whole[:, :2], declared)
    np.testing.assert_allclose(design.shares(values, declared), whole[:, :2], atol=1e-12)
    low, high = declared["recession"].bounds
    assert values[:, 0].min() >= low and values[:, 0].max() <= high
    near = design.around(np.array([[0.0, 1.0]]), 0.2, 50, 0)
    assert near.shape == (1, 50, 2) and near.min() >= 0 and near.max() <= 1


def test_what_cannot_work_is_refused_before_any_run(ds, tmp_path):
    box = boxes.Counted()
    for given, told in (
        ({"box": toy.Bucket()}, "not a black box"),
        ({"sample": 3}, "emulate has no keyword 'sample'. Did you mean 'samples'"),
        ({"samples": 0}, "samples=0 can't be used"),
        ({"network": 64}, r"network is 64. Give sizes: xdpl.surrogate.EmulatorLSTM"),
        ({"rounds": 1}, "rounds=1 learn parameters from observations, and obs was not given"),
        ({"rounds": -1}, "rounds=-1 can't be used"),
        ({"learning_rate": 0}, "learning_rate=0 can't be used"),
    ):
        with pytest.raises(DeclarationError, match=told):
            xdpl.emulate(**{"box": box, "ds": ds, **boxes.SMALL, **given})
    with pytest.raises(LayoutError, match="has no forcing 'rain'"):
        xdpl.emulate(box, ds, forcings={"rain": "prcp"}, **boxes.SMALL)
    with pytest.raises(DataError, match="no cell has complete forcings"):
        xdpl.emulate(box, ds, cells=ds.elevation < -1, **boxes.SMALL)
    (tmp_path / "file").write_text("")
    with pytest.raises(FitFileError, match="can't write runs to"):
        xdpl.emulate(box, ds, store=tmp_path / "file", **boxes.SMALL)
    with pytest.raises(DeclarationError, match=r"is a black box.*model=xdpl.emulate\(box, ds\)"):
        xdpl.fit(ds, "qobs", model=box)
    assert not box.runs


def test_outputs_are_laid_out_on_disk_and_a_chunk_is_in_memory(tmp_path, monkeypatch):
    steps, count = 400, 20 * CHUNK
    store = RunStore(tmp_path, {"model": "a"}, ["k"], ["q", "e"], steps)
    store.add("sampled", np.zeros(count), np.zeros((count, 1)))
    values = np.random.default_rng(0).random((count, steps), np.float32)
    for scale, name in enumerate(("q", "e"), 1):
        store._group[f"output.{name}"][:] = scale * values
    wanted = np.flatnonzero(np.arange(count) // CHUNK != 5)
    tracemalloc.start()
    found = store.mapped(wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * CHUNK * steps * 2 * 4 == found.nbytes / 4
    np.testing.assert_array_equal(found[wanted, :, 1], 2 * values[wanted])
    assert not found[5 * CHUNK : 6 * CHUNK].any()
    series = np.zeros((steps, 1, 1), np.float32)
    given = (torch.from_numpy(v) for v in (series, np.zeros((count, 1)), np.zeros(count), found))
    spread, root = Runs(*given, 100).scales(wanted[::2])
    inside = torch.from_numpy(values[wanted[::2], 100:])
    usual = inside.std(1) + 0.05 * inside.std(1).mean() + 1e-6
    torch.testing.assert_close(spread[wanted[::2], 0], usual)
    assert root[wanted[1::2]].isnan().all() and spread[wanted[1::2]].isnan().all()

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(FitFileError, match="can't lay out the 4864 runs .*No space.*0.0164 GB"):
        store.mapped(wanted)


@pytest.mark.parametrize("count", [48, 301, 1000])
def test_runs_for_another_purpose_in_between_change_no_bit(count):
    draw = np.random.default_rng(count)
    sizes = draw.lognormal(0, 2, (count, 1, 2))
    values = torch.from_numpy((sizes * draw.random((count, 40, 2))).astype("f4"))
    at = np.sort(draw.choice(3 * count, count, replace=False))
    apart = torch.zeros(3 * count, 40, 2)
    apart[torch.from_numpy(at)] = values
    found = [
        Runs(torch.zeros(40, 1, 1), torch.zeros(len(v), 1), torch.zeros(len(v)), v, 10).scales(rows)
        for v, rows in ((values, np.arange(count)), (apart, at))
    ]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other[torch.from_numpy(at)])


def test_a_missing_package_is_told_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(DeclarationError, match=r"needs zarr.*pip install \"xdpl\[emulate\]\""):
        design.needs("zarr")


def test_a_loss_that_is_not_finite_stops(ds):
    with pytest.raises(NonFiniteLoss, match="loss of step [0-9]+ of the surrogate is not finite"):
        xdpl.emulate(
            boxes.NumpyBucket(), ds, **{**boxes.SMALL, "samples": 2, "learning_rate": 1e30}
        )


def test_only_surrogates_have_a_true_model(ds):
    fit = xdpl.fit(ds, "qobs", **toy.QUICK)
    with pytest.raises(DeclarationError, match="true_model=True runs the true model behind a su"):
        fit.simulate(ds, true_model=True)
