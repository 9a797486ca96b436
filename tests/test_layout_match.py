"""The Layout of a fit, found again in another Dataset."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from layout_datasets import FULL, RAINY, WARM, basins, extremes, grid, radiation

from xdpl.errors import LayoutError, UnitsError
from xdpl.layout import match, read, recognise


@pytest.fixture
def fitted():
    return recognise(basins(), FULL, obs="qobs")


def test_the_same_dataset_has_the_same_layout(fitted):
    assert match(basins(), fitted) == fitted


def test_other_axes_names_and_units(fitted):
    ds = grid().rename(prcp="pr", tas="t2m", lat="latitude", lon="longitude", time="when")
    ds["pr"] = (ds["pr"] / 86400).assign_attrs(units="kg m-2 s-1")
    ds["t2m"] = (ds["t2m"] + 273.15).assign_attrs(units="K")
    ds["height"] = (ds["height"] / 1000).assign_attrs(units="km")
    found = match(ds, fitted)
    assert found.space == ("latitude", "longitude") and found.time == "when"
    assert found.attribute_names == fitted.attribute_names
    block, plain = read(ds, found), grid()
    expected = read(plain, recognise(plain, FULL, obs="qobs"))
    for name, values in expected.forcing.items():
        np.testing.assert_allclose(block.forcing[name], values, rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(block.attribute, expected.attribute, rtol=1e-6)
    np.testing.assert_array_equal(block.label, expected.label)


def test_attributes_alone_need_neither_time_nor_forcings(fitted):
    found = match(grid()[["slope", "height"]], fitted, forcing=False)
    assert found.time == "" and found.space == ("lat", "lon")
    assert found.forcings == {} and found.observed == {}
    block = read(grid()[["slope", "height"]], found, forcing=False, observed=False)
    assert block.has_attributes.all()


def test_a_missing_attribute(fitted):
    with pytest.raises(LayoutError, match=r"lacks 1 of them: height.*attributes=\['slope'\]"):
        match(basins().drop_vars("height"), fitted)
    with pytest.raises(LayoutError, match=r"lacks 2 of them: slope, height"):
        match(basins().drop_vars(["height", "slope"]), fitted, forcing=False)


def test_an_attribute_by_its_standard_name():
    ds = basins()
    ds["height"].attrs["standard_name"] = "surface_altitude"
    fitted = recognise(ds, RAINY, obs="qobs")
    renamed = ds.rename(height="orog")
    assert match(renamed, fitted).attributes[1].variable == "orog"
    renamed["other"] = renamed["orog"].copy()
    with pytest.raises(LayoutError, match="lacks 1 of them: height"):
        match(renamed, fitted)


def test_attributes_in_other_or_no_units(fitted):
    ds = basins()
    ds["height"].attrs["units"] = "K"
    with pytest.raises(UnitsError, match="can't convert 'K' to 'm'"):
        match(ds, fitted)
    del ds["height"].attrs["units"]
    with pytest.raises(UnitsError, match=r'ds\["height"\] has no units, and \'m\' is wanted'):
        match(ds, fitted)
    bare = recognise(ds, FULL, obs="qobs")
    assert match(ds, bare) == bare
    with pytest.raises(UnitsError, match="'height' has units 'm', but had none at the fit"):
        match(basins(), bare)
    text = basins().assign(height=("basin", ["low", "low", "high", "high"]))
    with pytest.raises(LayoutError, match="'height' is no number here, but it was one at the fit"):
        match(text, fitted)


def test_classes_unknown_at_the_fit_are_counted():
    ds = basins()
    ds["cover"] = ("basin", [1.0, 2.0, 1.0, 2.0], {"flag_values": [1.0, 2.0, 3.0]})
    fitted = recognise(ds, RAINY, obs="qobs")
    other = ds.assign(cover=ds["cover"].copy(data=[2.0, 3.0, 1.0, 1.0]))
    block = read(other, match(other, fitted))
    np.testing.assert_array_equal(block.attribute[:, 2], [1.0, 2.0, 0.0, 0.0])
    assert block.findings.count("class", "cover") == 1


def test_constant_attributes_are_no_matter_elsewhere(fitted):
    ds = basins()
    ds["slope"] = (ds["slope"] * 0 + 0.3).assign_attrs(units="1")
    assert match(ds, fitted).attribute_names == ("slope", "height")


def test_missing_forcings(fitted):
    with pytest.raises(LayoutError, match="no variable was found for the forcing 'precipitation'"):
        match(basins().drop_vars("prcp"), fitted)
    with pytest.raises(LayoutError, match="no 'potential_evaporation' and it can't be computed"):
        match(basins().drop_vars(["pet", "lat"]), fitted)


def test_observations_are_optional_unless_asked_for(fitted):
    ds = basins().drop_vars("qobs")
    assert match(ds, fitted).observed == {}
    with pytest.raises(LayoutError, match=r"no observations of 'streamflow'.*rename"):
        match(ds, fitted, observed=True)
    assert match(basins(), fitted, observed=False).observed == {}
    renamed = match(basins().rename(qobs="streamflow"), fitted, observed=True)
    assert renamed.observed["streamflow"].variable == "streamflow"
    empty = basins()
    empty["qobs"] = (empty["qobs"] * np.nan).assign_attrs(units="mm day-1")
    assert not read(empty, match(empty, fitted)).has_observation.any()


def test_steps_are_held_against_the_model():
    fitted = recognise(basins(), WARM, obs="qobs")
    ds = basins().assign_coords(time=pd.date_range("2001-01-01", periods=60, freq="h"))
    with pytest.raises(LayoutError, match="the model allows 1 day"):
        match(ds, fitted)


def test_forcings_that_were_named_are_taken_again():
    ds = basins()
    ds["mine"] = ds["prcp"].copy()
    fitted = recognise(ds, RAINY, obs="qobs", forcings={"precipitation": "mine"})
    assert match(ds, fitted).forcings["precipitation"].variables == ("mine",)
    assert match(basins(), fitted).forcings["precipitation"].variables == ("prcp",)


def test_extremes_that_were_named_are_taken_again():
    ds = extremes(basins())
    ds["warmest"] = ds["tasmax"].copy()
    named = {"temperature": ("warmest", "tasmin")}
    fitted = recognise(ds, WARM, obs="qobs", forcings=named)
    assert match(ds, fitted).forcings["temperature"].variables == ("warmest", "tasmin")
    plain = match(extremes(basins()), fitted).forcings["temperature"]
    assert plain.variables == ("tasmax", "tasmin")


def test_computed_evaporation_stays_computed_where_it_can_be():
    fitted = recognise(radiation(basins()), FULL, obs="qobs")
    both = radiation(basins()).assign(pet=basins()["pet"])
    assert match(both, fitted).forcings["potential_evaporation"].method == "priestley-taylor"
    given = match(basins(), fitted).forcings["potential_evaporation"]
    assert given.method == "variable" and given.variables[0] == "pet"
