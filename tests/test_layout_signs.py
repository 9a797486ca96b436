"""Evaporation that is negative upwards, and what is slightly negative at night."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from layout_datasets import FULL, RAINY, basins, radiation

from xdpl.errors import XdplWarning
from xdpl.layout import match, read, recognise
from xdpl.variables import Output

EVAPORATION = replace(
    RAINY, outputs={"evapotranspiration": Output("mm day-1", "lwe_water_evaporation_rate")}
)


def potential(ds):
    layout = recognise(ds, FULL, obs="qobs")
    return read(ds, layout).forcing["potential_evaporation"], layout


@pytest.mark.parametrize("dew", [0.0, 0.001, 0.2])
@pytest.mark.parametrize(("units", "factor"), [("mm day-1", 1.0), ("m day-1", 1e-3)])
def test_the_sign_of_ecmwf_is_turned_and_dew_is_none(dew, units, factor):
    ds = basins(days=100)
    values = ds["pet"].values.astype(float)
    damp = np.random.default_rng(0).random(values.shape) < 0.1
    file = np.where(damp, dew, -values) * factor
    ds["pet"] = (ds["pet"].dims, file, {"units": units})
    with pytest.warns(XdplWarning, match="pet is negative most of the time.*turns its") as given:
        found, layout = potential(ds)
    assert len(given) == 1
    expected = np.where(damp, 0.0, values).T
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.warns(XdplWarning, match="pet is negative"):
        again = read(ds, match(ds, layout)).forcing["potential_evaporation"]
    np.testing.assert_array_equal(again, found)
    scope = {"ds": ds}
    exec(str(given[0].message).partition("yourself: ")[2].rstrip("."), scope)
    scope["ds"]["pet"].attrs["units"] = units
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(potential(scope["ds"])[0], expected, rtol=1e-5, atol=1e-6)


def test_observed_evaporation_too():
    ds = basins(days=100)
    values = ds["pet"].values.astype(float)
    ds["e"] = (ds["pet"].dims, -values, {"units": "mm day-1"})
    obs = {"e": "evapotranspiration"}
    with pytest.warns(XdplWarning, match="e is negative most"):
        layout = recognise(ds, EVAPORATION, obs=obs)
    found = read(ds, layout).observed["evapotranspiration"]
    np.testing.assert_allclose(found, values.T, rtol=1e-5)


def test_nights_are_not_filled_by_their_neighbours():
    ds = basins(days=100)
    night = np.arange(100) % 2 == 0
    values = np.where(night, -0.8, ds["pet"].values)
    ds["pet"] = (ds["pet"].dims, values, {"units": "mm day-1"})
    found, _ = potential(ds)
    np.testing.assert_allclose(found, np.where(night, 0.0, values).T, rtol=1e-5)
    sunny = radiation(basins(days=100))
    light = np.where(night, -6.0, 150.0) * np.ones((4, 1))
    sunny["rsds"] = (("basin", "time"), light, sunny["rsds"].attrs)
    block = read(sunny, recognise(sunny, FULL, obs="qobs"))
    assert block.findings.count("impossible") == 0


def test_fill_values_are_not_taken_for_nights():
    ds = basins(days=100)
    values = ds["pet"].values.astype(float)
    values[:, 50] = -99.0
    ds["pet"] = (ds["pet"].dims, values, {"units": "mm day-1"})
    block = read(ds, recognise(ds, FULL, obs="qobs"))
    assert block.findings.count("impossible", "pet") == 4
    assert block.forcing["potential_evaporation"][50].min() > 0.5
