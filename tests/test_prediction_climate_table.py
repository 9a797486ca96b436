"""The climate that a network reads: kept by label, computed for new cells, and never a window's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.errors import DeclarationError, XdplWarning
from xdpl.layout import recognise
from xdpl.prediction.climate_table import ClimateTable, read_climate

PERIOD = slice("2000-01-01", "2001-06-30")


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.fixture(scope="module")
def there(ds):
    """Cells to train on: all but the first column."""
    return (ds.elevation.notnull() & (ds.x > ds.x[0])).drop_vars("spatial_ref", errors="ignore")


@pytest.fixture(scope="module")
def fit(ds, there):
    return xdpl.fit(ds, obs="qobs", period=PERIOD, cells=there, **QUICK)


def test_all_cells_are_known_and_not_only_those_trained_on(ds, fit, there):
    assert fit.settings.climate and len(fit.climate.label) == ds.elevation.size
    assert len(fit.label) == int(there.sum()) < ds.elevation.size
    rain = ds.prcp.sel(time=PERIOD)
    means = rain.mean("time").values.ravel()
    np.testing.assert_allclose(np.sort(fit.climate.value[:, 0]), np.sort(means), rtol=1e-4)


def test_blocks_and_orders_of_dimensions_give_the_same_table(ds, fit):
    layout = recognise(ds, QUICK["model"], obs="qobs")
    whole = read_climate(ds, layout, slice(0, 500))
    other = ds.transpose("x", "y", "time").chunk({"y": 2, "x": 3, "time": 200})
    other = other.isel(y=slice(None, None, -1))
    again = read_climate(other, recognise(other, QUICK["model"], obs="qobs"), slice(0, 500))
    assert list(again.label) == list(whole.label) and torch.equal(again.value, whole.value)


def test_maps_are_the_same_for_any_window_and_without_forcings(ds, fit):
    whole = fit.parameters(ds)
    for other in (ds.isel(time=slice(0, 90)), ds[["elevation", "forest"]]):
        xr.testing.assert_equal(fit.parameters(other), whole)
    parts = [fit.parameters(ds.isel(y=slice(0, 2))), fit.parameters(ds.isel(y=slice(2, None)))]
    xr.testing.assert_allclose(xr.concat(parts, "y"), whole, rtol=1e-6)


def test_parameters_follow_the_climate(ds):
    wet = xr.where(ds.x > ds.x[2], 2.0, 1.0)
    other = ds.assign(prcp=(ds.prcp * wet).assign_attrs(ds.prcp.attrs))
    odd = (ds.x == ds.x[0]) & (ds.y == ds.y[0])  # all others have the same attributes
    same = other.assign(
        elevation=xr.where(odd, 600.0, 500.0).transpose("y", "x").assign_attrs(units="m"),
        forest=xr.where(odd, 0.6, 0.5).transpose("y", "x").assign_attrs(units="1"),
    )
    for climate in (True, False):
        fit = xdpl.fit(same, "qobs", climate=climate, deviations=False, **QUICK)
        spread = float(fit.parameters(same).recession.where(~odd).std())
        assert (spread > 1e-6) == climate


def moved(ds, by=5e6):
    return ds.assign_coords(x=ds.x + by)


def test_new_cells_have_the_climate_of_the_training_period_of_their_dataset(ds, fit):
    new = moved(ds)
    expected = fit.parameters(ds, deviations=False)
    found = fit.parameters(new)
    np.testing.assert_allclose(found.recession, expected.recession, rtol=1e-5)
    lazy = fit.parameters(new.chunk({"y": 2, "x": 3})).compute()
    np.testing.assert_allclose(lazy.recession, expected.recession, rtol=1e-5)
    simulated = fit.simulate(new, period=slice("2001-07-01", None))
    assert bool(np.isfinite(simulated.streamflow).all())


def test_new_cells_in_other_years_are_reported(ds, fit):
    later = moved(ds, 6e6).isel(time=slice(600, None))
    with pytest.warns(XdplWarning, match=r"30 of 30 cells are new to the fit: their climate is"):
        fit.parameters(later)


def test_new_cells_without_forcings_take_the_mean_climate(ds, fit):
    static = moved(ds, 7e6)[["elevation", "forest"]]
    with pytest.warns(XdplWarning, match=r"no forcings to compute their climate from.*Add the"):
        found = fit.parameters(static)
    assert bool(np.isfinite(found.recession).all())


def test_files_keep_it(ds, fit, tmp_path):
    again = xdpl.load(fit.save(tmp_path / "a.xdpl"), model=QUICK["model"])
    assert list(again.climate.label) == list(fit.climate.label)
    xr.testing.assert_equal(again.parameters(ds), fit.parameters(ds))
    xr.testing.assert_equal(again.evaluate(ds), fit.evaluate(ds))


def test_it_is_read_where_attributes_are_not_chosen(ds, fit):
    chosen = xdpl.fit(ds, "qobs", attributes=["elevation"], **QUICK)
    assert chosen.climate is None and not chosen.settings.climate
    assert "climate" in repr(fit) and "climate" not in repr(chosen)
    with pytest.raises(DeclarationError, match="climate='yes'"):
        xdpl.fit(ds, "qobs", climate="yes", **QUICK)


def test_an_empty_table_knows_nothing():
    empty = ClimateTable(np.array([], dtype=str), torch.zeros(0, 4))
    assert torch.isnan(empty.rows(np.array(["a", "b"]))).all()
