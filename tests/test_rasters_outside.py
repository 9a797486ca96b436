"""Maps in the hands of other programs: clipped, reprojected, read back by GDAL and rioxarray."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from hypothesis import given, settings
from pyproj import CRS
from raster_maps import degrees, grid
from shapely.geometry import box

from xdpl.errors import RasterError, XdplWarning
from xdpl.rasters import dress, to_geotiff
from xdpl.rasters.quality import Quality
from xdpl.variables import Parameter

POROSITY = {"porosity": Parameter("1", bounds=(0, 1))}
FLAG = {"extrapolation": Quality("", meanings=("trained_cell", "like_training"))}


def on_degrees(lon: np.ndarray, lazy: bool = False) -> xr.Dataset:
    """Maps over latitude and longitude without metadata: each value tells where its cell lies."""
    lat = np.arange(58.0, 42, -4)
    values = lat[:, None] + (np.asarray(lon)[None, :] % 360) / 1000
    maps = xr.Dataset(
        {"porosity": (("lat", "lon"), values), "extrapolation": (("lat", "lon"), values > 100)},
        {"lat": lat, "lon": lon},
    )
    maps["extrapolation"] = maps["extrapolation"].astype("i1")
    return dress(maps.chunk() if lazy else maps, maps, POROSITY | FLAG)


LONGITUDES = [np.arange(-20.0, 40, 5), np.arange(0.0, 360, 5)]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("lon", LONGITUDES, ids=lambda lon: f"to {lon[-1]:g}")
def test_latitude_and_longitude_maps_are_clipped_and_reprojected(lon, lazy):
    maps = on_degrees(lon, lazy)
    assert maps.rio.crs == CRS.from_epsg(4326)
    clipped = maps.rio.clip([box(4, 46, 16, 56)], crs=4326)
    assert list(clipped.lon) == [5, 10, 15] and list(clipped.lat) == [54, 50, 46]
    np.testing.assert_allclose(clipped.porosity.sel(lat=50), 50 + clipped.lon / 1000, rtol=1e-12)
    there = maps.rio.reproject("EPSG:3035", resolution=100_000)
    x, y = 4321000.0, 3210000.0  # 52 N, 10 E
    near = float(there.porosity.sel(x=x, y=y, method="nearest"))
    assert near == pytest.approx(52, abs=3)
    assert there.rio.crs == CRS.from_epsg(3035)


def test_the_documented_roll_keeps_all_of_a_country_across_the_prime_meridian():
    page = Path(__file__).parents[1] / "docs/how-to/export.md"
    (line,) = re.findall(r"^maps = (maps.assign_coords.longitude=.*)$", page.read_text(), re.M)
    maps = on_degrees(LONGITUDES[1]).rename(lon="longitude")
    rolled = eval(line, {"maps": maps})
    clipped = rolled.rio.clip([box(-9, 46, 6, 56)], crs=4326)
    assert clipped.longitude.values.tolist() == [-5, 0, 5]
    assert clipped.porosity.sel(lat=50, longitude=-5) == pytest.approx(50 + 0.355)
    assert clipped.porosity.sel(lat=50, longitude=5) == pytest.approx(50 + 0.005)


def test_a_clip_doesn_t_turn_the_world_outside_into_trained_cells(tmp_path):
    maps = on_degrees(np.arange(0.0, 60, 5))
    clipped = maps.rio.clip([box(4, 46, 16, 56).union(box(28, 45, 32, 51))], crs=4326)
    outside = np.isnan(clipped.porosity)
    assert outside.any() and (clipped.extrapolation.values[outside] == -1).all()
    assert (clipped.extrapolation.values[~outside] == 0).all()
    files = to_geotiff(clipped, tmp_path)
    opened = rioxarray.open_rasterio(files[1], masked=True)
    np.testing.assert_array_equal(np.isnan(opened[0]), outside)


def test_flags_and_numbers_in_one_file_share_its_nodata(tmp_path):
    maps = on_degrees(np.arange(0.0, 60, 5))
    maps["extrapolation"][0, 0] = -1
    (path,) = to_geotiff(maps, tmp_path / "one.tif", nodata=-9999)
    with rasterio.open(path) as raster:
        assert raster.nodata == -9999 and raster.read(2)[0, 0] == -9999
        assert raster.read(2, masked=True).mask.sum() == 1


def test_a_fill_value_left_in_the_attributes_is_no_value(tmp_path):
    maps = degrees([2.0, 1], [5.0, 6]).astype("f8")
    maps["a"].attrs["_FillValue"] = 3.0
    (path,) = to_geotiff(maps, tmp_path)
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(raster.read(1), [[0, 1], [2, np.nan]])
    (path,) = to_geotiff(maps.astype("u1", keep_attrs=True), tmp_path)
    with rasterio.open(path) as raster:
        assert raster.nodata == 3 and raster.dtypes == ("uint8",)


SINUSOIDAL = "+proj=sinu +R=6371007.181 +units=m"
OBLIQUE = "+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=18"
WRF = "+proj=lcc +lat_1=30 +lat_2=60 +lat_0=40 +lon_0=-97 +R=6370000"


def placed(crs, size: float = 1.0) -> xr.Dataset:
    maps = degrees([size, 0.0], [0.0, size, 2 * size]).rename(lat="y", lon="x")
    maps = maps.drop_attrs(deep=True)
    return maps.rio.write_crs(CRS.from_user_input(crs))


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize(
    ("crs", "size", "beside"),
    [(SINUSOIDAL, 1e4, False), (WRF, 1e4, False), (OBLIQUE, 1, True), ("+proj=eqearth", 1e4, True)],
    ids=["sinusoidal", "wrf", "rotated", "equal earth"],
)
@pytest.mark.filterwarnings("ignore:GeoTIFF can't hold")
def test_any_crs_is_read_back(tmp_path, driver, crs, size, beside):
    (path,) = to_geotiff(placed(crs, size), tmp_path / "map.tif", driver=driver)
    names = ["map.tif", "map.tif.aux.xml"] if beside else ["map.tif"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    with rasterio.open(path) as raster:
        found = CRS.from_wkt(raster.crs.to_wkt(version="WKT2_2019"))
    assert found.equals(CRS.from_user_input(crs), ignore_axis_order=True)


def test_a_crs_beside_the_file_is_told_once_and_goes_with_the_file(tmp_path):
    maps = placed(OBLIQUE)
    maps["b"] = maps["a"] + 1
    with pytest.warns(
        XdplWarning, match=r"for each of 2 files it stands in .* a.tif.aux.xml"
    ) as told:
        to_geotiff(maps, tmp_path)
    assert len(told) == 1
    for name in ("a.tif.ovr", "a.tif.msk"):
        (tmp_path / name).write_bytes(b"of an older raster")
    (path,) = to_geotiff(degrees([1.0, 0], [0.0, 1]), tmp_path)  # another a.tif, with a plain CRS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif", "b.tif.aux.xml"]
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 4326


@pytest.mark.parametrize(
    ("found", "how"),
    [(None, "no CRS is read back"), ("+sweep=y", "what is read back misplaces it by .* cells")],
)
def test_a_crs_that_is_not_read_back_is_refused(tmp_path, monkeypatch, found, how):
    goes = "+proj=geos +h=35785831 +lon_0=-75"
    crs = found and rasterio.crs.CRS.from_wkt(CRS(f"{goes} {found}").to_wkt())
    maps = placed(f"{goes} +sweep=x", 1.8e6)
    with monkeypatch.context() as patch:
        patch.setattr(rasterio.io.DatasetReader, "crs", crs)
        with pytest.raises(RasterError, match=f"can't be kept in the GeoTIFF .*{how}") as told:
            to_geotiff(maps, tmp_path / "maps")
    assert list((tmp_path / "maps").iterdir()) == []
    write, reproject = re.findall(r"maps\.\S+?\(.*?\)", str(told.value))
    exec(write.replace("maps.nc", str(tmp_path / "m.nc")), {"maps": maps})
    with xr.open_dataset(tmp_path / "m.nc", decode_coords="all") as again:
        assert again.rio.crs == maps.rio.crs
    assert to_geotiff(eval(reproject, {"maps": maps}), tmp_path)


def test_lazily_interpolated_maps_are_written(tmp_path):
    """Their blocks are of double precision, whatever type dask announces."""
    rng = np.random.default_rng(0)
    maps = grid(12, 15)[["porosity"]]
    maps["porosity"] = maps.porosity.copy(data=rng.random((12, 15), np.float32))
    y, x = np.linspace(2.8e6, 2.69e6, 34), np.linspace(4.1e6, 4.24e6, 43)
    lazy = maps.chunk(y=5).interp(y=y, x=x)
    assert lazy.porosity[:2, :2].data.compute().dtype == np.float64
    (path,) = to_geotiff(lazy, tmp_path)
    with rasterio.open(path) as raster:
        assert raster.dtypes == ("float32",)
        np.testing.assert_allclose(raster.read(1), maps.interp(y=y, x=x).porosity, rtol=1e-6)


ATTRIBUTES = st.one_of(
    *(st.none(), st.integers(-9, 9), st.floats(), st.text(max_size=5), st.binary(max_size=5)),
    st.lists(st.floats(), max_size=7).map(np.array),
    st.dictionaries(st.text(max_size=2), st.none()),
)
KEYS = ["crs_wkt", "spatial_ref", "GeoTransform", "grid_mapping_name", "x", "epsg"]


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from(KEYS), ATTRIBUTES),
    st.sampled_from([3035, None]),
)
def test_damaged_grid_mappings_stop_no_map(attrs, code):
    source = grid()
    known = {} if code is None else {"epsg_code": code}
    source["spatial_ref"].attrs = {**attrs, **known}
    one = source[["porosity"]].isel(y=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XdplWarning)
        maps = dress(one, source.isel(y=[0]), POROSITY)
    found = maps.rio.crs
    assert (found is not None) or code is None
    bytes(maps.to_netcdf())
