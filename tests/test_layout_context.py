"""The border between a Dataset and its roles: areas, running totals, magnitudes, one inventory."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from layout_datasets import FLOW, FULL, RAIN, RAINY, SOIL, Declares, basins, grid

from xdpl.errors import DeclarationError, LayoutError, UnitsError
from xdpl.layout import Layout, match, read, recognise
from xdpl.layout.accumulated import running_total
from xdpl.layout.inventory import Inventory
from xdpl.variables import Forcing

SQUARE_METRES = np.array([1e8, 5e8, 2e9, 4e7])
CFS = 0.3048**3


def flows(units="m3 s-1", area_units="km2", size=1e6, **names):
    """Basins with their streamflow as a volume per time, and the truth in mm day-1."""
    ds = basins()
    true = ds["qobs"].astype(float)
    volume = true / 1000 / 86400 * xr.DataArray(SQUARE_METRES, dims="basin")
    volume = volume / (CFS if units in ("cfs", "ft3/s") else 1.0)
    ds["qobs"] = volume.assign_attrs(units=units)
    ds[names.get("area", "area")] = ("basin", SQUARE_METRES / size, {"units": area_units})
    return ds, true.transpose("time", "basin").values


@pytest.mark.parametrize("units", ["m3 s-1", "ft3/s", "cfs"])
@pytest.mark.parametrize(
    ("area_units", "size"), [("km2", 1e6), ("m2", 1.0), ("mi2", 2589988.110336), ("ha", 1e4)]
)
def test_discharge_is_divided_by_the_area(units, area_units, size):
    ds, true = flows(units, area_units, size)
    layout = recognise(ds, FULL, obs="qobs")
    assert layout.observed["streamflow"].source.area == "area"
    np.testing.assert_allclose(read(ds, layout).observed["streamflow"], true, rtol=1e-5)
    assert "mm day-1 by the area area" in " ".join(layout.notes)


def test_discharge_of_lazy_data_and_after_a_round_trip():
    ds, true = flows()
    layout = recognise(ds.chunk(basin=2, time=20), FULL, obs="qobs")
    layout = Layout.from_json(layout.to_json())
    found = read(ds.isel(basin=[2, 1]), layout).observed["streamflow"]
    np.testing.assert_allclose(found, true[:, [2, 1]], rtol=1e-5)
    again = match(ds, layout, observed=True)
    assert again.observed["streamflow"].source.area == "area"
    plain = recognise(basins(), FULL, obs="qobs").to_json()
    assert "area" not in plain["observed"]["streamflow"]["source"]


def test_an_area_that_is_missing_leaves_no_value():
    ds, _ = flows()
    ds["area"] = ds["area"].where(ds["basin"] != "00008").assign_attrs(units="km2")
    found = read(ds, recognise(ds, FULL, obs="qobs")).observed["streamflow"]
    assert np.isnan(found[:, 1]).all() and np.isfinite(found[:, 0]).all()


def test_cf_name_of_discharge_is_streamflow():
    ds, true = flows()
    name = "water_volume_transport_in_river_channel"
    ds = ds.rename(qobs="gauge").assign_coords(area=ds["area"])
    ds["gauge"].attrs["standard_name"] = name
    layout = recognise(ds, FULL, obs="gauge")
    np.testing.assert_allclose(read(ds, layout).observed["streamflow"], true, rtol=1e-5)


def test_units_of_the_area_follow_its_name_or_are_asked_for():
    ds, true = flows(area="drain_sqkm")
    del ds["drain_sqkm"].attrs["units"]
    found = read(ds, recognise(ds, FULL, obs="qobs")).observed["streamflow"]
    np.testing.assert_allclose(found, true, rtol=1e-5)
    ds = ds.rename(drain_sqkm="area")
    with pytest.raises(
        LayoutError, match=r"divided by the area ds\['area'\], whose units are None"
    ):
        recognise(ds, FULL, obs="qobs")


def test_flow_on_a_grid_needs_the_area_upstream():
    ds = grid()
    true = ds["qobs"].astype(float)
    up = xr.DataArray(np.geomspace(1e8, 1e10, 12).reshape(3, 4), dims=("lat", "lon"))
    ds["qobs"] = (true / 86400e3 * up).assign_attrs(units="m3 s-1")
    ds["area"] = (up * 0 + 1e8).assign_attrs(units="m2")  # of the cell
    with pytest.raises(UnitsError, match="the area upstream of each cell"):
        recognise(ds, FULL, obs="qobs")
    ds["upstream_area"] = (up / 1e6).assign_attrs(units="km2")
    found = read(ds, recognise(ds, FULL, obs="qobs")).observed["streamflow"]
    np.testing.assert_allclose(found, true.values.reshape(40, 12), rtol=1e-5)


def hourly(days=20, cells=3):
    """Amounts of each hour in mm, and a frame for them that begins at 00 UTC."""
    draw = np.random.default_rng(3)
    amount = draw.gamma(0.1, 2.0, (24 * days, cells)) * (draw.random((24 * days, cells)) < 0.5)
    times = pd.date_range("2001-05-01", periods=24 * days + 1, freq="h")
    return amount, times


@pytest.mark.parametrize("every", [1, 3, 6])
@pytest.mark.parametrize("reset", [0, 9])
def test_totals_since_midnight_become_amounts(every, reset):
    amount, times = hourly()
    total = np.zeros((len(times), 3))
    total[1:] = amount.reshape(-1, 24, 3).cumsum(1).reshape(-1, 3)
    ds = xr.Dataset(
        {"tp": (("time", "basin"), total, {"units": "mm"})},
        coords={"time": times + pd.Timedelta(hours=reset)},
    ).isel(time=slice(None, None, every))
    found = running_total(ds["tp"], "time", every / 24)
    assert found is not None and "accumulated" in found[0]
    names = {"ds": ds}
    exec(found[1], names)
    mended = names["ds"]["tp"]
    assert mended.attrs == {"units": "mm", "cell_methods": "time: sum"}
    np.testing.assert_allclose(mended[1:], amount.reshape(-1, every, 3).sum(1), atol=1e-9)
    assert np.isnan(mended[0]).all()  # an amount of the day before, unknown
    assert running_total(mended, "time", every / 24) is None


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_totals_since_a_first_step_become_amounts(sign):
    daily = np.random.default_rng(0).gamma(0.5, 4.0, (300, 2))
    total = np.concatenate([daily[:150].cumsum(0), daily[150:].cumsum(0)])  # emptied once
    time = pd.date_range("2001-01-01", periods=300)
    ds = xr.Dataset({"acc": (("time", "basin"), sign * total, {})}, coords={"time": time})
    found = running_total(ds["acc"], "time", 1.0)
    assert found is not None and "since a first step" in found[0]
    names = {"ds": ds}
    exec(found[1], names)
    mended = names["ds"]["acc"].values
    keep = np.setdiff1d(np.arange(1, 300), [150])
    np.testing.assert_allclose(mended[keep], sign * daily[keep], atol=1e-9)
    assert np.isnan(mended[[0, 150]]).all()


def test_amounts_of_steps_are_no_totals():
    amount, times = hourly()
    rain = xr.DataArray(amount, dims=("time", "basin"), coords={"time": times[1:]}, name="tp")
    assert running_total(rain, "time", 1 / 24) is None
    assert running_total(rain * 0, "time", 1 / 24) is None
    assert running_total(rain * np.nan, "time", 1 / 24) is None
    assert running_total(rain[::24], "time", 1.0) is None
    angle = 2 * np.pi * (times[1:].hour.values - 6) / 24
    sun = (rain * 0 + 1e6 * np.maximum(np.sin(angle), 0)[:, None]).assign_attrs(units="J m-2")
    assert running_total(sun, "time", 1 / 24) is None
    six = sun.coarsen(time=6).sum().assign_attrs(units="J m-2")
    assert running_total(six, "time", 0.25) is None


def test_totals_are_refused_before_they_are_summed_to_days():
    amount, times = hourly()
    total = amount.reshape(-1, 24, 3).cumsum(1).reshape(-1, 3)
    ds = basins(len(total), 3).assign_coords(time=times[1:])
    ds["prcp"] = (("time", "basin"), total, {"units": "mm", "cell_methods": "time: sum"})
    for model in (RAINY, replace(RAINY, timesteps=(1.0, 1.0))):
        with pytest.raises(UnitsError, match="accumulated values"):
            recognise(ds, model, obs="qobs")
    del ds["prcp"].attrs["cell_methods"]
    with pytest.raises(UnitsError, match="accumulated values"):
        recognise(ds, RAINY, obs="qobs")


def test_drizzle_of_a_desert_is_usual():
    draw = np.random.default_rng(1)
    ds = basins(600)
    wet = draw.random(ds["prcp"].shape) < 0.1
    drizzle = draw.uniform(0, 1e-3, wet.shape)
    ds["prcp"] = ds["prcp"].copy(data=np.where(wet, draw.gamma(1, 3, wet.shape), drizzle))
    recognise(ds, RAINY, obs="qobs")
    ds["prcp"] = (ds["prcp"] / 86400).assign_attrs(units="mm day-1")
    with pytest.raises(UnitsError, match="contradict its units 'mm day-1'.*'kg m-2 s-1'"):
        recognise(ds, RAINY, obs="qobs")


def test_one_may_vouch_for_units():
    ds = basins()
    ds["prcp"] = (ds["prcp"] * 1e-3).assign_attrs(units="mm day-1")
    with pytest.raises(UnitsError, match=r"m day-1' \(then .* mm a year\)(.|\n)*units_verified"):
        recognise(ds, RAINY, obs="qobs")
    ds["prcp"].attrs["units_verified"] = 1
    assert recognise(ds, RAINY, obs="qobs").forcings["precipitation"].sources["value"].scale == 1.0


def test_all_unit_problems_are_one_error():
    ds = basins()
    ds["prcp"].attrs["units"] = "in"
    del ds["tas"].attrs["units"]
    ds["qobs"].attrs["units"] = "m3 s-1"
    with pytest.raises(UnitsError, match="3 units can't be used as they are") as caught:
        recognise(ds, FULL, obs="qobs")
    text = str(caught.value)
    assert len(caught.value.problems) == 3 and text.count("Paste the lines") == 1
    assert all(f'ds["{name}"]' in text for name in ("prcp", "tas", "qobs"))
    layout = recognise(basins(), FULL, obs="qobs")
    with pytest.raises(UnitsError, match="3 units can't be used as they are"):
        match(ds, layout)


def test_a_layer_is_divided_by_its_thickness():
    ds = basins()
    ds["mrsos"] = (ds["slope"] * 0 + 30.0 + 0 * ds["tas"]).assign_attrs(units="kg m-2")
    with pytest.raises(UnitsError, match="thickness of the layer, which the Dataset does not tell"):
        recognise(ds, SOIL, obs={"mrsos": "soil_moisture"})
    ds = ds.assign_coords(depth=((), 0.05, {"units": "m", "bounds": "depth_bnds"}))
    ds["depth_bnds"] = ("bnds", [0.0, 0.1])
    with pytest.raises(UnitsError, match="divide it by the thickness of the layer:") as caught:
        recognise(ds, SOIL, obs={"mrsos": "soil_moisture"})
    names = {"ds": ds}
    exec(caught.value.problems[0][1], names)
    layout = recognise(names["ds"], SOIL, obs={"mrsos": "soil_moisture"})
    np.testing.assert_allclose(read(names["ds"], layout).observed["soil_moisture"], 0.3, rtol=1e-5)


def test_units_of_a_quantity_of_pint():
    pint = pytest.importorskip("pint")
    registry = pint.UnitRegistry(force_ndarray_like=True)
    ds = basins()
    true = ds["prcp"].values.T.astype(float)
    ds["prcp"] = (("basin", "time"), registry.Quantity(true.T / 25.4, "inch/day"))
    ds["tas"] = (("basin", "time"), registry.Quantity(ds["tas"].values + 273.15, "kelvin"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layout = recognise(ds, FULL, obs="qobs")
        found = read(ds, layout).forcing
    np.testing.assert_allclose(found["precipitation"], true, rtol=1e-5)
    np.testing.assert_allclose(found["temperature"], basins()["tas"].values.T, atol=1e-3)


def test_units_that_name_the_step():
    ds = basins().assign_coords(time=pd.date_range("2001-01-01", periods=60, freq="6h"))
    true = ds["prcp"].values.T
    ds["prcp"] = (ds["prcp"] / 4).assign_attrs(units="mm timestep-1")
    found = read(ds, recognise(ds, RAINY, obs="qobs")).forcing["precipitation"]
    np.testing.assert_allclose(found, true, rtol=1e-5)


def test_ranges_that_a_forcing_declares():
    wind = Forcing("m s-1", names=("wind",), valid_range=(0, 60), typical_range=(0.5, 20))
    model = Declares("Windy", {"precipitation": RAIN, "wind": wind}, {"streamflow": FLOW})
    ds = basins()
    speed = np.full(ds["tas"].shape, 5.0)
    speed[1, 3] = 500.0
    ds["wind"] = (ds["tas"].dims, speed, {"units": "m s-1"})
    layout = Layout.from_json(recognise(ds, model, obs="qobs").to_json())
    block = read(ds, layout)
    assert block.findings.count("impossible", "wind") == 1
    assert block.forcing["wind"].max() == 5.0
    ds["wind"] = (ds["wind"] * 100).assign_attrs(units="m s-1")
    with pytest.raises(UnitsError, match="'m s-1': the median of its values is 500, which is no"):
        recognise(ds, model, obs="qobs")
    with pytest.raises(UnitsError, match="0.5 to 20 m s-1"):
        match(ds, layout)
    ds["wind"].attrs["units"] = "cm s-1"
    assert read(ds, recognise(ds, model, obs="qobs")).forcing["wind"].max() == pytest.approx(5.0)


@pytest.mark.parametrize("edges", [(1, 0), (0, float("nan")), (float("-inf"), 1)])
@pytest.mark.parametrize("name", ["valid_range", "typical_range"])
def test_ranges_are_intervals(name, edges):
    with pytest.raises(DeclarationError, match=f"{name} .* of a Forcing is not an interval"):
        Forcing("1", **{name: edges})


def test_a_declared_range_takes_the_place_of_a_known_one():
    polar = replace(RAIN, typical_range=(1e-6, 1.0))
    ds = basins()
    ds["prcp"] = (ds["prcp"] * 1e-3).assign_attrs(units="mm day-1")
    recognise(ds, replace(RAINY, forcings={"precipitation": polar}), obs="qobs")


def test_a_dataset_is_looked_through_once(monkeypatch):
    looks = []
    original = Inventory.of.__func__
    monkeypatch.setattr(
        Inventory, "of", classmethod(lambda cls, ds: looks.append(1) or original(cls, ds))
    )
    recognise(basins(), FULL, obs="qobs")
    assert len(looks) == 1


def test_the_inventory_looks_names_up():
    found = Inventory.of(grid())
    assert found.by_standard_name(["longitude", "latitude"]) == ["lon", "lat"]
    assert found.by_lower_name(["TAS", "prcp"]) == ["prcp", "tas"]
    assert found.entries["tas"].units == "degC" and found.entries["lat"].data is False
