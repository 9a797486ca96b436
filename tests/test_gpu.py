"""On a GPU: what the CPU gives, whatever the way there. Skipped where there is none."""

from __future__ import annotations

import gc

import boxes
import numpy as np
import pytest
import torch
import toy
import xarray as xr
from test_training_microbatch import check_that_two_give_what_one_gives
from toy import QUICK, grid

import xdpl
from xdpl import models, networks, validation
from xdpl.errors import OutOfMemory, XdplWarning
from xdpl.training.outcome import pace

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")

FIT = {**QUICK, "epochs": 20}


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return grid()


def nse(fit) -> float:
    return fit.scores["streamflow"]["nse"]


WAYS = {
    "plain": {},
    "dynamic": {"dynamic": ("recession",)},
    "components": {"components": 4},
    "mixed": {"precision": "mixed"},
    "gA": {"deviations": False},
    "gZ": {"past": ("2000-01-01", "2000-08-31"), "period": ("2000-09-01", None)},
    "LSTM": {"network": networks.LSTM(hidden=8)},
    "members": {"ensemble": 2},
    "validation": {"validation": 0.2},
    "eager": {"engine": "eager", "epochs": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_scores_as_on_the_cpu(ds, way, tmp_path):
    options = {**FIT, **WAYS[way]}
    here = xdpl.fit(ds, obs="qobs", device="cuda", **options)
    expected = xdpl.fit(ds, obs="qobs", device="cpu", **options)
    assert here.record["device"].startswith("cuda")
    assert nse(here) == pytest.approx(nse(expected), abs=0.02)
    again = xdpl.load(here.save(tmp_path / "fit.xdpl"), model=toy.Bucket)
    xr.testing.assert_allclose(again.parameters(ds), here.parameters(ds), rtol=1e-5)


def test_the_same_seed_gives_the_same_bits(ds):
    first, second = (xdpl.fit(ds, obs="qobs", device="cuda", **FIT) for _ in range(2))
    xr.testing.assert_identical(first.parameters(ds), second.parameters(ds))


def test_series_read_as_they_are_needed_give_what_those_held_give(ds, monkeypatch):
    held = xdpl.fit(ds, obs="qobs", device="cuda", **FIT)
    monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: 0)
    read = xdpl.fit(ds.chunk({"y": 1}), obs="qobs", device="cuda", **FIT)
    assert nse(read) == pytest.approx(nse(held), abs=0.02)
    lazy = read.parameters(ds.chunk({"y": 1}))
    xr.testing.assert_allclose(lazy.compute(), read.parameters(ds), rtol=1e-5)


def test_a_fit_goes_on_from_its_checkpoint_to_the_same_bits(ds, tmp_path, monkeypatch):
    expected = xdpl.fit(ds, obs="qobs", device="cuda", **FIT)

    def failing(state):
        if state.done == 15:
            raise OSError("the power went out")
        return pace(state)

    with monkeypatch.context() as patch:
        patch.setattr("xdpl.training.loop.pace", failing)
        with pytest.raises(OSError, match="power"):
            xdpl.fit(ds, obs="qobs", device="cuda", checkpoint=tmp_path, **FIT)
    went_on = xdpl.fit(ds, obs="qobs", device="cuda", checkpoint=tmp_path, **FIT)
    xr.testing.assert_identical(went_on.parameters(ds), expected.parameters(ds))


def test_one_fit_after_another_takes_no_more_memory(ds):
    taken = []
    for _ in range(4):
        xdpl.fit(ds, obs="qobs", device="cuda", **QUICK)
        gc.collect()
        taken.append(torch.cuda.memory_allocated())
    assert taken[-1] == taken[0]


@pytest.mark.filterwarnings("ignore:no memory")
def test_out_of_memory_halves_the_batch_or_says_what_to_do():
    days, count = 600, 8192
    ds = toy.grid(1, 64, days).isel(x=np.arange(count) % 64)
    ds["x"] = ("x", -9e6 + 36e3 * np.arange(count), ds.x.attrs)
    options = {**QUICK, "batch_size": count, "epochs": 2, "engine": "eager", "components": 8}
    _, total = torch.cuda.mem_get_info()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    whole = xdpl.fit(ds, obs="qobs", device="cuda", **options)
    used = torch.cuda.max_memory_allocated()
    try:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.7 * used / total)
        with pytest.warns(XdplWarning, match="no memory"):
            halved = xdpl.fit(ds, obs="qobs", device="cuda", **options)
        assert halved.record["loss"] == pytest.approx(whole.record["loss"], rel=1e-3)
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(0.2 * used / total)
        with pytest.raises(OutOfMemory, match="smaller batch_size"):
            xdpl.fit(ds, obs="qobs", device="cuda", **options)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_surrogate_is_trained_and_learned_through():
    pytest.importorskip("zarr")
    ds = toy.basins(12, 250)
    emulated = {
        where: xdpl.emulate(boxes.NumpyBucket(), ds, **{**boxes.SMALL, "device": where})
        for where in ("cpu", "cuda")
    }
    for surrogate in emulated.values():
        fit = xdpl.fit(
            ds, obs="qobs", model=surrogate, epochs=2, batch_size=12, progress=False, device="cuda"
        )
        assert np.isfinite(nse(fit))
        simulated = fit.simulate(ds, true_model=True)
        assert np.isfinite(simulated.streamflow.isel(time=-1)).all()


@pytest.mark.parametrize("rival", ["calibrate", "uniform", "lstm"])
def test_baselines_score_as_on_the_cpu(ds, rival):
    options = {"model": toy.Bucket(), "obs": "qobs", "progress": False}
    if rival == "lstm":
        options |= {"epochs": 3, "hidden": 16}
    run = getattr(validation, rival)
    here, there = (run(ds, device=where, **options) for where in ("cuda", "cpu"))
    assert nse(here) == pytest.approx(nse(there), abs=0.05)


def test_tiles_of_two_warps_are_right():
    from xdpl.engine import simulate

    model, cells, days = models.HBV(), 140_000, 12
    random = torch.Generator("cuda").manual_seed(0)

    def uniform(*shape):
        return torch.rand(*shape, generator=random, dtype=torch.float64, device="cuda")

    forcing = {n: 10 * uniform(days, cells) for n in model.forcings}
    forcing["temperature"] = 3 * forcing["temperature"] - 15
    parameter = {
        n: (p.bounds[0] + (p.bounds[1] - p.bounds[0]) * (0.05 + 0.9 * uniform(cells, 1)))
        for n, p in model.parameters.items()
        if not p.shared
    }
    state = {n: s.initial + 5 * uniform(cells, 1) for n, s in model.states.items()}
    found = {}
    for engine in ("eager", "fused"):
        leaves = {n: v.clone().requires_grad_() for n, v in parameter.items()}
        out, _ = simulate(model, forcing, leaves, state, engine=engine)
        flow = out["streamflow"] if "streamflow" in out else next(iter(out.values()))
        slopes = torch.autograd.grad((flow**2).sum(), list(leaves.values()), allow_unused=True)
        found[engine] = [flow.detach(), *(s for s in slopes if s is not None)]
    for ours, theirs in zip(found["fused"], found["eager"], strict=True):
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-9


@two
def test_another_gpu_gives_the_same_bits(ds, tmp_path):
    first, second = (
        xdpl.fit(ds, obs="qobs", device=where, checkpoint=tmp_path / where, **FIT)
        for where in ("cuda:0", "cuda:1")
    )
    assert second.record["device"] == "cuda:1"
    xr.testing.assert_equal(first.parameters(ds), second.parameters(ds))


@two
def test_two_gpus_give_the_weights_of_one(tmp_path):
    check_that_two_give_what_one_gives(tmp_path)
