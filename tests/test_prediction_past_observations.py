"""gZ: parameters from attributes and past observations, which are declared and never tested on."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, Bucket, grid

import xdpl
from xdpl import errors
from xdpl.networks import LSTM

PAST = slice("2000-01-01", "2000-12-31")
LATER = slice("2001-01-01", None)
FIT = {**QUICK, "climate": False, "past": PAST, "deviations": False}


@pytest.fixture(scope="module")
def ds():
    """A Dataset whose attributes say nothing of the parameters: only observations do."""
    ds = grid()
    draw = np.random.default_rng(1)
    noise = ds.elevation.copy(data=draw.normal(size=ds.elevation.shape).astype("f4"))
    return ds.drop_vars(["elevation", "forest"]).assign(noise=noise.assign_attrs(units="1"))


@pytest.fixture(scope="module")
def learned(ds):
    return xdpl.fit(ds, obs="qobs", **{**FIT, "epochs": 60}, cells=half(ds))


def half(ds):
    return xr.ones_like(ds.noise, dtype=bool) & (ds.x < ds.x[3])


def test_where_the_past_was_observed_it_tells_more_than_attributes(ds, learned):
    plain = xdpl.fit(ds, obs="qobs", **{**QUICK, "epochs": 60, "deviations": False}, cells=half(ds))
    assert (plain.kind, learned.kind) == ("gA", "gZ")
    unseen = ~half(ds)
    blind = plain.evaluate(ds, LATER).nse.where(unseen)
    told = learned.evaluate(ds, LATER).nse.where(unseen)
    assert float(told.median()) > float(blind.median()) + 0.02


def test_the_past_carries_no_loss_and_training_starts_after_it(ds, learned):
    assert learned.settings["period"] == ["2001-01-01", "2002-03-10"]
    assert learned.settings["past"] == ["2000-01-01", "2000-12-31"]
    middle = {**FIT, "past": slice("2000-06-01", "2000-12-31")}
    fit = xdpl.fit(ds, obs="qobs", **middle)
    assert fit.settings["period"] == ["2000-01-01", "2002-03-10"]
    only = ds.assign(qobs=ds.qobs.where(ds.time.isin(ds.time.sel(time=middle["past"]))))
    with pytest.raises(errors.DataError, match="no cell is left to train on"):
        xdpl.fit(only, obs="qobs", **middle)


def test_what_it_is_stands_in_summary_maps_and_file(ds, learned, tmp_path):
    assert "2000-01-01 to 2000-12-31 are read, and carry no loss (gZ)" in repr(learned)
    maps = learned.parameters(ds)
    assert (maps.attrs["kind"], maps.attrs["past"]) == ("gZ", "2000-01-01/2000-12-31")
    again = xdpl.load(learned.save(tmp_path / "f.xdpl"), model=Bucket)
    assert again.kind == "gZ" and repr(again) == repr(learned)
    xr.testing.assert_equal(again.parameters(ds), maps)
    plain = xdpl.fit(ds, obs="qobs", **QUICK)
    assert plain.parameters(ds).attrs["kind"] == "gA" and "past" not in plain.parameters(ds).attrs


def test_maps_are_static_for_cells_that_it_knows(ds, learned):
    known = ds.isel(x=slice(0, 3))
    expected = learned.parameters(known)
    for window in (slice("2001-06-01", "2001-12-31"), slice("2000-03-01", "2000-04-30")):
        xr.testing.assert_equal(learned.parameters(known.sel(time=window)), expected)
    xr.testing.assert_equal(learned.parameters(known[["noise"]]), expected)


def test_another_dataset_supplies_the_past_and_else_attributes_speak(ds, learned):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = learned.parameters(ds)
    learned.reported.clear()
    with pytest.warns(errors.XdplWarning, match="15 of 30 cells have no observations in the past"):
        late = learned.parameters(ds.sel(time=LATER))
    unseen = ~half(ds)
    xr.testing.assert_equal(late.recession.where(~unseen), whole.recession.where(~unseen))
    assert float(abs(late.recession / whole.recession - 1).where(unseen).max()) > 0.05
    # without observations it is a function of the attributes alone
    same = ds.assign(noise=ds.noise * 0 + 1).sel(time=LATER).isel(x=slice(3, None))
    learned.reported.clear()
    with pytest.warns(errors.XdplWarning, match="15 of 15 cells .* from their attributes alone"):
        alike = learned.parameters(same).recession
    assert float(alike.std()) < 1e-6 * float(alike.mean())


@pytest.mark.parametrize("network", [xdpl.networks.MLP((8,)), LSTM(4)])
def test_chunks_change_nothing(ds, network):
    fit = xdpl.fit(ds, obs="qobs", **FIT, network=network, cells=half(ds))
    lazy = ds.chunk({"y": 2, "x": 2})
    again = xdpl.fit(lazy, obs="qobs", **FIT, network=network, cells=half(ds))
    expected = fit.parameters(ds)
    xr.testing.assert_allclose(again.parameters(ds), expected, rtol=1e-5)
    maps = fit.parameters(lazy)
    assert maps.recession.chunks is not None
    xr.testing.assert_allclose(maps.compute(), expected, rtol=1e-5)
    xr.testing.assert_allclose(
        fit.evaluate(lazy, LATER).compute(), fit.evaluate(ds, LATER), rtol=1e-4, atol=1e-5
    )


def test_a_lazy_dataset_warns_at_once(ds, learned):
    late = ds.sel(time=LATER).chunk({"y": 2})
    with pytest.warns(errors.XdplWarning, match="15 of 30 cells have no observations in the past"):
        learned.simulate(late)


def test_it_is_not_tested_on_what_it_reads(ds, learned):
    for period in (None, slice("2000-12-01", "2001-03-01"), "2000"):
        with pytest.raises(errors.XdplError, match="whose observations the network reads|a span"):
            learned.evaluate(ds, period)
    with pytest.raises(errors.DataError, match="overlaps 2000-01-01 to 2000-12-31"):
        learned.evaluate(ds)
    assert float(learned.evaluate(ds, LATER).n.max()) == 434


def test_with_deviations_and_a_resumed_run(ds, tmp_path):
    keywords = {**QUICK, "past": PAST, "checkpoint": tmp_path}
    xdpl.fit(ds, obs="qobs", **keywords)
    sorted(tmp_path.glob("epoch-*"))[-1].unlink()
    resumed = xdpl.fit(ds, obs="qobs", **keywords)
    whole = xdpl.fit(ds, obs="qobs", **{**keywords, "checkpoint": None})
    xr.testing.assert_equal(resumed.parameters(ds), whole.parameters(ds))
    alone = whole.parameters(ds, deviations=False)
    assert not alone.recession.equals(whole.parameters(ds).recession)


def test_an_ensemble_with_trust_layers(ds, tmp_path):
    fit = xdpl.fit(ds, obs="qobs", **FIT, ensemble=2, components=2, cells=half(ds))
    maps = fit.parameters(ds, trust=True)
    assert np.isfinite(maps.recession_standard_error).all()
    assert int(maps.extrapolation.isel(x=0, y=0)) == 0
    again = xdpl.load(fit.save(tmp_path / "f.xdpl"), model=Bucket)
    xr.testing.assert_equal(again.parameters(ds), fit.parameters(ds))


def test_a_past_that_leaves_nothing_is_refused(ds):
    with pytest.raises(errors.DataError, match="past=slice.* leaves no time to train on"):
        xdpl.fit(ds, obs="qobs", **{**FIT, "period": PAST})
    with pytest.raises(errors.LayoutError, match="is not a span of time"):
        xdpl.fit(ds, obs="qobs", **{**FIT, "past": 3})
    empty = ds.assign(qobs=ds.qobs.where(ds.time >= np.datetime64("2001-01-01")))
    with pytest.raises(errors.DataError, match="no training cell was observed in the past period"):
        xdpl.fit(empty, obs="qobs", **FIT)


def test_a_network_trained_on_half_the_cells_masked_knows_both(ds, learned):
    learner = learned.learner
    attribute = torch.cat([torch.zeros(50, 1), learned.past[:1].repeat(50, 1)], 1).double()
    learner.train()
    masked = {bool(row[-1]) for row in learner.reading(attribute)}
    learner.eval()
    assert masked == {True, False}
    assert (learner.reading(attribute)[:, -1] == 1).all()
    attribute[:, 1:] = torch.nan
    assert (learner.reading(attribute)[:, 1:] == 0).all()
