"""Potential evaporation against the worked examples of FAO Irrigation and Drainage Paper 56."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from layout_datasets import FLOW, FULL, PET, RAIN, Declares, basins, extremes, grid, radiation

from xdpl.errors import LayoutError
from xdpl.layout import evaporation as ev
from xdpl.layout import match, read, recognise
from xdpl.layout.derive import latitudes

MEGAJOULES = 0.0864
"""MJ m-2 day-1 of one W m-2."""


def pet(ds, model=FULL):
    layout = recognise(ds, model, obs="qobs")
    return read(ds, layout).forcing["potential_evaporation"], layout


@pytest.mark.parametrize(
    ("day", "latitude", "expected"),
    [(246, -20.0, 32.2), (105, 13.73, 38.06), (187, 50.8, 41.09)],
)
def test_radiation_at_the_top_of_the_atmosphere(day, latitude, expected):
    found = ev.extraterrestrial_radiation(np.array([day]), np.array([latitude]))
    assert found.item() * MEGAJOULES == pytest.approx(expected, rel=0.01)


def test_polar_night_and_day():
    dark, light = ev.extraterrestrial_radiation(np.array([355, 172]), np.array([80.0])).ravel()
    assert dark == 0.0 and light > 400


def test_hargreaves_at_lyon_in_july():
    # example 20 of the paper
    found = ev.hargreaves(np.array([[26.6]]), np.array([[14.8]]), np.array([[40.6 / MEGAJOULES]]))
    assert found.item() == pytest.approx(5.0, abs=0.05)


def test_hargreaves_is_never_negative():
    cold = ev.hargreaves(np.array([[-30.0]]), np.array([[-40.0]]), np.array([[100.0]]))
    assert cold.item() == 0.0


def test_priestley_taylor_is_its_coefficient_times_equilibrium_evaporation():
    # slope and psychrometric constant at 20 degC and sea level: 0.1447 and 0.0674 kPa K-1
    found = ev.priestley_taylor(np.array([[150.0]]), np.array([[20.0]]))
    expected = 1.26 * 0.1447 / (0.1447 + 0.0674) * 150.0 * 86400 / 2.45e6
    assert found.item() == pytest.approx(expected, rel=2e-3)
    assert ev.priestley_taylor(np.array([[-20.0]]), np.array([[0.0]])).item() == 0.0
    high = ev.priestley_taylor(np.array([[150.0]]), np.array([[20.0]]), np.array([3000.0]))
    assert high.item() > found.item()


def test_net_radiation_with_and_without_longwave():
    warm, sun = np.array([[20.0]]), np.array([[250.0]])
    full = ev.net_radiation(sun, warm, longwave=np.array([[330.0]]))
    assert full.item() == pytest.approx(0.77 * 250 + 330 - 5.670374419e-8 * 293.15**4)
    top = np.array([[450.0]])
    guessed = ev.net_radiation(sun, warm, top=top)
    clouded = ev.net_radiation(sun, warm, top=2 * top)
    assert 60 < guessed.item() < 192.5 and clouded.item() > guessed.item()
    night = ev.net_radiation(np.zeros((1, 1)), warm, top=np.zeros((1, 1)))
    assert -80 < night.item() < 0


def test_priestley_taylor_from_both_radiations():
    ds = radiation(basins())
    found, layout = pet(ds)
    assert layout.forcings["potential_evaporation"].method == "priestley-taylor"
    warm = ds["tas"].values.T.astype(float)
    net = ev.net_radiation(np.full_like(warm, 200.0), warm, longwave=np.full_like(warm, 300.0))
    np.testing.assert_allclose(found, ev.priestley_taylor(net, warm), atol=1e-3)


def test_priestley_taylor_from_shortwave_alone():
    found, layout = pet(radiation(basins(), longwave=False))
    assert layout.forcings["potential_evaporation"].method == "priestley-taylor"
    assert np.isfinite(found).all() and 1 < found.mean() < 8


def test_priestley_taylor_from_net_radiation_and_the_mean_of_extremes():
    ds = radiation(basins())
    ds = extremes(ds).drop_vars(["rsds", "rlds"])
    ds["rn"] = (ds["tasmax"] * 0 + 100.0).assign_attrs(
        units="W m-2", standard_name="surface_net_downward_radiative_flux"
    )
    found, _ = pet(ds)
    warm = basins()["tas"].values.T.astype(float)
    np.testing.assert_allclose(found, ev.priestley_taylor(np.full_like(warm, 100.0), warm), 1e-4)


def test_albedo_and_elevation_of_the_surface():
    ds = radiation(basins())
    bare, _ = pet(ds)
    albedo = {"standard_name": "surface_albedo", "units": "1"}
    ds["albedo"] = ("basin", [0.23, 0.6, np.nan, 0.1], albedo)
    changed, _ = pet(ds)
    np.testing.assert_allclose(changed[:, [0, 2]], bare[:, [0, 2]], rtol=1e-4)
    assert changed[:, 1].mean() < bare[:, 1].mean() < changed[:, 3].mean() * 2
    ds["elevation"] = ("basin", [0.0, 0.0, 0.0, 3000.0], {"units": "m"})
    higher, _ = pet(ds)
    assert (higher[:, 3] > changed[:, 3]).all()
    ds["elevation"].attrs.clear()
    np.testing.assert_allclose(pet(ds)[0], changed)
    ds["albedo"].attrs = {"units": "1"}
    np.testing.assert_allclose(pet(ds)[0], bare)


def test_hargreaves_from_extremes_and_latitude():
    ds = extremes(basins()).drop_vars("pet")
    found, layout = pet(ds)
    assert layout.forcings["potential_evaporation"].method == "hargreaves"
    top = ev.extraterrestrial_radiation(ds.time.dt.dayofyear.values, ds.lat.values)
    high, low = (ds[n].values.T.astype(float) for n in ("tasmax", "tasmin"))
    np.testing.assert_allclose(found, ev.hargreaves(high, low, top), rtol=1e-4)
    swapped = ds.rename(tasmax="a", tasmin="b")
    swapped["a"].attrs["cell_methods"] = "time: minimum"
    swapped["b"].attrs["cell_methods"] = "time: maximum"
    again, turned = pet(swapped)
    np.testing.assert_allclose(again, found, rtol=1e-4)
    assert read(swapped, turned).findings.count("swapped", "b and a") == 240


def test_computed_only_where_it_is_missing():
    ds = extremes(basins())
    holes = ds["pet"].where(ds["basin"] != "00008")
    holes = holes.where((holes["basin"] != "00009") | (ds["time"].dt.month != 2))
    ds["pet"] = holes.assign_attrs(units="mm day-1")
    layout = recognise(ds, FULL, obs="qobs")
    block = read(ds, layout)
    found = block.forcing["potential_evaporation"]
    computed, _ = pet(ds.drop_vars("pet"))
    given = ds["pet"].values.T
    np.testing.assert_allclose(found[:, 1], computed[:, 1], rtol=1e-4)
    february = ds["time"].dt.month.values == 2
    np.testing.assert_allclose(found[february, 2], computed[february, 2], rtol=1e-4)
    np.testing.assert_allclose(found[~february, 2], given[~february, 2], rtol=1e-4)
    np.testing.assert_allclose(found[:, [0, 3]], given[:, [0, 3]], rtol=1e-4)
    assert block.findings.count("computed", "potential_evaporation") == 2
    assert block.has_forcing.all()


def test_neither_is_possible():
    ds = basins().drop_vars(["pet", "lat"])
    message = (
        r"no 'potential_evaporation' and it can't be computed: Priestley-Taylor lacks downwelling "
        r"shortwave.*Hargreaves lacks daily maximum and minimum temperature.*Oudin lacks latitude"
    )
    with pytest.raises(LayoutError, match=message):
        pet(ds)
    ds = extremes(basins()).drop_vars(["pet", "lat"])
    with pytest.raises(LayoutError, match="Hargreaves lacks latitude"):
        pet(ds)
    ds = radiation(basins(), longwave=False).drop_vars("lat")
    with pytest.raises(LayoutError, match=r"lacks downwelling longwave radiation.*or latitude"):
        pet(ds)
    ds = radiation(basins())
    ds["second"] = ds["rsds"].copy()
    with pytest.raises(LayoutError, match="several variables could be 'shortwave radiation'"):
        pet(ds)


def test_a_model_without_temperature_finds_one_for_it():
    dry = Declares("Dry", {"precipitation": RAIN, "pet": PET}, {"streamflow": FLOW})
    ds = radiation(basins())
    expected, _ = pet(ds)
    layout = recognise(ds, dry, obs="qobs")
    np.testing.assert_allclose(read(ds, layout).forcing["pet"], expected, rtol=1e-6)
    assert recognise(extremes(ds), dry, obs="qobs").forcings["pet"].method == "priestley-taylor"
    ds["temp"] = ds["tas"].copy()
    with pytest.raises(LayoutError, match=r"several variables could be 'temperature'.*Keep one"):
        recognise(ds, dry, obs="qobs")
    with pytest.raises(LayoutError, match="Priestley-Taylor lacks air temperature"):
        recognise(ds.drop_vars(["tas", "temp"]), dry, obs="qobs")


def test_oudin_from_mean_temperature_and_latitude():
    # Oudin et al. (2005), eq. 3: Re (Ta + 5) / 100 over latent heat; 40.6 MJ m-2 day-1 at 20 degC
    found = ev.oudin(np.array([[20.0, -5.0, -20.0]]), np.array([[40.6 / MEGAJOULES]]))
    np.testing.assert_allclose(found, [[40.6 / 2.45 * 0.25, 0.0, 0.0]])
    ds = basins().drop_vars("pet")
    values, layout = pet(ds)
    assert layout.forcings["potential_evaporation"].method == "oudin"
    assert "computed by Oudin from tas" in " ".join(layout.notes)
    top = ev.extraterrestrial_radiation(ds.time.dt.dayofyear.values, ds.lat.values)
    np.testing.assert_allclose(values, ev.oudin(ds["tas"].values.T.astype(float), top), rtol=1e-4)
    again = match(ds, layout)
    assert again.forcings["potential_evaporation"] == layout.forcings["potential_evaporation"]


def climatology(ds, units="mm month-1", days=(31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)):
    """Four mm a day in each month, written in the units given."""
    amount = np.array(days) * 4.0 if "month" in units else np.full(12, 4.0)
    values = np.repeat(amount[None], ds.sizes["basin"], 0)
    return ds.assign(pet_climatology=(("basin", "month"), values, {"units": units}))


@pytest.mark.parametrize("units", ["mm month-1", "mm day-1", "kg m-2 s-1"])
def test_the_mean_of_each_month_where_nothing_else_is_there(units):
    ds = climatology(basins(400).drop_vars(["pet", "lat"]), units)
    if "s-1" in units:
        ds["pet_climatology"] = (ds["pet_climatology"] / 86400).assign_attrs(units=units)
    values, layout = pet(ds)
    assert layout.forcings["potential_evaporation"].method == "climatology"
    np.testing.assert_allclose(values, 4.0, rtol=1e-6)
    lazy, _ = pet(ds.chunk(basin=2, time=100))
    np.testing.assert_array_equal(lazy, values)


def test_a_climatology_follows_the_months_and_may_be_named():
    ds = climatology(basins(400), "mm day-1")
    ds["pet_climatology"] = ds["pet_climatology"] * np.arange(1, 13) / 4
    ds["pet_climatology"].attrs["units"] = "mm day-1"
    named = {"potential_evaporation": "pet_climatology"}
    layout = recognise(ds, FULL, obs="qobs", forcings=named)
    found = read(ds, layout).forcing["potential_evaporation"]
    np.testing.assert_allclose(found, np.repeat(ds.time.dt.month.values[:, None], 4, 1))
    shuffled = ds.assign_coords(month=np.roll(np.arange(1, 13), 3))
    with pytest.raises(LayoutError, match=r"January to December.*ds = ds.sortby\(\"month\"\)"):
        recognise(shuffled, FULL, obs="qobs", forcings=named)
    sorted_ = shuffled.sortby("month").drop_vars(["pet", "lat"])
    assert pet(sorted_)[1].forcings["potential_evaporation"].method == "climatology"
    two = climatology(ds.drop_vars(["pet", "lat"])).assign(
        pet_clim=ds["pet_climatology"].reset_coords(drop=True)
    )
    with pytest.raises(LayoutError, match="several variables could be 'climatology of potential"):
        pet(two)


def test_hourly_steps_allow_priestley_taylor_but_not_hargreaves():
    hourly = Declares("Hourly", FULL.forcings, FULL.outputs, (1 / 24, 1.0))
    times = xr.date_range("2001-06-01", periods=60, freq="h")
    ds = radiation(basins()).assign_coords(time=times)
    assert read(ds, recognise(ds, hourly, obs="qobs")).has_forcing.all()
    with pytest.raises(LayoutError, match=r"a daily step \(it is 0.0416667 days\)"):
        recognise(extremes(basins()).drop_vars("pet").assign_coords(time=times), hourly, obs="qobs")


def test_latitude_from_projected_coordinates(smap):
    ds = smap.isel(y=slice(3, 6), x=slice(0, 2))
    layout = recognise(smap, FULL, obs="SMAP")
    degrees = latitudes(ds.drop_vars("lat"), match(smap.drop_vars("lat"), layout))
    np.testing.assert_allclose(degrees, np.repeat(ds["lat"].values, 2), atol=1e-6)
    bare = ds.drop_vars(["lat", "spatial_ref"])
    nowhere = replace(layout, latitude=None, grid_mapping=None)
    with pytest.raises(LayoutError, match="latitude of the cells is not known"):
        latitudes(bare, nowhere)


def test_the_grid_gives_the_same_as_its_cells():
    found, _ = pet(extremes(grid()).drop_vars("pet"))
    stacked = extremes(grid()).drop_vars("pet").stack(cell=("lat", "lon"))
    again, _ = pet(stacked)
    np.testing.assert_allclose(found, again, rtol=1e-6)
    assert isinstance(stacked, xr.Dataset)
