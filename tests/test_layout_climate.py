"""Climate as attributes: statistics over time, metadata of their own, remedies."""

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, basins, grid

import xdpl
from xdpl import errors


@pytest.fixture(scope="module")
def ds():
    return grid(3, 4, 500)


def test_statistics_are_over_the_period_alone(ds):
    period = slice("2000-01-01", "2000-12-31")
    found = xdpl.climate(ds, ["prcp", "pet"], period=period)
    assert set(found.data_vars) == {"prcp_mean", "prcp_std", "pet_mean", "pet_std"}
    series = ds.prcp.sel(time=period)
    np.testing.assert_allclose(found.prcp_mean, series.values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.prcp_std, series.values.std(0), rtol=1e-5)
    whole = xdpl.climate(ds, "prcp")
    assert not np.allclose(whole.prcp_mean, found.prcp_mean)


def test_metadata_are_those_of_a_statistic(ds):
    warm = ds.assign(tas=ds.prcp * 0 + 10)
    warm["tas"].attrs = {"units": "degC", "standard_name": "air_temperature"}
    found = xdpl.climate(warm, ["tas", "prcp"])
    assert found.tas_mean.attrs["units"] == "degC" and found.tas_std.attrs["units"] == "K"
    assert found.prcp_std.attrs == {
        "units": "mm day-1",
        "long_name": "standard deviation of prcp",
        "cell_methods": "time: standard_deviation",
    }


def test_a_network_reads_them_and_chunks_stay_lazy():
    ds = basins(6, 400)
    merged = ds.merge(xdpl.climate(ds, ["prcp"]))
    fit = xdpl.fit(merged, "qobs", **QUICK)
    assert {"prcp_mean", "prcp_std"} <= {role.variable for role in fit.layout.attributes}
    lazy = xdpl.climate(ds.chunk({"basin": 2}), ["prcp"])
    assert lazy.prcp_mean.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), xdpl.climate(ds, ["prcp"]))


@pytest.mark.parametrize(
    ("variables", "period", "error", "message"),
    [
        (["precp"], None, errors.LayoutError, "'precp' is no variable.*Did you mean 'prcp'"),
        (["forest"], None, errors.LayoutError, "'forest' has no dimension 'time'.*Leave it out"),
        (["prcp"], slice("1990", "1991"), errors.DataError, "holds no time.*Choose a period"),
    ],
)
def test_what_is_not_there_is_named(ds, variables, period, error, message):
    with pytest.raises(error, match=message):
        xdpl.climate(ds, variables, period=period)
