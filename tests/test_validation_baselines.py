"""Baselines: the face of a Fit, what each of them knows, and what it refuses."""

import functools

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, Bucket, basins, grid

import xdpl
from xdpl import errors
from xdpl.validation import (
    Constant,
    calibrate,
    defaults,
    lstm,
    regionalize,
    sce_ua,
    uniform,
)
from xdpl.validation.direct import _statistics
from xdpl.validation.prepare import prepare
from xdpl.validation.sce import minimise

TRAIN, TEST = slice("2000-01-01", "2000-12-31"), slice("2001-01-01", None)
CHEAP = {"model": Bucket(), "progress": False, "period": TRAIN}
QUICKLY = {
    "defaults": defaults,
    "uniform": functools.partial(uniform, epochs=20),
    "calibrate": functools.partial(calibrate, epochs=80),
    "sce_ua": functools.partial(sce_ua, evaluations=150, complexes=2),
    "regionalize": functools.partial(regionalize, donors=2, epochs=80),
    "lstm": functools.partial(lstm, hidden=8, epochs=5),
}


@pytest.fixture(scope="module")
def ds():
    return grid(3, 5, 600)


@pytest.fixture(scope="module")
def known(ds):
    return (ds.x < ds.x[3]) & ds.forest.notnull()


@pytest.fixture(scope="module")
def calibrated(ds, known):
    return calibrate(ds, "qobs", cells=known, epochs=150, **CHEAP)


@pytest.mark.parametrize("name", QUICKLY)
def test_every_baseline_has_the_face_of_a_fit(ds, known, name):
    fit = QUICKLY[name](ds, "qobs", cells=known, **CHEAP)
    scores = fit.evaluate(ds, period=TEST)
    assert set(scores.data_vars) == set(xdpl.scores.SCORES)
    assert np.isfinite(scores.nse.where(known, 0)).all()
    flow = fit.simulate(ds, period=TEST, outputs=["streamflow"]).streamflow
    assert flow.sizes["time"] == 600 - 366 and flow.attrs["units"] == "mm day-1"
    assert "6" not in repr(fit).split("trained")[1].split("cells")[0]
    if name != "lstm":
        assert set(fit.parameters(ds).data_vars) == {"recession", "evaporation_factor"}
        lazy = fit.parameters(ds.chunk({"x": 2}))
        xr.testing.assert_allclose(lazy.compute(), fit.parameters(ds))


def test_defaults_are_the_middle_on_the_parameters_scale(ds):
    maps = defaults(ds, "qobs", **CHEAP).parameters(ds)
    np.testing.assert_allclose(maps.recession, np.sqrt(0.01 * 0.9), rtol=1e-5)
    np.testing.assert_allclose(maps.evaporation_factor, 0.85, rtol=1e-5)


def test_uniform_is_one_set_for_all_and_can_be_saved(ds, tmp_path):
    fit = uniform(ds, "qobs", epochs=30, **CHEAP)
    maps = fit.parameters(ds)
    for name in maps.data_vars:
        assert float(maps[name].max() - maps[name].min()) == 0
    again = xdpl.load(fit.save(tmp_path / "u.xdpl"), model=Bucket, network=Constant)
    xr.testing.assert_equal(again.parameters(ds), maps)


def test_calibration_finds_each_cells_truth_and_knows_no_other(ds, known, calibrated):
    scores = calibrated.evaluate(ds, period=TEST)
    assert float(scores.nse.where(known).min()) > 0.95
    assert scores.nse.where(~known).isnull().all()
    assert calibrated.simulate(ds).streamflow.where(~known).isnull().all()
    recession = calibrated.parameters(ds).recession
    truth = np.exp(-3 + 0.001 * ds.elevation)
    assert float(abs(np.log(recession / truth)).where(known).median()) < 0.1
    assert calibrated.parameters(ds, deviations=False).recession.isnull().all()
    np.testing.assert_array_equal(recession.notnull(), known.transpose("y", "x"))


def test_shrinkage_draws_the_cells_together(ds, calibrated, known):
    held = calibrate(ds, "qobs", cells=known, epochs=150, shrinkage=1e4, **CHEAP)
    free = calibrated.parameters(ds).recession
    assert float(held.parameters(ds).recession.std()) < 0.7 * float(free.std())
    with pytest.raises(errors.DeclarationError, match="shrinkage=-1"):
        calibrate(ds, "qobs", shrinkage=-1, **CHEAP)


def test_sce_ua_agrees_with_the_gradient(ds, known, calibrated):
    fit = sce_ua(ds, "qobs", cells=known, evaluations=400, complexes=2, **CHEAP)
    assert fit.record["evaluations"] >= 100
    by_gradient = calibrated.scores["streamflow"]["nse"]
    assert fit.scores["streamflow"]["nse"] > by_gradient - 0.01
    assert "SCE-UA" in repr(fit)


@pytest.mark.parametrize("by", ["similarity", "distance", "regression"])
def test_regionalization_reaches_other_cells(ds, known, calibrated, by):
    fit = regionalize(ds, "qobs", by=by, donors=3, calibrated=calibrated)
    scores = fit.evaluate(ds, period=TEST)
    assert np.isfinite(scores.nse).all()
    own = calibrated.evaluate(ds, period=TEST)
    np.testing.assert_allclose(
        scores.nse.where(known), own.nse.where(known), rtol=1e-4, err_msg="not their own"
    )
    xr.testing.assert_allclose(
        fit.evaluate(ds.chunk({"x": 2}), period=TEST).compute(), scores, atol=1e-4
    )
    assert fit.components == (1 if by == "regression" else 3)


def test_the_nearest_donor_is_the_nearest(calibrated, ds, known):
    fit = regionalize(ds, "qobs", by="distance", donors=1, calibrated=calibrated)
    maps, own = fit.parameters(ds), calibrated.parameters(ds)
    # rows of the grid, known up to the third column
    for column in (3, 4):
        np.testing.assert_allclose(
            maps.recession.isel(x=column), own.recession.isel(x=2), rtol=1e-5
        )
    one = fit.simulate(ds, outputs=["streamflow"]).streamflow
    assert one.notnull().all()


def test_the_most_similar_donor_has_the_same_attributes(ds, known, calibrated):
    twin = ds.copy(deep=True)
    for name in ("elevation", "forest"):
        twin[name][:, 4] = ds[name][:, 1].values
    fit = regionalize(twin, "qobs", donors=1, calibrated=calibrated)
    maps = fit.parameters(twin)
    np.testing.assert_allclose(maps.recession[:, 4], maps.recession[:, 1], rtol=1e-5)


def test_regression_carries_a_rule_of_the_attributes():
    ds = basins(30, 500)
    known = xr.DataArray(np.arange(30) < 24, dims="basin")
    fit = regionalize(ds, "qobs", by="regression", cells=known, epochs=150, **CHEAP)
    truth = np.exp(-3 + 0.001 * ds.elevation)
    found = fit.parameters(ds).recession
    assert float(abs(np.log(found / truth)).where(~known).median()) < 0.25


def test_regionalization_keeps_routing_shared():
    ds = basins(8, 500).rename(pet="potential_evaporation")
    ds["tas"] = ds.potential_evaporation * 0 + 10
    ds["tas"].attrs = {"units": "degC", "standard_name": "air_temperature"}
    known = xr.DataArray(np.arange(8) < 5, dims="basin")
    keywords = {**CHEAP, "model": xdpl.models.HBV()}
    fit = regionalize(ds, "qobs", donors=2, cells=known, epochs=2, components=2, **keywords)
    maps = fit.parameters(ds)
    shared = [name for name, p in fit.model.parameters.items() if p.shared]
    assert shared and all(maps[name].dims == ("basin",) for name in shared)
    assert maps.sizes["component"] == 4
    assert np.isfinite(fit.evaluate(ds).nse).all()


def test_the_lstm_learns_and_predicts_other_cells(ds, known):
    short = lstm(ds, "qobs", hidden=8, epochs=1, cells=known, **CHEAP)
    long = lstm(ds, "qobs", hidden=8, epochs=80, dropout=0.0, cells=known, **CHEAP)
    assert long.record["loss"][-1] < 0.8 * short.record["loss"][-1]
    assert np.isfinite(long.evaluate(ds, period=TEST).nse).all()
    assert list(long.simulate(ds).data_vars) == ["streamflow"]
    with pytest.raises(errors.DeclarationError, match="no parameters to map"):
        long.parameters(ds)
    with pytest.raises(errors.DeclarationError, match="no true model behind it. Leave true_m"):
        long.simulate(ds, true_model=True)
    with pytest.raises(errors.LayoutError, match="not trained on water.*streamflow"):
        long.simulate(ds, outputs=["water"])
    with pytest.raises(errors.FitFileError, match="LSTM .*can't be written"):
        long.save("somewhere")


@pytest.mark.parametrize("chunks", [{}, {"x": 2, "y": 2}])
@pytest.mark.parametrize("budget", [0, None])
def test_the_lstm_looks_at_some_cells_after_the_others(ds, monkeypatch, chunks, budget):
    holes = ds.qobs.where(np.random.default_rng(3).random(ds.qobs.shape) < 0.4)
    whole = ds.assign(qobs=holes.assign_attrs(ds.qobs.attrs))
    if budget is not None:
        monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: budget)
    ready = prepare(whole.chunk({**chunks, "time": -1}), "qobs", who="lstm", **CHEAP)
    inside = whole.sel(time=TRAIN)
    series = [inside[name].values for name in ("prcp", "pet", "qobs")]
    expected = [[np.nanmean(v, dtype="f8"), np.nanstd(v, dtype="f8")] for v in series]
    most, seen = 4, []
    monkeypatch.setattr("xdpl.validation.direct.AT_A_TIME", most * 366)
    take = ready.plan.cells.take
    monkeypatch.setattr(
        ready.plan.cells, "take", lambda some, *rest: seen.append(some) or take(some, *rest)
    )
    mean, spread, target, target_spread = _statistics(ready)
    found = torch.stack([torch.cat([mean, target]), torch.cat([spread, target_spread])], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert max(map(len, seen)) <= most and sorted(np.concatenate(seen)) == list(range(15))


@pytest.mark.parametrize("network", [defaults, calibrate, sce_ua, lstm])
def test_unknown_keywords_are_refused(ds, network):
    message = f"{network.__name__} has no keyword 'network'.*but for network, .*weights.*precision"
    with pytest.raises(errors.DeclarationError, match=message):
        network(ds, "qobs", network=None, **CHEAP)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (functools.partial(uniform, deviations=True), "uniform has no keyword 'deviations'"),
        (functools.partial(lstm, hidden=0), "hidden=0"),
        (functools.partial(lstm, dropout=1.0), "dropout=1.0 is not a share"),
        (functools.partial(regionalize, by="magic"), "by='magic' is unknown"),
        (functools.partial(regionalize, donors=0), "donors=0"),
        (functools.partial(sce_ua, complexes=0), "complexes=0 can't be used by SCE-UA"),
        (functools.partial(sce_ua, evaluations=1.5), "evaluations=1.5"),
    ],
)
def test_impossible_options_are_refused(ds, call, message):
    with pytest.raises(errors.DeclarationError, match=message):
        call(ds, "qobs", **CHEAP)


def test_only_calibrated_cells_can_be_donors(ds):
    fit = xdpl.fit(ds, "qobs", **QUICK)
    with pytest.raises(errors.DeclarationError, match="parameters by MLP.*calibrate"):
        regionalize(ds, "qobs", calibrated=fit)


def test_donors_are_said_once(ds, known, calibrated):
    with pytest.raises(errors.DeclarationError, match="both say which cells are donors"):
        regionalize(ds, "qobs", calibrated=calibrated, cells=known)
    leaky = functools.partial(regionalize, calibrated=calibrated)
    with pytest.raises(errors.DeclarationError, match="held back in cross-validation"):
        xdpl.cross_validate(ds, "qobs", space="random", folds=2, method=leaky, **CHEAP)


def test_tables_are_not_written_as_fit_files(calibrated, tmp_path):
    with pytest.raises(errors.FitFileError, match="can't be written as a fit file"):
        calibrated.save(tmp_path / "c.xdpl")


def test_training_that_breaks_down_is_an_error(ds):
    class Broken(Bucket):
        def step(self, forcing, state, parameter, dt):
            state, outputs = super().step(forcing, state, parameter, dt)
            return state, {**outputs, "streamflow": outputs["streamflow"] * torch.nan}

    for method in (calibrate,):
        with pytest.raises(errors.NonFiniteLoss, match="not finite"):
            method(ds, "qobs", **{**CHEAP, "model": Broken()})


def rosenbrock(point, problem):
    x = 4 * point - 2
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def test_sce_ua_is_as_good_as_spotpys():
    spotpy = pytest.importorskip("spotpy")

    class Setup:
        def __init__(self):
            self.params = [spotpy.parameter.Uniform(str(i), 0, 1) for i in range(3)]

        def parameters(self):
            return spotpy.parameter.generate(self.params)

        def simulation(self, vector):
            return [rosenbrock(np.array([list(vector)]), None)[0]]

        def evaluation(self):
            return [0.0]

        def objectivefunction(self, simulation, evaluation):
            return simulation[0]

    theirs = []
    for seed in range(3):
        sampler = spotpy.algorithms.sceua(Setup(), dbformat="ram", random_state=seed + 1)
        sampler.sample(1000, ngs=4, kstop=100, pcento=1e-10, peps=1e-10)
        theirs.append(float(sampler.status.objectivefunction_min))
    ours = minimise(rosenbrock, 3, 20, evaluations=1000, tolerance=1e-10)
    assert np.median(ours.value) <= 10 * np.median(theirs) + 1e-8
    assert ours.value.max() < 0.1
    np.testing.assert_allclose(ours.point[ours.value < 1e-6], 0.75, atol=1e-2)


def test_sce_ua_stops_each_problem_by_itself_and_shuns_what_is_not_finite():
    def bowl(point, problem):
        value = ((point - 0.3) ** 2).sum(1) * 10.0 ** (-problem)
        return np.where(point[:, 0] > 0.5, np.nan, value)

    found = minimise(bowl, 2, 3, evaluations=3000, tolerance=1e-6, seed=1)
    np.testing.assert_allclose(found.point, 0.3, atol=1e-4)
    assert (found.evaluations < 3000).all()
    again = minimise(bowl, 2, 3, evaluations=3000, tolerance=1e-6, seed=1)
    np.testing.assert_array_equal(found.point, again.point)
