"""What ds.dpl shows: roles, cells, what is missing; without reading, without an error."""

import time

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl


@pytest.fixture(scope="module")
def ds():
    return xdpl.tutorial.synthetic(cells=9, years=2)


def test_it_shows_model_roles_cells_period_and_the_next_call(ds):
    shown = repr(ds.dpl)
    for line in (
        "model      HBV (19 parameters)",
        "precipitation: prcp (mm day-1).",
        "cells      9 (y 3 x x 3)",
        "period     2000-01-01 to 2001-12-30, 730 steps of 1 day\n",
        'next       ds.dpl.fit(obs="streamflow")',
    ):
        assert line in shown
    assert "<th" in ds.dpl._repr_html_() and "prcp (mm day-1)" in ds.dpl._repr_html_()
    assert xdpl.fit(ds, "streamflow", epochs=1, progress=False).model.name == "HBV"


def test_it_shows_what_is_missing_with_the_remedy(ds):
    shown = repr(ds.drop_vars("prcp").dpl)
    assert "missing    no variable" in shown and "'precipitation'" in shown
    assert 'forcings={"precipitation": "..."}' in shown


def test_it_shows_what_would_be_left_out_and_warns_of_nothing(ds, recwarn):
    shown = repr(ds.assign(same=ds.elevation * 0 + 1).dpl)
    assert "1 attribute left out, constant: same." in shown
    assert not recwarn.list


@pytest.mark.parametrize(
    "strange",
    [
        xr.Dataset(),
        xr.Dataset({5: ("x", [1.0]), "streamflow": ("x", ["text"])}),
        xr.Dataset({"streamflow": (("time", "x"), np.ones((2, 1)))}, {"time": [3, 1]}),
        grid(days=30)[["elevation"]],
    ],
    ids=["empty", "no text", "no times", "maps"],
)
def test_it_never_raises(strange):
    assert repr(strange.dpl).startswith("<ds.dpl>")
    assert strange.dpl._repr_html_().startswith("<div>")


def test_it_reads_nothing_of_what_is_not_in_memory_and_is_quick():
    def read(*_, **__):
        raise AssertionError("it was read")

    def lazy(units, standard_name="", **sizes):
        chunks = ((365,) * 20, (500,) * 6, (500,) * 6)
        values = da.map_blocks(read, chunks=chunks, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
        attrs = {"units": units} | ({"standard_name": standard_name} if standard_name else {})
        return xr.DataArray(values, dims=("time", "lat", "lon"), attrs=attrs)

    ds = xr.Dataset(
        {
            "pr": lazy("mm day-1"), "t2m": lazy("K", "air_temperature"), "pet": lazy("mm day-1"),
            "streamflow": lazy("mm day-1"), "elevation": lazy("m").isel(time=0, drop=True),
        },
        {
            "time": pd.date_range("2000", periods=7300), "lat": np.linspace(60, 30, 3000),
            "lon": np.linspace(0, 30, 3000),
        },
    )  # fmt: skip
    repr(ds.dpl)  # loads what is imported late
    began = time.process_time()
    shown = repr(ds.dpl)
    assert time.process_time() - began < 1
    assert "temperature: t2m (K converted to degC)" in shown
    assert "cells      9000000 (lat 3000 x lon 3000)" in shown


def test_it_names_the_fit_that_is_remembered():
    ds = grid(days=450)
    assert "\n  fit " not in repr(ds.dpl)
    ds.dpl.fit(obs="qobs", **QUICK)
    assert "fit        <xdpl.Fit> parameters of Bucket learned from qobs" in repr(ds.dpl)


def test_what_is_not_in_memory_is_not_judged(tmp_path):
    """A file and the same Dataset in memory have the same roles; nothing is made up of values."""
    ds = xdpl.tutorial.synthetic(cells=9, years=2)
    month = xr.DataArray(np.linspace(1, 2, 12 * 9).reshape(12, 3, 3), dims=("month", "y", "x"))
    ds = ds.assign(normal=month.assign_attrs(units="mm"), soil_type=ds.elevation.round(-2) // 100)
    ds["soil_type"].attrs = {"units": "1"}
    ds["pet"] = xr.zeros_like(ds["prcp"]) + 1.0
    ds["pet"].attrs = {"units": "mm day-1", "standard_name": "water_potential_evaporation_flux"}
    ds = ds.transpose("time", "month", "y", "x")
    ds.to_netcdf(tmp_path / "ds.nc")
    with xr.open_dataset(tmp_path / "ds.nc") as lazy:
        shown = repr(lazy.dpl)
    for wrong in ("constant", "negative", "codes of classes", "noticed"):
        assert wrong not in shown
    assert "normal_11" in shown
