"""An ensemble: members are the fits of their seeds, saved, resumed and asked as one."""

from dataclasses import replace

import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl import errors
from xdpl.fitting import members as module
from xdpl.networks import LSTM

PARAMETERS = ("recession", "evaporation_factor")


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", ensemble=3, **QUICK)


def test_members_are_the_fits_of_single_seeds(ds, fit):
    single = xdpl.fit(ds, obs="qobs", seed=2, **QUICK).parameters(ds)
    alone = xdpl.fit(ds, obs="qobs", **QUICK)
    alone = replace(alone, learner=fit.members[2])
    for name in PARAMETERS:
        xr.testing.assert_allclose(alone.parameters(ds)[name], single[name])


def test_maps_are_the_centre_and_simulations_the_mean_of_the_members(ds, fit):
    maps = fit.parameters(ds)
    parts = []
    for member in fit.members:
        parts.append(replace(fit, learner=member).parameters(ds))
    each = xr.concat(parts, "member")
    for name in PARAMETERS:
        assert (maps[name] >= each[name].min("member") * (1 - 1e-6)).all()
        assert (maps[name] <= each[name].max("member") * (1 + 1e-6)).all()
    assert maps.attrs["ensemble"] == 3
    runs = [replace(fit, learner=member).simulate(ds) for member in fit.members]
    expected = xr.concat(runs, "member").mean("member")
    xr.testing.assert_allclose(fit.simulate(ds), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "keywords",
    [{}, {"components": 3}, {"network": LSTM(hidden=4)}, {"deviations": False}],
    ids=["plain", "components", "lstm", "without deviations"],
)
def test_a_file_keeps_all_members(ds, tmp_path, keywords):
    fit = xdpl.fit(ds, obs="qobs", ensemble=2, **QUICK, **keywords)
    again = xdpl.load(fit.save(tmp_path / "fit.xdpl"), model=QUICK["model"])
    assert len(again.members) == 2
    before, after = (f.parameters(ds, trust=True) for f in (fit, again))
    xr.testing.assert_equal(before, after)


def test_a_checkpoint_goes_on_with_the_member_that_was_stopped(ds, tmp_path, monkeypatch):
    whole = xdpl.fit(ds, obs="qobs", ensemble=2, **QUICK)
    ran = module.Run.__call__
    calls = []

    def interrupted(self, checkpoint, progress):
        calls.append(checkpoint.folder.name)
        if len(calls) == 2:
            return KeyboardInterrupt()
        return ran(self, checkpoint, progress)

    monkeypatch.setattr(module.Run, "__call__", interrupted)
    with pytest.raises(errors.Interrupted) as raised:
        xdpl.fit(ds, obs="qobs", ensemble=2, checkpoint=tmp_path, **QUICK)
    stopped = raised.value.fit
    assert calls == ["seed-0", "seed-1"]
    assert len(stopped.members) == 1
    assert "only the first 1 of the members are there" in stopped.record["stopped"]
    resumed = xdpl.fit(ds, obs="qobs", ensemble=2, checkpoint=tmp_path, **QUICK)
    xr.testing.assert_equal(resumed.parameters(ds), whole.parameters(ds))


def test_a_larger_ensemble_goes_on_with_the_members_that_are_there(ds, tmp_path, monkeypatch):
    two = xdpl.fit(ds, obs="qobs", ensemble=2, checkpoint=tmp_path, **QUICK)
    three = xdpl.fit(ds, obs="qobs", ensemble=3, checkpoint=tmp_path, **QUICK)
    first = xdpl.fit(ds, obs="qobs", **QUICK)
    for number in range(2):
        expected = replace(first, learner=two.members[number]).parameters(ds)
        found = replace(first, learner=three.members[number]).parameters(ds)
        xr.testing.assert_equal(found, expected)


def test_a_member_that_breaks_down_leaves_those_before_it(ds, monkeypatch):
    ran = module.Run.__call__
    calls = []

    def broken(self, checkpoint, progress):
        calls.append(1)
        if len(calls) == 3:
            return errors.NonFiniteLoss("broke down")
        return ran(self, checkpoint, progress)

    monkeypatch.setattr(module.Run, "__call__", broken)
    with pytest.raises(errors.NonFiniteLoss, match="broke down") as raised:
        xdpl.fit(ds, obs="qobs", ensemble=3, **QUICK)
    assert len(raised.value.fit.members) == 2


def test_the_summary_tells_of_members(fit):
    assert "3 members, 3 of 3 epochs" in repr(fit)


def test_the_number_of_members_is_checked(ds):
    with pytest.raises(errors.DeclarationError, match="ensemble=0 can't be used. Give a whole"):
        xdpl.fit(ds, obs="qobs", ensemble=0, **QUICK)


def test_baselines_have_no_members(ds):
    with pytest.raises(errors.DeclarationError, match="calibrate has no keyword 'ensemble'"):
        xdpl.validation.calibrate(ds, "qobs", ensemble=2, model=QUICK["model"], progress=False)


def test_the_data_are_surveyed_once(ds, monkeypatch):
    from xdpl.fitting.problem import Problem

    surveys = []
    read = Problem.read

    def counted(*given, **named):
        surveys.append(1)
        return read(*given, **named)

    monkeypatch.setattr(Problem, "read", counted)
    fit = xdpl.fit(ds, obs="qobs", ensemble=3, **QUICK)
    assert len(fit.members) == 3 and len(surveys) == 1
