"""Time: which dimension it is, and steps that are equal and allowed."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from layout_datasets import RAINY, WARM, basins

from xdpl.errors import DataError, LayoutError, XdplWarning
from xdpl.layout import read, recognise
from xdpl.layout.periods import resolve_period
from xdpl.layout.times import find_time, is_time, time_step


def test_time_is_found_by_its_values_whatever_its_name():
    assert find_time(basins()) == "time"
    assert find_time(basins().rename(time="when")) == "when"


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard", "julian"])
def test_calendars_of_cftime(calendar):
    ds = basins(400)
    ds["time"] = xr.date_range(
        "2003-02-20", periods=400, calendar=calendar, use_cftime=True, freq="D"
    )
    layout = recognise(ds, RAINY, obs="qobs")
    assert layout.dt == 1.0
    assert read(ds, layout).has_forcing.all()


def test_no_time_dimension():
    with pytest.raises(LayoutError, match="no time dimension; its dimensions are basin"):
        recognise(basins().isel(time=0), RAINY, obs="qobs")
    aside = basins().swap_dims(time="step")
    with pytest.raises(LayoutError, match=r'ds = ds.swap_dims\(step="time"\)'):
        recognise(aside, RAINY, obs="qobs")


def test_time_that_is_not_decoded():
    ds = basins().assign_coords(time=np.arange(60))
    with pytest.raises(LayoutError, match=r"'time' has no datetimes.*xr.decode_cf"):
        find_time(ds)
    ds["time"].attrs["standard_name"] = "time"
    with pytest.raises(LayoutError, match="'when' has no datetimes"):
        find_time(ds.rename(time="when"))


@pytest.mark.parametrize("kind", ["U", "S", "O"])
def test_dates_as_text_are_read_by_the_call_that_is_printed(kind):
    ds = basins()
    texts = ds.time.dt.strftime("%Y-%m-%d").values.astype(kind)
    text = ds.assign_coords(time=texts)
    with pytest.raises(LayoutError, match="'time' holds dates as text, such as.*2") as given:
        find_time(text)
    call = str(given.value).split("Read them: ds = ")[1].split(", with import")[0]
    mended = eval(call, {"ds": text, "pd": pd})
    assert (mended.time.values == ds.time.values).all()
    assert find_time(mended) == "time"
    with pytest.raises(LayoutError, match="has no datetimes"):
        find_time(ds.assign_coords(time=[f"step {i}" for i in range(60)]))


def test_several_times():
    ds = basins().assign_coords(issued=pd.date_range("2000-01-01", periods=3))
    assert find_time(ds) == "time"
    ds = ds.rename(time="valid")
    with pytest.raises(LayoutError, match=r'several dimensions are times.*attrs\["axis"\] = "T"'):
        find_time(ds)
    ds["valid"].attrs["axis"] = "T"
    assert find_time(ds) == "valid"


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        ([0, 2, 1, 3, 4], r"unsorted: 2001-01-02 follows 2001-01-03.*sortby\(\"time\"\)"),
        (
            [0, 1, 1, 2, 3],
            r"duplicates: 1 value occurs again, the first 2001-01-02.*drop_duplicates\(\"time\"\)",
        ),
        (
            [0, 1, 2, 5, 6],
            r"irregular: 1 of 4 steps.*date_range\(\"2001-01-01\", \"2001-01-07\", freq=\"1D\"\)",
        ),
        ([0], r"has 1 step. Give at least two"),
    ],
)
def test_time_that_is_no_regular_series(pick, message):
    with pytest.raises(DataError, match=message):
        recognise(basins().isel(time=pick), RAINY, obs="qobs")


def test_missing_times():
    times = basins()["time"].values.copy()
    times[3] = np.datetime64("NaT")
    with pytest.raises(DataError, match=r"1 values of 'time' are missing.*notnull"):
        time_step(basins().assign_coords(time=times), "time")


def test_a_missing_29_february_asks_for_the_calendar_without_it():
    ds = basins(200, start="2004-01-01")
    ds = ds.sel(time=~((ds.time.dt.month == 2) & (ds.time.dt.day == 29)))
    with pytest.raises(DataError, match=r'29 February.*convert_calendar\("noleap"'):
        recognise(ds, RAINY, obs="qobs")
    assert recognise(ds.convert_calendar("noleap"), RAINY, obs="qobs").dt == 1.0


def test_monthly_values_are_irregular():
    ds = basins(24)
    ds["time"] = pd.date_range("2001-01-01", periods=24, freq="MS")
    with pytest.raises(DataError, match="daily values are missing"):
        recognise(ds, RAINY, obs="qobs")


def test_steps_that_the_model_does_not_allow():
    ds = basins()
    ds["time"] = pd.date_range("2001-01-01", periods=60, freq="h")
    assert recognise(ds, RAINY, obs="qobs").dt == pytest.approx(1 / 24)
    with pytest.raises(
        LayoutError, match=r'is 1 hour and Warm allows 1 day\..*resample\(time="1D"\)'
    ):
        recognise(ds, WARM, obs="qobs")
    ds["time"] = pd.date_range("2001-01-01", periods=60, freq="2D")
    with pytest.raises(LayoutError, match="2 days and Rainy allows 1 hour to 1 day.*shorter"):
        recognise(ds, RAINY, obs="qobs")


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
def test_the_remedy_for_missing_times_keeps_attributes_static(calendar):
    ds = basins()
    if calendar == "360_day":
        ds["time"] = xr.date_range("2001-01-01", periods=60, calendar=calendar, use_cftime=True)
    with pytest.raises(DataError, match=r"Fill the missing times with NaN: ds = (.*)\.$") as caught:
        recognise(ds.isel(time=[0, 1, 2, *range(5, 60)]), RAINY, obs="qobs")
    remedy = str(caught.value).split("NaN: ds = ")[1][:-1]
    mended = eval(remedy, {"xr": xr, "ds": ds})
    layout = recognise(mended, RAINY, obs="qobs")
    assert layout.attribute_names == ("slope", "height")
    assert mended.sizes["time"] == 60


def test_the_remedy_for_uneven_and_for_short_steps_keeps_attributes_static():
    ds = basins()
    uneven = ds.assign_coords(time=ds.time + (np.arange(60) == 7) * np.timedelta64(1, "h"))
    hourly = ds.assign_coords(time=pd.date_range("2001-01-01", periods=60, freq="h"))
    for given, error in ((uneven, DataError), (hourly, LayoutError)):
        with pytest.raises(error, match=r"(Average|Aggregate).*\.assign\(ds.drop_dims") as caught:
            recognise(given, WARM, obs="qobs")
        remedy = str(caught.value).split(": ds = ")[1][:-1]
        mended = eval(remedy, {"ds": given})
        assert recognise(mended, WARM, obs="qobs").attribute_names == ("slope", "height")


def test_types_of_extensions_are_no_times():
    import geopandas as gpd

    points = gpd.points_from_xy([1.0, 2.0], [3.0, 4.0])
    assert not is_time(xr.Variable("basin", points))


@pytest.mark.parametrize(
    ("zone", "freq", "wanted", "first"),
    [
        ("UTC", "D", "in UTC", "2001-01-01T00"),
        ("UTC", "h", "in UTC", "2001-01-01T00"),
        ("America/New_York", "D", "in local days", "2001-01-01T00"),
        ("America/New_York", "h", "in UTC", "2001-01-01T05"),
    ],
)
def test_times_with_a_zone_become_times_without(zone, freq, wanted, first):
    times = pd.date_range("2001-01-01", periods=60, freq=freq, tz=zone)
    ds = basins().assign_coords(time=times)
    with pytest.raises(LayoutError, match=f"time zone '{zone}'.*{wanted}") as caught:
        recognise(ds, RAINY, obs="qobs")
    names = {"ds": ds}
    exec(str(caught.value).rpartition(": ")[2].removesuffix("."), names)
    assert names["ds"].time.values[0] == np.datetime64(first)
    assert recognise(names["ds"], RAINY, obs="qobs").dt == (1.0 if freq == "D" else 1 / 24)


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_one_label_is_a_period_as_in_sel(calendar):
    ds = basins(800).convert_calendar(calendar, use_cftime=calendar == "noleap")
    for label in ("2002", "2002-05", "2002-05-03"):
        found = resolve_period(ds, "time", label)
        assert ds.time[found].equals(ds.time.sel(time=slice(label, label)))
    assert recognise(ds, RAINY, obs="qobs", period="2002").dt == 1.0


def test_a_year_that_is_not_whole_is_mentioned():
    with pytest.warns(XdplWarning, match="period 2001 reaches beyond the data; 2001-01-01 to"):
        resolve_period(basins(100), "time", "2001")
    with pytest.raises(DataError, match="period 1999 lies outside"):
        resolve_period(basins(100), "time", "1999")
