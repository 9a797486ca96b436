"""Observations that are probably not what their units say."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from layout_datasets import SOIL, basins

from xdpl.errors import UnitsError, XdplWarning
from xdpl.layout import read, recognise
from xdpl.variables import Output


def moist(saturation: bool, units: str, **attrs):
    """Basins with soil moisture as a volume, or as a share of the pores."""
    ds = basins(days=100)
    ds["porosity"] = ("basin", [0.4, 0.45, 0.5, 0.55], {"units": "m3 m-3"})
    share = np.random.default_rng(0).uniform(0.3, 1.0, (4, 100))
    factor = 100.0 if units == "percent" else 1.0
    volume = share * ds["porosity"].values[:, None]
    ds["sm"] = (("basin", "time"), (share if saturation else volume) * factor)
    ds["sm"].attrs = {"units": units, **attrs}
    return ds, volume.T


def wetness(ds):
    return read(ds, recognise(ds, SOIL, obs={"sm": "soil_moisture"})).observed["soil_moisture"]


@pytest.mark.parametrize("units", ["percent", "1"])
@pytest.mark.parametrize("known", [True, False])
def test_a_degree_of_saturation_is_refused_and_the_remedy_makes_it_a_volume(units, known):
    ds, volume = moist(True, units, long_name="surface soil moisture, degree of saturation")
    whole, ds = ds, ds if known else ds.drop_vars("porosity")
    with pytest.raises(UnitsError, match=r"is a degree of saturation.*porosity") as raised:
        wetness(ds)
    message = str(raised.value)
    assert ("the Dataset lacks" in message) is not known
    scope = {"ds": whole}
    exec('ds["sm"] = ' + message.partition('ds["sm"] = ')[2].rstrip("."), scope)
    np.testing.assert_allclose(wetness(scope["ds"]), volume, rtol=1e-5)


def test_without_words_the_values_give_it_away():
    ds, volume = moist(True, "percent")
    with pytest.warns(
        XdplWarning, match=r"5 % of the values of sm are above 0.9\d m3 m-3"
    ) as given:
        wetness(ds)
    scope = {"ds": ds}
    exec('ds["sm"] = ' + str(given[0].message).partition('ds["sm"] = ')[2].rstrip("."), scope)
    np.testing.assert_allclose(wetness(scope["ds"]), volume, rtol=1e-5)


@pytest.mark.parametrize("units", ["percent", "m3 m-3"])
def test_volumes_are_not_suspected(units):
    ds, volume = moist(False, units)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(wetness(ds), volume, rtol=1e-5)


@pytest.mark.parametrize("fill", [-99.0, -99.9, -999.99])
def test_short_fill_values_of_an_unknown_quantity_are_named(fill):
    model = replace(SOIL, outputs={"snow": Output("mm")})
    ds = basins(days=100)
    snow = np.random.default_rng(0).uniform(0, 90, (4, 100))
    gaps = snow > 70
    ds["swe"] = (("basin", "time"), np.where(gaps, fill, snow), {"units": "mm"})
    with pytest.warns(XdplWarning, match=f"swe has the value {fill:g}, and is never") as given:
        recognise(ds, model, obs={"swe": "snow"})
    scope = {"ds": ds}
    exec(str(given[0].message).partition("missing: ")[2].rstrip("."), scope)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(scope["ds"], recognise(scope["ds"], model, obs={"swe": "snow"}))
    expected = np.where(gaps, np.nan, snow).T
    np.testing.assert_allclose(found.observed["snow"], expected, rtol=1e-5)
    colder = ds.assign(swe=ds["swe"].where(ds["swe"] > 1, -3.0).assign_attrs(units="mm"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recognise(
            colder.assign(swe=colder["swe"].assign_attrs(units="mm")), model, obs={"swe": "snow"}
        )
