"""Raw numbers whose attributes say how they are packed, as rioxarray leaves them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from layout_datasets import RAINY, basins

from xdpl.errors import LayoutError, XdplWarning
from xdpl.layout import read, recognise


def packed(values: np.ndarray, kind: str, scale: float, offset: float, fill: int | None):
    raw = np.round((values - offset) / scale)
    attrs = {"scale_factor": scale, "add_offset": offset}
    if fill is not None:
        raw = np.where(np.isnan(values), fill, raw)
        attrs["_FillValue"] = np.dtype(kind).type(fill)
    return raw.astype(kind), attrs


@pytest.mark.parametrize("key", ["_FillValue", "missing_value"])
@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8"])
def test_fill_values_are_missing(key, kind):
    ds = basins(cells=6)
    fill = 247 if kind == "u1" else -3000
    ds["flow"] = (
        "basin",
        np.array([1, 2, fill, fill, 4, 8], kind),
        {key: np.dtype(kind).type(fill)},
    )
    block = read(ds, recognise(ds, RAINY, obs="qobs"))
    np.testing.assert_array_equal(block.attribute[:, 2], [1, 2, np.nan, np.nan, 4, 8])
    ds["flow"].attrs[key] = "none"
    column = read(ds, recognise(ds, RAINY, obs="qobs")).attribute[:, 2]
    assert (column == fill).sum() == 2


@pytest.mark.parametrize("chunks", [None, {"time": 20}])
def test_scaled_series_are_unpacked_and_the_remedy_does_the_same(chunks):
    ds = basins(days=200)
    whole = ds["prcp"].astype(float).where(ds["prcp"] > 0.2)
    values = np.round(whole.values * 10) / 10
    raw, attrs = packed(values, "i2", 0.1, 0.0, -1)
    base = ds.assign(prcp=(ds["prcp"].dims, values, ds["prcp"].attrs))
    ds = ds.assign(prcp=(ds["prcp"].dims, raw, {**ds["prcp"].attrs, **attrs}))
    ds = ds if chunks is None else ds.chunk(chunks)
    with pytest.warns(
        XdplWarning, match=r"1 variable is still packed: prcp \(scale_factor 0.1"
    ) as w:
        layout = recognise(ds, RAINY, obs="qobs")
    expected = read(base, recognise(base, RAINY, obs="qobs")).forcing["precipitation"]
    found = read(ds, layout).forcing["precipitation"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, equal_nan=True)
    scope = {"ds": ds, "xr": xr}
    exec(re.search(r"ds = .*\)", str(w[0].message)).group(), scope)
    decoded = scope["ds"]
    again = read(decoded, recognise(decoded, RAINY, obs="qobs")).forcing["precipitation"]
    np.testing.assert_allclose(again, expected, rtol=1e-5, equal_nan=True)


def test_unsigned_bytes_and_offsets():
    ds = basins()
    attrs = {"_Unsigned": "true", "scale_factor": 0.5, "add_offset": 10.0, "_FillValue": 255}
    raw = np.array([0, 100, 200, 255], "u1").view("i1")
    ds["cover"] = ("basin", raw, attrs)
    with pytest.warns(XdplWarning, match="cover"):
        layout = recognise(ds, RAINY, obs="qobs")
    np.testing.assert_array_equal(read(ds, layout).attribute[:, 2], [10, 60, 110, np.nan])


def test_what_is_scaled_already_is_refused_until_it_says_so():
    ds = basins()
    ds["prcp"].attrs["scale_factor"] = 0.1
    with pytest.raises(LayoutError, match="of 'prcp' hold scale_factor.*aren't whole") as raised:
        recognise(ds, RAINY, obs="qobs")
    scope = {"ds": ds}
    exec(str(raised.value).partition("say so: ")[2].rstrip("."), scope)
    layout = recognise(ds, RAINY, obs="qobs")
    expected = basins()["prcp"].values.T
    np.testing.assert_allclose(read(ds, layout).forcing["precipitation"], expected, rtol=1e-5)


def test_a_scale_that_is_no_number():
    ds = basins()
    ds["slope"].attrs["scale_factor"] = "tenths"
    with pytest.raises(LayoutError, match="scale_factor of 'slope' is 'tenths'") as raised:
        recognise(ds, RAINY, obs="qobs")
    exec(str(raised.value).partition("remove it: ")[2].rstrip("."), {"ds": ds})
    assert "slope" in recognise(ds, RAINY, obs="qobs").attribute_names


def test_a_trivial_scale_changes_nothing():
    ds = basins()
    expected = read(ds, recognise(ds, RAINY, obs="qobs"))
    for name in ("prcp", "slope"):
        ds[name].attrs.update(scale_factor=1.0, add_offset=0.0)
    block = read(ds, recognise(ds, RAINY, obs="qobs"))
    np.testing.assert_array_equal(block.attribute, expected.attribute)
    np.testing.assert_array_equal(block.forcing["precipitation"], expected.forcing["precipitation"])


def test_a_raster_as_rioxarray_opens_it(tmp_path):
    import rioxarray

    from xdpl.layout.packing import unpack

    values = np.array([[1, 2, 247], [247, 4, 8]], "u1")
    one = xr.DataArray(values, dims=("y", "x"), coords={"y": [2.0, 1.0], "x": [1.0, 2.0, 3.0]})
    one.rio.write_crs(6933).rio.write_nodata(247).rio.to_raster(tmp_path / "flow.tif")
    raw = rioxarray.open_rasterio(tmp_path / "flow.tif")
    masked = rioxarray.open_rasterio(tmp_path / "flow.tif", masked=True)
    np.testing.assert_array_equal(unpack(raw.values, raw.attrs, "flow"), masked.values)
