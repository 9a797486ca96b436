"""`fit`: what it learns and what it accepts."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, basins, grid, truth

import xdpl
from xdpl import errors
from xdpl.losses import KGE, MSE, NSE
from xdpl.networks import LSTM, MLP


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.fixture(scope="module")
def learned(ds):
    keywords = {**QUICK, "epochs": 120}
    return xdpl.fit(ds, obs="qobs", **keywords)


def test_parameters_are_recovered(ds, learned):
    maps = learned.parameters(ds)
    known = truth(ds.elevation.values, ds.forest.values)
    for name, value in known.items():
        assert np.corrcoef(maps[name].values.ravel(), value.ravel())[0, 1] > 0.97, name
        assert np.median(np.abs(maps[name].values / value - 1)) < 0.1, name
    assert float(learned.evaluate(ds).nse.median()) > 0.95
    assert learned.scores["streamflow"]["nse"] > 0.95
    assert learned.record["loss"][-1] < 0.2 * learned.record["loss"][0]


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(ds):
    first, again = (xdpl.fit(ds, obs="qobs", **QUICK).parameters(ds) for _ in range(2))
    xr.testing.assert_equal(first, again)
    other = xdpl.fit(ds, obs="qobs", **{**QUICK, "seed": 1}).parameters(ds)
    assert not first.recession.equals(other.recession)


def test_fit_leaves_the_callers_random_numbers_alone(ds):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    xdpl.fit(ds, obs="qobs", **QUICK)
    assert torch.equal(torch.rand(3), expected)


def test_accessor_and_function_are_the_same(ds):
    ds = ds.copy()
    fit = ds.dpl.fit(obs="qobs", **QUICK)
    xr.testing.assert_equal(ds.dpl.parameters(), xdpl.fit(ds, obs="qobs", **QUICK).parameters(ds))
    assert isinstance(fit, xdpl.Fit)


VARIANTS = {
    "other order of variables": lambda ds: ds[sorted(ds.data_vars, reverse=True)],
    "transposed": lambda ds: ds.transpose("x", "y", "time"),
    "flipped": lambda ds: ds.isel(y=slice(None, None, -1), x=slice(None, None, -1)),
    "dask": lambda ds: ds.chunk({"y": 2, "x": 3, "time": -1}),
    "time-chunked": lambda ds: ds.chunk({"time": 100}),
    "other units": lambda ds: ds.assign(
        prcp=(ds.prcp / 86400).assign_attrs(units="kg m-2 s-1", standard_name="precipitation_flux")
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_order_chunks_and_units_change_nothing_but_rounding(ds, variant):
    ds = ds.copy()
    ds["qobs"] = ds.qobs.where(ds.elevation > 300)
    ds["forest"] = ds.forest.where(ds.elevation < 1800)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.XdplWarning)
        expected = xdpl.fit(ds, obs="qobs", **QUICK).parameters(ds)
        changed = VARIANTS[variant](ds)
        maps = xdpl.fit(changed, obs="qobs", **QUICK).parameters(changed)
    maps = maps.compute().reindex_like(expected).transpose(*expected.dims)
    for name in expected.data_vars:
        largest = float(np.abs(expected[name]).max())
        assert np.array_equal(np.isnan(maps[name]), np.isnan(expected[name]))
        np.testing.assert_allclose(maps[name], expected[name], atol=1e-3 * largest, rtol=0)


def test_batches_mix_a_few_chunks_without_batch_size(ds):
    keywords = {k: v for k, v in QUICK.items() if k != "batch_size"}
    whole = xdpl.fit(ds, obs="qobs", **keywords)
    chunked = xdpl.fit(ds.chunk({"y": 1, "time": -1}), obs="qobs", **keywords)
    # two windows of 30 cells at once; the cells of five chunks of six are mixed
    assert (whole.record["batches"], chunked.record["batches"]) == (2, 2)
    assert np.isfinite(chunked.parameters(ds).recession).all()


def test_a_store_larger_than_memory_gives_the_same_fit(ds, monkeypatch):
    keywords = {k: v for k, v in QUICK.items() if k != "batch_size"}
    chunked = ds.chunk({"y": 1, "time": -1})
    expected = xdpl.fit(chunked, obs="qobs", **keywords)
    monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: 0)
    fit = xdpl.fit(chunked, obs="qobs", **keywords)
    assert fit.record["loss"] == expected.record["loss"]
    xr.testing.assert_equal(fit.parameters(ds), expected.parameters(ds))
    with pytest.warns(xdpl.errors.XdplWarning, match="batch_size=20 draws cells from all over"):
        xdpl.fit(chunked, obs="qobs", **{**QUICK, "batch_size": 20, "epochs": 1})


def test_cells_with_gaps_in_a_larger_store_are_told(ds, tmp_path, monkeypatch):
    hole = (ds.y == ds.y[1]) & (ds.x == ds.x[2]) & (ds.time > ds.time[500])
    chunked = ds.assign(prcp=ds.prcp.where(~hole)).chunk({"y": 1, "time": -1})
    keywords = {k: v for k, v in QUICK.items() if k != "batch_size"} | {"epochs": 3}
    monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: 0)
    said = "1 cell was left out of batches whose window has a gap of more than 7 days in a forcing"
    with pytest.warns(xdpl.errors.XdplWarning, match=said):
        fit = xdpl.fit(chunked, obs="qobs", checkpoint=tmp_path, **keywords)
    assert [one for one in fit.record["left_out"] if said in one]
    assert said in repr(fit)
    # known from the checkpoint, where no batch is drawn any more
    with pytest.warns(xdpl.errors.XdplWarning, match=said):
        again = xdpl.fit(chunked, obs="qobs", checkpoint=tmp_path, **keywords)
    assert again.record["left_out"] == fit.record["left_out"]


@pytest.fixture(scope="module")
def odd():
    """A grid whose parameters the attributes explain in part only: forest is not given."""
    return grid(6, 8).drop_vars("forest")


def test_deviations_are_better_where_there_are_observations(odd):
    keywords = {**QUICK, "epochs": 60, "climate": False}
    mixed = xdpl.fit(odd, obs="qobs", **keywords)
    plain = xdpl.fit(odd, obs="qobs", deviations=False, **keywords)
    assert mixed.evaluate(odd).nse.median() > plain.evaluate(odd).nse.median() + 0.01
    known = truth(odd.elevation.values, grid(6, 8).forest.values)["evaporation_factor"]
    found = mixed.parameters(odd).evaporation_factor.values
    assert np.corrcoef(found.ravel(), known.ravel())[0, 1] > 0.9
    # what the network says depends on attributes alone, and so does all of a plain fit
    alone = mixed.parameters(odd, deviations=False)
    assert abs(np.corrcoef(alone.evaporation_factor.values.ravel(), known.ravel())[0, 1]) < 0.7
    same = odd.assign(elevation=odd.elevation * 0 + 500.0)
    assert float(plain.parameters(same).recession.std()) < 1e-6


def test_very_many_cells_have_no_deviations_unless_forced(odd, monkeypatch):
    monkeypatch.setattr("xdpl.fitting.settings.MOST_DEVIATIONS", 40)
    keywords = {**QUICK, "epochs": 1}
    with pytest.warns(xdpl.errors.XdplWarning, match="48 cells are more than 40: none gets a dev"):
        fit = xdpl.fit(odd, obs="qobs", **keywords)
    assert not fit.settings["deviations"] and fit.learner.deviation is None
    forced = xdpl.fit(odd, obs="qobs", deviations=True, **keywords)
    assert len(forced.learner.deviation) == 48
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xdpl.fit(odd, obs="qobs", deviations=False, **keywords)
        few = xdpl.fit(odd, obs="qobs", cells=odd.elevation > 900, **keywords)
    assert few.settings["deviations"]


def test_deviations_belong_to_labels(odd):
    fit = xdpl.fit(odd, obs="qobs", cells=odd.elevation > 600, **QUICK)
    maps, alone = fit.parameters(odd), fit.parameters(odd, deviations=False)
    own = (maps.recession != alone.recession).values
    trained = (odd.elevation > 600).values
    assert not own[~trained].any()
    assert own[trained].mean() > 0.9  # by chance a cell may have been dropped at every step
    shuffled = odd.isel(x=[3, 1, 0, 2], y=slice(None, None, -1))
    xr.testing.assert_equal(
        fit.parameters(shuffled).recession, maps.recession.sel(x=shuffled.x, y=shuffled.y)
    )
    elsewhere = odd.assign_coords(x=odd.x + 1e6)
    np.testing.assert_array_equal(fit.parameters(elsewhere).recession, alone.recession)


def test_period_cells_and_warmup(ds):
    cells = ds.elevation > 700
    fit = xdpl.fit(
        ds, obs="qobs", period=slice("2000-06-01", "2001-12-31"), cells=cells, warmup=100, **QUICK
    )
    assert fit.record["cells"] == int(cells.sum())
    assert fit.settings["period"] == ["2000-06-01", "2001-12-31"]
    assert fit.settings["warmup_days"] == 100
    # what was not trained on gets parameters all the same
    assert np.isfinite(fit.parameters(ds).recession).all()


def test_what_lies_outside_of_period_and_cells_is_not_read(ds):
    cells = ds.elevation > 700
    keywords = {"period": slice("2001-03-01", "2001-12-31"), "cells": cells, **QUICK}
    expected = xdpl.fit(ds, obs="qobs", **keywords).parameters(ds)
    tampered = ds.copy()
    inside = (ds.time >= np.datetime64("2001-03-01")) & (ds.time <= np.datetime64("2001-12-31"))
    tampered["qobs"] = ds.qobs.where(inside & cells, 777.0)
    xr.testing.assert_equal(xdpl.fit(tampered, obs="qobs", **keywords).parameters(ds), expected)


@pytest.mark.parametrize("network", [MLP(hidden=(8,)), LSTM(hidden=8)])
@pytest.mark.parametrize("loss", [MSE(), NSE(), KGE(), {"qobs": MSE(per_cell_bias=1.0)}])
@pytest.mark.parametrize("components", [1, 3])
def test_every_network_and_loss(ds, network, loss, components):
    fit = xdpl.fit(ds, obs="qobs", network=network, loss=loss, components=components, **QUICK)
    maps = fit.parameters(ds)
    assert maps.recession.dims == (("component",) if components > 1 else ()) + ("y", "x")
    assert np.isfinite(maps.recession).all()


def test_several_observations_at_once(ds):
    ds = ds.assign(stored=ds.qobs.copy(data=20 * ds.qobs.values).assign_attrs(units="mm"))
    fit = xdpl.fit(ds, obs={"qobs": "streamflow", "stored": "water"}, **QUICK)
    scores = fit.evaluate(ds)
    assert scores.nse.dims == ("observation", "y", "x")
    assert list(scores.observation.values) == ["qobs", "stored"]


def test_basins(ds):
    ds = basins()
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    maps = fit.parameters(ds)
    assert maps.recession.dims == ("basin",)
    assert list(maps.basin.values) == list(ds.basin.values)
    np.testing.assert_allclose(maps.lat, ds.lat)


def test_cells_without_attributes_are_nodata_and_counted(ds):
    ds = ds.copy()
    ds["forest"] = ds.forest.where(ds.elevation > 500)
    missing = int((ds.elevation <= 500).sum())
    with pytest.warns(errors.XdplWarning, match=rf"{missing} .*attribute"):
        fit = xdpl.fit(ds, obs="qobs", **QUICK)
    maps = fit.parameters(ds)
    assert int(maps.recession.isnull().sum()) == missing
    assert fit.record["cells"] == ds.elevation.size - missing


def test_cells_without_observations_get_g_and_are_counted(ds):
    ds = ds.copy()
    ds["qobs"] = ds.qobs.where(ds.elevation > 500)
    missing = int((ds.elevation <= 500).sum())
    with pytest.warns(errors.XdplWarning, match=rf"{missing} .*observ"):
        fit = xdpl.fit(ds, obs="qobs", **QUICK)
    assert np.isfinite(fit.parameters(ds).recession).all()


def test_cells_without_any_forcing_do_not_exist(ds):
    ds = ds.copy()
    there = ds.elevation > 500
    for name in ("prcp", "pet", "qobs"):
        ds[name] = ds[name].where(there)
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    assert fit.record["cells"] == int(there.sum())
    assert np.array_equal(np.isfinite(fit.parameters(ds).recession), there)
    assert fit.record["left_out"] == []


def test_attributes_left_out_stand_in_the_summary(ds):
    with pytest.warns(errors.XdplWarning, match="1 attribute left out, constant: same"):
        fit = xdpl.fit(ds.assign(same=ds.forest * 0 + 1), obs="qobs", **QUICK)
    assert "1 attribute left out, constant: same." in repr(fit)


def test_cells_are_matched_by_name_and_not_by_place(ds):
    cells = ds.elevation > 700
    expected = xdpl.fit(ds, obs="qobs", cells=cells, **QUICK)
    for same in (cells.isel(x=slice(None, None, -1)), cells.sortby("y").transpose("x", "y")):
        assert list(xdpl.fit(ds, obs="qobs", cells=same, **QUICK).label) == list(expected.label)
    with pytest.raises(errors.LayoutError, match="cells lacks 6 of the 6 values of 'x'"):
        xdpl.fit(ds, obs="qobs", cells=cells.assign_coords(x=cells.x + 1), **QUICK)


def test_stacked_cells_and_types_of_ids(ds):
    stacked = ds.stack(cell=("y", "x"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = xdpl.fit(stacked, obs="qobs", **QUICK).parameters(stacked)
    assert maps.recession.dims == ("cell",)
    fixed = basins().assign_coords(basin=[f"{i}" for i in range(12)])
    assert fixed.basin.dtype.kind == "U"
    assert xdpl.fit(fixed, obs="qobs", **QUICK).parameters(fixed).basin.dtype == fixed.basin.dtype
