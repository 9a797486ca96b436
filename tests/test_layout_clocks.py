"""Series stamped at different times of day, merged into one Dataset."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from layout_datasets import RAINY, basins

from xdpl.errors import LayoutError
from xdpl.layout import match, read, recognise


def merged(hours: float, days: int = 80) -> tuple[xr.Dataset, xr.Dataset]:
    """Daily weather stamped some hours after midnight, and the same without."""
    right = basins(days).transpose("time", "basin")
    right["prcp"].attrs = {"units": "mm", "cell_methods": "time: sum"}
    weather = right[["prcp", "tas", "slope", "height"]]
    later = weather.assign_coords(time=weather["time"] + pd.Timedelta(hours=hours))
    return xr.merge([later, right[["qobs"]]], join="outer"), right


@pytest.mark.parametrize("hours", [12, 6, 9, 0.5, 23])
@pytest.mark.parametrize("chunks", [None, {"time": 17}])
def test_two_clocks_are_named_and_the_remedy_puts_the_days_together(hours, chunks):
    ds, right = merged(hours)
    ds = ds if chunks is None else ds.chunk(chunks)
    stamp = f"{int(hours):02d}:{int(hours * 60) % 60:02d}"
    with pytest.raises(LayoutError, match=rf'"prcp"\] has values at {stamp} only.*00:00') as raised:
        recognise(ds, RAINY, obs="qobs")
    scope = {"ds": ds}
    exec(str(raised.value).partition("together: ")[2].rstrip("."), scope)
    whole = scope["ds"]
    layout = recognise(whole, RAINY, obs="qobs")
    assert layout.dt == 1.0
    found, expected = (read(one, layout) for one in (whole, right))
    np.testing.assert_allclose(
        found.forcing["precipitation"], expected.forcing["precipitation"], rtol=1e-5
    )
    np.testing.assert_allclose(found.observed["streamflow"], expected.observed["streamflow"])
    np.testing.assert_array_equal(found.attribute, expected.attribute)
    with pytest.raises(LayoutError, match="two clocks"):
        match(ds, layout)


def test_hours_and_half_hours():
    ds, _ = merged(12, days=90)
    times = pd.date_range("2001-01-01", periods=90, freq="1h")
    hourly = basins(90).assign_coords(time=times).transpose("time", "basin")
    late = hourly[["prcp"]].assign_coords(time=times + pd.Timedelta(minutes=30))
    both = xr.merge([late, hourly[["qobs", "slope", "height"]]], join="outer")
    with pytest.raises(LayoutError, match=r"01:30, .*two clocks") as raised:
        recognise(both, RAINY, obs="qobs")
    scope = {"ds": both}
    exec(str(raised.value).partition("together: ")[2].rstrip("."), scope)
    layout = recognise(scope["ds"], RAINY, obs="qobs")
    assert layout.dt == pytest.approx(1 / 24)
    found = read(scope["ds"], layout).forcing["precipitation"]
    expected = read(hourly, recognise(hourly, RAINY, obs="qobs")).forcing["precipitation"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_daily_observations_in_hourly_data_are_fine():
    times = pd.date_range("2001-01-01", periods=96, freq="1h")
    ds = basins(96).assign_coords(time=times)
    ds["qobs"] = ds["qobs"].where(ds["time"].dt.hour == 9)
    ds["empty"] = ds["qobs"] * np.nan
    assert recognise(ds, RAINY, obs="qobs").dt == pytest.approx(1 / 24)
