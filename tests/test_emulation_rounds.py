"""Refinement: each round knows what it was made for, and goes on from where it was cut off."""

from __future__ import annotations

import warnings
from pathlib import Path

import boxes
import pytest
import toy
import xarray as xr

import xdpl
from xdpl.emulation import checkpoint
from xdpl.emulation.fit_digest import digest_of_fit
from xdpl.errors import LayoutError, XdplWarning
from xdpl.losses import MSE
from xdpl.networks import MLP

FIT = {"epochs": 2, "warmup": 100}
GIVEN = {
    **boxes.SMALL, "samples": 4, "rounds": 2, "obs": "qobs", "fit": FIT, "around": 2,
    "agreement": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return toy.basins(12, 250)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole(ds, store):
    """A surrogate of two rounds, and its true model, made without a break."""
    box = boxes.Counted()
    return xdpl.emulate(box, ds, **GIVEN, store=store), box


def same(one: xdpl.Surrogate, other: xdpl.Surrogate) -> bool:
    told = (one.report, other.report)
    rounds, loss = ([getattr(r, name) for r in told] for name in ("rounds", "loss"))
    return one.digest == other.digest and rounds[0] == rounds[1] and loss[0] == loss[1]


def test_each_round_is_reported_and_runs_the_true_model_where_it_matters(ds, whole):
    found, box = whole
    assert found.report.runs == {
        "sampled": 48, "sensitivity": 8, "round 1": 36, "round 2": 36
    }  # fmt: skip
    assert len(box.runs) == len(set(box.runs)) == 128 and len(found.report.rounds) == 2
    assert all(r["lower"] <= r["agreement"] <= 1 for r in found.report.rounds)
    assert not found.report.unused
    early = xdpl.emulate(boxes.Counted(), ds, **{**GIVEN, "agreement": -1e9})
    assert len(early.report.rounds) == 1


def test_finished_rounds_are_not_made_again_and_steer_nothing_before_them(ds, whole, store):
    with warnings.catch_warnings():
        warnings.simplefilter("error", XdplWarning)
        box = boxes.Counted()
        again = xdpl.emulate(box, ds.isel(basin=slice(None, None, -1)), **GIVEN, store=store)
        assert same(again, whole[0]) and not box.runs
        without = xdpl.emulate(box, ds, **{**GIVEN, "rounds": 0}, store=store)
    fresh = xdpl.emulate(boxes.Counted(), ds, **{**GIVEN, "rounds": 0})
    assert same(without, fresh) and not box.runs
    assert without.report.unused == {"round 1": 36, "round 2": 36}
    assert "not used     36 round 1, 36 round 2, in the store for other calls" in str(without)


def test_rounds_for_other_observations_are_made_anew(ds, whole, store):
    other = ds.assign(qobs=ds.qobs.copy(data=ds.qobs.values[::-1]))  # of the same mean and spread
    box = boxes.Counted()
    with pytest.warns(XdplWarning, match="holds 36 runs of round 1 that were made for other obs"):
        found = xdpl.emulate(box, other, **{**GIVEN, "rounds": 1}, store=store)
    fresh = xdpl.emulate(boxes.Counted(), other, **{**GIVEN, "rounds": 1})
    assert same(found, fresh) and len(box.runs) == 36 and found.digest != whole[0].digest
    assert found.report.unused == {"round 1": 36, "round 2": 36}
    back = xdpl.emulate(box, ds, **GIVEN, store=store)
    assert same(back, whole[0]) and len(box.runs) == 36
    assert back.report.unused == {"round 1": 36}


class Cut(boxes.Counted):
    """Is interrupted after some runs."""

    def __init__(self, after: int):
        super().__init__()
        self.after = after

    def run(self, forcings, parameters):
        if len(self.runs) == self.after:
            raise KeyboardInterrupt
        return super().run(forcings, parameters)


@pytest.mark.parametrize("after", [60, 92])
def test_cut_off_in_the_runs_of_a_round_it_comes_to_the_same_end(ds, whole, tmp_path, after):
    first, rest = Cut(after), boxes.Counted()
    with pytest.raises(KeyboardInterrupt):
        xdpl.emulate(first, ds, **GIVEN, store=tmp_path)
    found = xdpl.emulate(rest, ds, **GIVEN, store=tmp_path)
    assert same(found, whole[0])
    assert sorted(first.runs + rest.runs) == sorted(whole[1].runs)


def test_cut_off_in_training_it_comes_to_the_same_end(ds, whole, tmp_path, monkeypatch):
    trained = []

    def cut(folder, *given):
        trained.append(folder)
        if len(set(trained)) == 2:  # the first round's
            raise KeyboardInterrupt
        written(folder, *given)

    written = checkpoint.write
    first, rest = boxes.Counted(), boxes.Counted()
    monkeypatch.setattr(checkpoint, "write", cut)
    with pytest.raises(KeyboardInterrupt):
        xdpl.emulate(first, ds, **GIVEN, store=tmp_path)
    monkeypatch.undo()
    assert len(first.runs) == 56 + 36
    found = xdpl.emulate(rest, ds, **GIVEN, store=tmp_path)
    assert same(found, whole[0]) and len(first.runs + rest.runs) == 128


def test_samples_are_those_of_the_call_whatever_the_store_holds(ds, tmp_path):
    box, given = boxes.Counted(), {**boxes.SMALL, "samples": 2, "sensitivity": 0}
    xdpl.emulate(box, ds, **{**given, "samples": 3, "sensitivity": 2}, store=tmp_path)
    found = xdpl.emulate(box, ds, **given, store=tmp_path)
    assert same(found, xdpl.emulate(boxes.Counted(), ds, **given))
    assert found.report.unused == {"sampled": 12, "sensitivity": 8} and len(box.runs) == 36 + 8
    latin = xdpl.emulate(box, ds, **given, design="latin hypercube", store=tmp_path)
    assert latin.digest != found.digest and len(box.runs) == 44 + 24
    assert latin.report.unused["sampled"] == 36


def test_a_purpose_is_all_that_decides_what_is_learned(ds):
    base = {"model": toy.Bucket(), "epochs": 2, "network": MLP(hidden=(8,))}

    def of(data: xr.Dataset, obs="qobs", **keywords) -> str:
        return digest_of_fit(data, obs, {**base, **keywords})

    reference = of(ds)
    grid = toy.grid(3, 4, 100)
    assert of(ds.chunk({"basin": 5})) == reference == of(ds.isel(basin=slice(None, None, -1)))
    assert of(grid) == of(grid.transpose(..., "y").isel(y=slice(None, None, -1)))
    assert of(ds, progress=False, device="cpu", checkpoint="x") == reference
    assert of(ds, {"qobs": "streamflow"}) == reference == of(ds.assign(name="a station"))
    moved = ds.copy(deep=True)
    moved.qobs[100, 3] += 0.01
    raised = ds.copy(deep=True)
    raised.elevation[2] += 1
    several = [
        of(moved), of(raised), of(ds, period=slice("2000-03", None)),
        of(ds, cells=ds.elevation > 300), of(ds, loss=MSE()), of(ds, network=MLP(hidden=(9,))),
        of(ds, epochs=3), of(ds, seed=1), of(ds, attributes=["forest"]), of(ds.isel(basin=[0, 1])),
        of(ds, past=slice(None, "2000-02")), of(ds, warmup=30), of(ds, weights={"qobs": 2.0}),
    ]  # fmt: skip
    assert len({reference, *several}) == 1 + len(several)
    assert of(ds.assign(kind=("basin", list("ab" * 6))), attributes=["forest"]) == several[8]
    with pytest.raises(LayoutError, match="qobz"):
        of(ds, "qobz")
