"""Which variable drives what: by standard name, by name, derived from others, or named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from layout_datasets import FULL, RAINY, SOIL, WARM, basins, extremes, grid, radiation

from xdpl.errors import DataError, LayoutError, UnitsError
from xdpl.layout import Layout, read, recognise


def role(ds, name="precipitation", model=FULL, **keywords):
    return recognise(ds, model, obs="qobs", **keywords).forcings[name]


@pytest.mark.parametrize(
    "standard_name",
    ["lwe_precipitation_rate", "precipitation_flux", "rainfall_flux"],
)
def test_precipitation_by_its_standard_names(standard_name):
    ds = basins().rename(prcp="unusual")
    ds["unusual"].attrs.update(standard_name=standard_name, units="kg m-2 s-1")
    ds["unusual"] = (ds["unusual"] / 86400).assign_attrs(ds["unusual"].attrs)
    found = recognise(ds, FULL, obs="qobs")
    assert found.forcings["precipitation"].variables == ("unusual",)
    rain = read(ds, found).forcing["precipitation"]
    np.testing.assert_allclose(rain, basins()["prcp"].values.T, rtol=1e-5)
    assert "precipitation: unusual (kg m-2 s-1 converted to mm day-1)." in found.notes


@pytest.mark.parametrize("name", ["pr", "PRCP", "precip", "tp", "Precipitation"])
def test_precipitation_by_usual_names_whatever_the_case(name):
    assert role(basins().rename(prcp=name)).variables == (name,)


def test_a_standard_name_comes_before_a_name():
    ds = basins().assign(pr=basins()["tas"])
    ds["prcp"].attrs["standard_name"] = "lwe_precipitation_rate"
    assert role(ds).variables == ("prcp",)


def test_several_candidates_are_listed():
    ds = basins()
    ds["other"] = ds["prcp"].assign_attrs(long_name="another gauge")
    for name in ("prcp", "other"):
        ds[name].attrs["standard_name"] = "lwe_precipitation_rate"
    message = (
        r"several variables could be 'precipitation': other .another gauge.; prcp.*forcings=\{"
    )
    with pytest.raises(LayoutError, match=message):
        role(ds)
    assert role(ds, forcings={"precipitation": "other"}).variables == ("other",)


def test_several_names_are_told_apart_by_units_and_levels():
    ds = basins()
    ds["P"] = (ds["prcp"] + 1e5).assign_attrs(units="Pa")
    assert role(ds).variables == ("prcp",)
    ds["tas"].attrs["standard_name"] = "air_temperature"
    ds["ta"] = ds["tas"].expand_dims(level=2).assign_attrs(ds["tas"].attrs)
    assert role(ds, "temperature").variables == ("tas",)


def test_a_forcing_that_is_absent():
    with pytest.raises(LayoutError, match=r"no variable was found for the forcing 'temperature'"):
        recognise(basins().drop_vars("tas"), WARM, obs="qobs")
    with pytest.raises(LayoutError, match=r"usual name \(precipitation, prcp, pr, P\).*tas, pet"):
        role(basins().drop_vars("prcp"))


def test_an_observation_is_never_a_forcing():
    ds = basins().drop_vars("prcp").rename(qobs="P")
    with pytest.raises(LayoutError, match="no variable was found for the forcing 'precipitation'"):
        recognise(ds, FULL, obs={"P": "streamflow"})


def test_forcings_that_are_named_wrongly():
    ds = basins()
    with pytest.raises(LayoutError, match=r"no forcing 'precip'. Did you mean 'precipitation'\?"):
        role(ds, forcings={"precip": "prcp"})
    with pytest.raises(LayoutError, match=r"'prpc', which is no data variable.*mean 'prcp'"):
        role(ds, forcings={"precipitation": "prpc"})
    with pytest.raises(LayoutError, match="'slope', which has no time dimension 'time'"):
        role(ds, forcings={"precipitation": "slope"})
    with pytest.raises(LayoutError, match="only a temperature may have two"):
        role(ds, forcings={"precipitation": ("prcp", "pet")})


def test_missing_and_contradicted_units():
    ds = basins()
    del ds["prcp"].attrs["units"]
    with pytest.raises(UnitsError, match=r'ds\["prcp"\] has no units.*attrs\["units"\]'):
        role(ds)
    ds = basins()
    ds["tas"] = (ds["tas"] + 273.15).assign_attrs(units="degC")
    with pytest.raises(UnitsError, match=r'contradict its units \'degC\'.*28.*"K"'):
        role(ds)


@pytest.mark.parametrize(
    ("factor", "claimed", "likely"),
    [
        (86400.0, "mm day-1", "kg m-2 s-1"),
        (1.0, "kg m-2 s-1", "mm day-1"),
        (1000.0, "mm day-1", "m day-1"),
    ],
)
def test_rain_that_contradicts_its_units(factor, claimed, likely):
    ds = basins()
    ds["prcp"] = (ds["prcp"] / factor).assign_attrs(units=claimed)
    with pytest.raises(UnitsError, match=f"contradict its units '{claimed}'.*If they are"):
        role(ds)
    ds["prcp"].attrs["units"] = likely
    assert role(ds).method == "variable"


def test_undeclared_fill_values_are_named():
    ds = basins()
    ds["tas"] = ds["tas"].where(ds["time"].dt.day < 5, -9999.0).assign_attrs(units="degC")
    with pytest.raises(UnitsError, match=r"are -9999, which looks like a fill value.*where"):
        role(ds)


def test_values_that_fit_no_unit():
    ds = basins()
    ds["tas"] = (ds["tas"] * 0 + 7e4).assign_attrs(units="degC")
    with pytest.raises(UnitsError, match=r'Correct ds\["tas"\] or its units attribute'):
        role(ds)


def test_a_forcing_without_any_value():
    ds = basins()
    ds["prcp"] = (ds["prcp"] * np.nan).assign_attrs(units="mm day-1")
    with pytest.raises(DataError, match=r'ds\["prcp"\] has no value at all'):
        role(ds)


def test_dry_cells_are_no_contradiction():
    ds = basins()
    ds["prcp"] = (ds["prcp"] * 0).assign_attrs(units="mm day-1")
    assert role(ds).method == "variable"


def test_amounts_gathered_over_each_step():
    ds = basins()
    ds["prcp"].attrs["units"] = "mm"
    with pytest.raises(UnitsError, match="can't convert 'mm' to 'mm day-1'.*cell_methods"):
        role(ds)
    ds["prcp"].attrs["cell_methods"] = "time: sum"
    assert role(ds).sources["value"].scale == pytest.approx(1.0)
    del ds["prcp"].attrs["cell_methods"]
    ds["prcp"].attrs["standard_name"] = "precipitation_amount"
    assert role(ds).sources["value"].scale == pytest.approx(1.0)


@pytest.mark.parametrize("named", [False, True])
def test_temperature_as_mean_of_its_extremes(named):
    ds = extremes(basins())
    if named:
        ds = ds.rename(tasmax="TMAX", tasmin="tmin").drop_attrs()
        for name, units in (("prcp", "mm day-1"), ("TMAX", "degC"), ("tmin", "degC")):
            ds[name].attrs["units"] = units
        ds["pet"].attrs["units"] = ds["qobs"].attrs["units"] = "mm day-1"
    layout = recognise(ds, FULL, obs="qobs")
    assert layout.forcings["temperature"].method == "mean"
    assert any("temperature: mean of" in note for note in layout.notes)
    given = read(ds, layout).forcing["temperature"]
    np.testing.assert_allclose(given, basins()["tas"].values.T, atol=1e-3)


def test_a_mean_temperature_comes_before_its_extremes():
    ds = extremes(basins()).assign(tas=basins()["tas"])
    ds["tas"].attrs["standard_name"] = "air_temperature"
    assert role(ds, "temperature").method == "variable"


def test_a_maximum_alone_does_not_hide_a_mean_without_standard_name():
    ds = extremes(basins()).drop_vars("tasmin").assign(tas=basins()["tas"])
    assert role(ds, "temperature").variables == ("tas",)


def test_extremes_that_are_not_one_of_each():
    ds = extremes(basins())
    with pytest.raises(LayoutError, match="no variable was found for the forcing 'temperature'"):
        role(ds.drop_vars("tasmin"), "temperature")
    ds["tx2"] = ds["tasmax"]
    with pytest.raises(LayoutError, match=r"could be 'maximum temperature'.*drop_vars"):
        role(ds, "temperature")
    named = role(ds, "temperature", forcings={"temperature": ("tx2", "tasmin")})
    assert named.method == "mean" and named.variables == ("tx2", "tasmin")


def test_rain_and_snow_are_added():
    ds = basins().rename(prcp="rain")
    ds["snow"] = ds["rain"].assign_attrs(standard_name="snowfall_flux")
    ds["rain"].attrs["standard_name"] = "rainfall_flux"
    layout = recognise(ds, FULL, obs="qobs")
    assert layout.forcings["precipitation"].method == "sum"
    total = read(ds, layout).forcing["precipitation"]
    np.testing.assert_allclose(total, 2 * basins()["prcp"].values.T, rtol=1e-5)
    ds["more"] = ds["rain"].copy()
    with pytest.raises(LayoutError, match="several variables could be 'rainfall'"):
        recognise(ds, FULL, obs="qobs")


def test_dimensions_of_forcings_that_differ():
    ds = grid()
    ds["tas"] = ds["tas"].rename(lat="y").drop_vars("y")
    with pytest.raises(LayoutError, match=r'ds\["tas"\] is on the dimension \'y\'.*Regrid'):
        role(ds, "temperature")
    ds = basins()
    ds["tas"] = ds["tas"].expand_dims(hour=2)
    with pytest.raises(LayoutError, match=r"dimension 'hour' \(size 2\) besides time and space"):
        role(ds, "temperature")


def test_a_series_common_to_all_cells():
    ds = basins()
    ds["tas"] = ds["tas"].isel(basin=0, drop=True)
    block = read(ds, recognise(ds, FULL, obs="qobs"))
    assert block.forcing["temperature"].shape == (60, 4)
    assert (block.forcing["temperature"] == block.forcing["temperature"][:, :1]).all()


def test_observations_of_the_wrong_kind():
    ds = basins()
    flat = ds.assign(qobs=ds["qobs"].isel(basin=0, drop=True))
    with pytest.raises(LayoutError, match=r"'qobs'\] has the dimensions \(time\).*are wanted"):
        recognise(flat, RAINY, obs="qobs")
    fixed = ds.assign(qobs=ds["qobs"].isel(time=0, drop=True))
    with pytest.raises(LayoutError, match=r"'qobs'\] has the dimensions \(basin\)"):
        recognise(fixed, RAINY, obs="qobs")
    many = ds.assign(qobs=ds["qobs"].expand_dims(gauge=2))
    with pytest.raises(LayoutError, match=r"dimension 'gauge' \(size 2\)"):
        recognise(many, RAINY, obs="qobs")
    text = ds.assign(qobs=ds["qobs"].astype(str).assign_attrs(units="mm day-1"))
    with pytest.raises(LayoutError, match="not numeric. Convert it to float"):
        recognise(text, RAINY, obs="qobs")
    empty = ds.assign(qobs=(ds["qobs"] * np.nan).assign_attrs(units="mm day-1"))
    with pytest.raises(DataError, match="'qobs'] is missing everywhere.*nothing to hold"):
        recognise(empty, RAINY, obs="qobs")
    per_second = ds.assign(qobs=ds["qobs"].assign_attrs(units="m3 s-1"))
    with pytest.raises(UnitsError, match="area of the basin"):
        recognise(per_second, RAINY, obs="qobs")
    percent = ds.assign(sm=(ds["qobs"] * 0 + 25.0).assign_attrs(units="m3 m-3"))
    with pytest.raises(UnitsError, match="contradict its units 'm3 m-3'.*'percent'"):
        recognise(percent, SOIL, obs="sm")


@pytest.mark.parametrize(
    "period", [slice("2001-02-01", "2001-02-10"), ("2001-02-01", "2001-02-28")]
)
def test_only_values_of_the_period_count(period):
    ds = basins()
    inside = ds["time"].dt.month == 2
    ds["qobs"] = ds["qobs"].where(inside, 777.0).assign_attrs(units="mm day-1")
    with pytest.raises(UnitsError, match="contradict its units"):
        recognise(ds, RAINY, obs="qobs")
    assert recognise(ds, RAINY, obs="qobs", period=period).observed
    ds["qobs"] = ds["qobs"].where(~inside).assign_attrs(units="mm day-1")
    with pytest.raises(DataError, match="missing from 2001-02-01 to 2001-02-"):
        recognise(ds, RAINY, obs="qobs", period=period)


@pytest.mark.parametrize("period", [slice("1980", "1990"), slice("no", "time"), "2001", 5])
def test_a_period_that_is_none_is_told_of_elsewhere(period):
    assert recognise(basins(), RAINY, obs="qobs", period=period).dt == 1.0


def test_computed_evaporation_is_described():
    layout = recognise(radiation(basins()), FULL, obs="qobs")
    text = "potential_evaporation: computed by Priestley-Taylor from rsds, rlds, tas, height."
    expected = text.replace(", height", "")
    assert expected in layout.notes
    ds = extremes(basins()).drop_vars("pet")
    text = "potential_evaporation: computed by Hargreaves from tasmax, tasmin."
    assert text in recognise(ds, FULL, obs="qobs").notes
    text = "potential_evaporation: pet (mm day-1); where missing, computed by Hargreaves from"
    assert any(n.startswith(text) for n in recognise(extremes(basins()), FULL, obs="qobs").notes)


@pytest.mark.parametrize(
    "make", [basins, grid, lambda: radiation(grid()), lambda: extremes(grid())]
)
def test_a_layout_survives_json(make):
    ds = make()
    ds["kind"] = ds["slope"].round(1).assign_attrs(flag_values=[0.1, 0.2, 0.3, 0.4])
    layout = recognise(ds, FULL, obs="qobs")
    assert Layout.from_json(json.loads(json.dumps(layout.to_json(), allow_nan=False))) == layout
    endless = Layout("time", (), 1.0)
    assert Layout.from_json(json.loads(json.dumps(endless.to_json(), allow_nan=False))) == endless


def test_only_metadata_and_samples_are_read():
    ds = basins(400).chunk(time=100)
    computed = []

    def spy(values: np.ndarray) -> np.ndarray:
        computed.append(values.shape)
        return values

    for name in ("prcp", "tas", "pet", "qobs"):
        ds[name] = xr.apply_ufunc(spy, ds[name], dask="parallelized", keep_attrs=True)
    computed.clear()
    recognise(ds, WARM, obs="qobs")
    assert all(shape == (4, 100) for shape in computed)
    assert all(v.chunks for v in ds[["prcp", "tas", "qobs"]].data_vars.values())


@pytest.mark.parametrize(
    ("kind", "told", "named"),
    [
        (object, "object", None),
        (str, "<U", None),
        (bool, "bool", None),
        (object, "object", {"precipitation": "prcp"}),
    ],
)
def test_a_forcing_that_holds_no_numbers_is_told_with_its_type(kind, told, named):
    ds = basins()
    ds["prcp"] = ds["prcp"].astype(kind)
    with pytest.raises(LayoutError, match=rf'ds\["prcp"\] is of type {told}.*astype\(float\)'):
        recognise(ds, RAINY, obs="qobs", forcings=named)
