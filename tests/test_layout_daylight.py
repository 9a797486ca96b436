"""Radiation over daylight: converted by the day length, or named."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from layout_datasets import FULL, basins, extremes, radiation

import xdpl
from xdpl.errors import UnitsError, XdplWarning
from xdpl.layout import Layout, day_length, match, read, recognise
from xdpl.layout.evaporation import extraterrestrial_radiation

SECONDS = 86400.0


def sunny(share: float = 0.6, days: int = 200) -> xr.Dataset:
    """Basins with extremes of temperature and shortwave radiation as a share of that of the top."""
    ds = extremes(radiation(basins(days), longwave=False))
    top = extraterrestrial_radiation(ds["time"].dt.dayofyear.values, ds["lat"].values)
    draw = np.random.default_rng(3).uniform(share - 0.2, share + 0.15, top.shape)
    ds["rsds"] = (("time", "basin"), draw * top, ds["rsds"].attrs)
    return ds


def over_daylight(ds: xr.Dataset) -> xr.Dataset:
    mean = ds["rsds"] * SECONDS / day_length(ds)
    mean.attrs = {"units": "W/m2"}
    return ds.drop_vars("rsds").assign(srad=mean.reset_coords(drop=True))


def evaporation(ds: xr.Dataset) -> np.ndarray:
    layout = recognise(ds, FULL, obs="qobs")
    return read(ds, layout).forcing["potential_evaporation"]


def test_day_length_follows_latitude_and_season():
    ds = basins(366, start="2000-01-01").assign_coords(
        lat=("basin", [0.0, 52.0, -52.0, 75.0], {"standard_name": "latitude"})
    )
    hours = day_length(ds) / 3600
    june, december = hours.sel(time="2000-06-21"), hours.sel(time="2000-12-21")
    np.testing.assert_allclose(june, [12.0, 16.5, 7.5, 24.0], atol=0.15)
    np.testing.assert_allclose(december, [12.0, 7.5, 16.5, 0.0], atol=0.15)
    assert day_length(ds).attrs["units"] == "s"
    with pytest.raises(UnitsError, match="needs the latitude"):
        day_length(ds.drop_vars("lat"))


@pytest.mark.parametrize(
    ("units", "factor"), [("s", 1.0), ("s/day", 1.0), ("s day-1", 1.0), ("h", 1 / 3600)]
)
@pytest.mark.parametrize("chunks", [None, {"time": 50, "basin": 2}])
def test_a_day_length_beside_it_converts_it(units, factor, chunks):
    right = sunny()
    ds = over_daylight(right)
    ds["dayl"] = (day_length(ds) * factor).assign_attrs(units=units).reset_coords(drop=True)
    ds = ds if chunks is None else ds.chunk(chunks)
    np.testing.assert_allclose(evaporation(ds), evaporation(right), rtol=2e-4, atol=1e-4)
    layout = recognise(ds, FULL, obs="qobs")
    assert "dayl" in " ".join(layout.notes)
    assert Layout.from_json(layout.to_json()) == layout
    again = read(ds, match(ds, layout)).forcing["potential_evaporation"]
    np.testing.assert_array_equal(again, evaporation(ds))


def test_the_mean_of_24_hours_stays_though_a_day_length_is_there():
    right = sunny()
    ds = right.assign(dayl=day_length(right).reset_coords(drop=True))
    np.testing.assert_array_equal(evaporation(ds), evaporation(right))


def test_words_are_enough():
    right = sunny(share=0.3)
    ds = over_daylight(right)
    ds["dayl"] = day_length(ds).reset_coords(drop=True)
    ds["srad"].attrs["long_name"] = "daylight average incident shortwave radiation"
    np.testing.assert_allclose(evaporation(ds), evaporation(right), rtol=2e-4, atol=1e-4)


def computed(message: str, ds: xr.Dataset) -> None:
    """Run the remedy, which adds the day length."""
    exec(
        message.partition("in seconds: ")[2].partition("(ds).")[0] + "(ds)",
        {"ds": ds, "xdpl": xdpl},
    )


def test_without_a_day_length_words_are_refused_and_the_remedy_computes_it():
    right = sunny()
    ds = over_daylight(right)
    ds["srad"].attrs["comment"] = "mean over daylit hours"
    with pytest.raises(UnitsError, match=r'ds\["srad"\] is .*, as its attributes say') as raised:
        recognise(ds, FULL, obs="qobs")
    computed(str(raised.value), ds)
    np.testing.assert_allclose(evaporation(ds), evaporation(right), rtol=2e-4, atol=1e-4)


def test_more_than_comes_from_the_sun_is_warned_of_and_the_remedy_mends_it():
    right = sunny()
    ds = over_daylight(right)
    with pytest.warns(XdplWarning, match=r"above the radiation at the top .* \d+ % of d") as given:
        recognise(ds, FULL, obs="qobs")
    assert len(given) == 1
    computed(str(given[0].message), ds)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(evaporation(ds), evaporation(right), rtol=2e-4, atol=1e-4)


def test_without_latitude_the_day_length_is_asked_for():
    ds = over_daylight(sunny()).drop_vars("lat")
    ds["srad"].attrs["comment"] = "mean over daylight"
    ds["rlds"] = (ds["srad"].dims, ds["srad"].values * 0 + 300.0, {"units": "W m-2"})
    with pytest.raises(UnitsError, match=r'as ds\["dayl"\], or latitudes'):
        recognise(ds, FULL, obs="qobs")


def test_as_a_fallback_it_is_left_out_quietly():
    ds = over_daylight(sunny())
    ds["srad"].attrs["comment"] = "mean over daylight"
    pet = xr.full_like(ds["tasmax"], 3.0).assign_attrs(units="mm day-1")
    del pet.attrs["standard_name"], pet.attrs["cell_methods"]
    layout = recognise(ds.assign(pet=pet), FULL, obs="qobs")
    assert layout.forcings["potential_evaporation"].fallback is None
