"""What a model reads: the forcings in its units, converted, filled and derived."""

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.errors import LayoutError


@pytest.fixture(scope="module")
def ds():
    ds = grid(3, 4, 500)
    hourly = (ds.prcp / 24).assign_attrs(units="mm h-1", standard_name="lwe_precipitation_rate")
    return ds.assign(prcp=hourly)


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", **QUICK)


def test_forcings_are_in_the_units_of_the_model(ds, fit):
    found = fit.forcings(ds)
    assert set(found.data_vars) == {"precipitation", "potential_evaporation"}
    assert found.precipitation.dims == ("time", "y", "x")
    assert found.precipitation.units == "mm day-1"
    assert found.precipitation.standard_name == "lwe_precipitation_rate"
    assert (found.precipitation.source, found.precipitation.method) == ("prcp", "variable")
    # series are rounded to 18 bits as they are read
    np.testing.assert_allclose(found.precipitation, ds.prcp * 24, rtol=2**-17)
    xr.testing.assert_equal(ds.dpl.forcings(fit), found)


def test_gaps_are_filled_and_impossible_values_masked_as_in_a_simulation(ds, fit):
    gappy = ds.copy(deep=True)
    gappy.pet[10, 1, 1] = np.nan
    gappy.prcp[20:60, 0, 0] = np.nan
    found = fit.forcings(gappy)
    assert np.isfinite(found.potential_evaporation[10, 1, 1])
    assert found.precipitation[20:60, 0, 0].isnull().all()
    assert fit.simulate(gappy).streamflow[:, 0, 0].isnull().all()


def test_a_period_and_chunks(ds, fit):
    period = slice("2000-03-01", "2000-04-30")
    found = fit.forcings(ds, period)
    assert str(found.time.values[0])[:10] == "2000-03-01" and found.sizes["time"] == 61
    xr.testing.assert_equal(found, fit.forcings(ds).sel(time=period))
    lazy = fit.forcings(ds.chunk({"y": 2}), period)
    assert lazy.precipitation.chunks is not None
    xr.testing.assert_equal(lazy.compute(), found)


def test_derived_forcings_are_shown():
    given = xdpl.tutorial.synthetic(cells=4, years=2)
    fit = xdpl.fit(given, obs="streamflow", epochs=1, progress=False)
    found = fit.forcings(given)
    assert set(found.data_vars) == set(fit.model.forcings)
    for name, declared in fit.model.forcings.items():
        assert found[name].units == declared.units
        assert np.isfinite(found[name]).all()


def test_without_a_forcing_there_is_an_error(ds, fit):
    with pytest.raises(LayoutError, match="prcp|precipitation"):
        fit.forcings(ds.drop_vars("prcp"))
