"""Where rasters lie: axes, CRS and longitudes, and what is refused since it would lie."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from pyproj import CRS
from raster_maps import degrees, grid

from xdpl.errors import RasterError, XdplWarning
from xdpl.rasters import to_geotiff
from xdpl.spatial import crs_of, find_grid, find_grid_mapping

POLE = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def rotated() -> xr.Dataset:
    values = np.arange(6.0).reshape(2, 3)
    axes = {"rlat": [1.0, 0.5], "rlon": [3.0, 3.5, 4.0]}
    return xr.Dataset({"a": (("rlat", "rlon"), values)}, axes)


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def obeyed(told, fill: dict[str, str] | None = None, **scope) -> xr.Dataset:
    """Run the assignment to ds that a message prints, with what it leaves open filled in."""
    text = str(told.value).partition("ds = ")[2]
    ends = [match.end() for match in re.finditer(r"\)", text) if _parses(text[: match.end()])]
    code = text[: ends[0]]
    for gap, value in (fill or {}).items():
        assert gap in code
        code = code.replace(gap, value)
    return eval(code, scope)


def written(ds: xr.Dataset, folder: Path) -> rasterio.DatasetReader:
    (path,) = to_geotiff(ds, folder)
    with rasterio.open(path) as raster:
        return raster


@pytest.mark.parametrize("order", [("y", "x"), ("x", "y")])
@pytest.mark.parametrize("up", [1, -1])
@pytest.mark.parametrize("left", [1, -1])
@pytest.mark.parametrize("lazy", [False, True])
def test_any_order_of_axes_gives_the_same_file(tmp_path, order, up, left, lazy):
    maps = grid()
    other = maps.transpose(*order).isel(y=slice(None, None, up), x=slice(None, None, left))
    (path,) = to_geotiff(other["porosity"].chunk() if lazy else other["porosity"], tmp_path)
    with rasterio.open(path) as raster:
        assert raster.transform.e < 0 < raster.transform.a
        assert raster.bounds.top == 2.805e6
        np.testing.assert_array_equal(raster.read(1), maps["porosity"].values)


@pytest.mark.parametrize("lazy", [False, True])
def test_longitudes_to_360_are_rolled(tmp_path, lazy):
    lon = np.arange(0.0, 360, 30)
    ds = degrees([10.0, 0, -10], lon)
    ds["a"] = ds["a"] * 0 + ds["lon"]
    ds = ds.assign_coords(code=("lon", np.arange(12)))
    (path,) = to_geotiff(ds.chunk(lon=5) if lazy else ds, tmp_path)
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 4326
        assert raster.bounds.left == -165 and raster.bounds.right == 195
        expected = np.where(raster.read(1)[0] > 180, raster.read(1)[0] - 360, raster.read(1)[0])
        np.testing.assert_array_equal(expected, np.arange(-150, 181, 30))


def test_regions_of_0_to_360_longitudes(tmp_path):
    (path,) = to_geotiff(degrees([1.0, 0], [250.0, 251, 252]), tmp_path)
    with rasterio.open(path) as raster:
        assert raster.bounds.left == -110.5
    (path,) = to_geotiff(degrees([1.0, 0], [178.0, 179, 180, 181, 182]), tmp_path)
    with rasterio.open(path) as raster:  # one piece across the 180th meridian
        assert raster.bounds.left == 177.5 and raster.bounds.right == 182.5


def test_an_ease_grid_is_placed_by_its_projection(smap, tmp_path):
    (path,) = to_geotiff(smap[["clay"]], tmp_path)
    with rasterio.open(path) as raster:
        assert raster.crs == rasterio.crs.CRS.from_epsg(6933)
        assert raster.transform.a == pytest.approx(144128.9, abs=1)
        x, y = raster.xy(3, 5)
        assert (x, y) == pytest.approx((float(smap.x[5]), float(smap.y[3])), abs=1)


def test_an_ease_grid_on_its_latitudes_is_refused(smap, tmp_path):
    clay = smap[["clay"]].swap_dims(y="lat", x="lon")
    with pytest.raises(RasterError, match=r"is 'WGS 84 / NSIDC EASE-Grid 2.0 Global'.*here y, x"):
        to_geotiff(clay, tmp_path)
    bare = clay.copy()
    bare["lat"].attrs, bare["lon"].attrs = {}, {}
    with pytest.raises(RasterError, match="are latitude and longitude, but the CRS is"):
        to_geotiff(bare, tmp_path)
    with pytest.raises(RasterError, match=r"axis 'lat' is irregular: steps.*EPSG:6933"):
        to_geotiff(clay.drop_vars(["x", "y", "spatial_ref"]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_axes_that_contradict_the_crs_are_refused(tmp_path):
    with pytest.raises(RasterError, match="beyond 90 and 360, but the CRS is 'WGS 84', in degrees"):
        to_geotiff(grid().drop_vars("spatial_ref").rio.write_crs(4326), tmp_path)
    lat = degrees([1.0, 0], [0.0, 1]).assign_coords(crs=((), 0, POLE))
    with pytest.raises(
        RasterError, match="are latitude and longitude, but .* rotated pole"
    ) as told:
        to_geotiff(lat, tmp_path)
    assert written(obeyed(told, ds=lat), tmp_path).crs.to_epsg() == 4326
    turned = rotated().rio.write_crs(4326)
    with pytest.raises(RasterError, match="'rlat' is one of a rotated pole, but the CRS is 'WGS"):
        to_geotiff(turned, tmp_path)


def test_axes_in_other_units_are_refused_with_the_conversion(tmp_path):
    metres = grid()[["porosity"]]
    short = {dim: (dim, metres[dim].values / 1000, {"units": "km"}) for dim in ("y", "x")}
    maps = metres.assign_coords(short)
    with pytest.raises(
        RasterError, match="axis 'y' is in km, but the CRS is in metres. Con"
    ) as told:
        to_geotiff(maps, tmp_path)
    bounds = written(obeyed(told, ds=maps), tmp_path).bounds
    assert bounds == pytest.approx(written(metres, tmp_path).bounds)
    height = 35786023.0
    goes = {"grid_mapping_name": "geostationary", "perspective_point_height": height}
    goes |= {
        "sweep_angle_axis": "x",
        "longitude_of_projection_origin": -75.0,
        "latitude_of_projection_origin": 0.0,
    }
    for units in ({"units": "rad"}, {}):  # some files say nothing
        axes = {"y": ("y", [0.1, 0.09], units), "x": ("x", [-0.02, -0.01, 0.0], units)}
        scan = xr.Dataset({"a": (("y", "x"), np.ones((2, 3)))}, axes).assign_coords(
            goes=((), 0, {**goes, "semi_major_axis": 6378137.0, "inverse_flattening": 298.2572221})
        )
        with pytest.raises(RasterError, match="axis 'y' is in radians, but the CRS is in") as told:
            to_geotiff(scan, tmp_path)
        bounds = written(obeyed(told, ds=scan), tmp_path).bounds
        assert bounds == pytest.approx(tuple(np.array([-0.025, 0.085, 0.005, 0.105]) * height))
    turned = metres.assign_coords(y=("y", metres.y.values, {"units": "rad"}))
    with pytest.raises(RasterError, match="are in radians, but the CRS is in metres and is no geo"):
        to_geotiff(turned, tmp_path)


def test_gaps_in_an_axis_are_refused(tmp_path):
    with pytest.raises(RasterError, match=r"axis 'x' is irregular.*reindex"):
        to_geotiff(grid().isel(x=[0, 1, 3, 4]), tmp_path)


def test_rounded_axes_are_regular(tmp_path):
    lat, lon = (60 - np.arange(1200) / 120).astype("f4"), (170 + np.arange(999) / 120).astype("f4")
    (path,) = to_geotiff(degrees(lat, lon), tmp_path)
    with rasterio.open(path) as raster:
        assert raster.res == pytest.approx((1 / 120, 1 / 120), rel=1e-4)


def test_the_remedy_for_a_missing_crs_fits_the_axes(tmp_path):
    metres = grid().drop_vars("spatial_ref")
    with pytest.raises(RasterError, match="they are no degrees. State the CRS of their") as told:
        to_geotiff(metres, tmp_path)
    assert "4326" not in str(told.value)
    right = obeyed(told, {"EPSG:...": "EPSG:3035"}, ds=metres)
    assert written(right[["porosity"]], tmp_path).crs.to_epsg() == 3035
    plain = degrees([1.0, 0], [0.0, 1]).rename(lat="y", lon="x").drop_attrs(deep=True)
    with pytest.raises(RasterError, match='if they are latitude and longitude, "EPSG:4326"'):
        to_geotiff(plain, tmp_path)
    assert written(plain.rio.write_crs("EPSG:4326"), tmp_path).crs.to_epsg() == 4326
    with pytest.raises(RasterError, match="of a rotated pole. State where") as told:
        to_geotiff(rotated(), tmp_path)
    assert "4326" not in str(told.value)
    numbers = {'_latitude": ...': '_latitude": 39.25', '_longitude": ...': '_longitude": -162.0'}
    with pytest.warns(XdplWarning, match="GeoTIFF can't hold the CRS"):
        found = written(obeyed(told, numbers, ds=rotated()), tmp_path)
    assert "39.25" in found.crs.to_wkt() and "-162" in found.crs.to_wkt()


def test_a_grid_mapping_that_says_nothing_is_named(tmp_path):
    maps = grid()
    maps["spatial_ref"].attrs = {"crs_wkt": "nonsense"}
    with pytest.raises(RasterError, match="mapping 'spatial_ref' describes none that PROJ"):
        to_geotiff(maps, tmp_path)


@pytest.mark.parametrize("kind", ["S", "U"])
def test_axes_of_text_are_refused_with_the_remedy(tmp_path, kind):
    numbers = degrees([1.5, 0.5], [0.5, 1.5])
    for dim in ("lat", "lon"):
        text = numbers.copy()
        text[dim] = (dim, text[dim].values.astype(f"{kind}4"), text[dim].attrs)
        with pytest.raises(RasterError, match=f"axis '{dim}' is text, not numbers") as told:
            to_geotiff(text, tmp_path)
        scope = {"ds": text}
        exec(str(told.value).split("Convert it: ")[1].rstrip("."), scope)
        assert written(scope["ds"], tmp_path).bounds == (0, 0, 2, 2)


def test_curvilinear_grids_are_told_to_go_to_netcdf(tmp_path):
    lat, lon = np.meshgrid([2.0, 1.0], [5.0, 6.0, 7.0], indexing="ij")
    maps = xr.Dataset(
        {"a": (("nj", "ni"), lat)},
        {"lat": (("nj", "ni"), lat), "lon": (("nj", "ni"), lon)},
    )
    with pytest.raises(RasterError, match="curvilinear: its cells lie at lat and lon") as told:
        to_geotiff(maps, tmp_path)
    code = re.search(r"ds\.to_netcdf\(.*?\)", str(told.value)).group(0)
    exec(code.replace("maps.nc", str(tmp_path / "maps.nc")), {"ds": maps})
    xr.testing.assert_equal(xr.open_dataset(tmp_path / "maps.nc"), maps)


def test_latitude_and_longitude_need_no_metadata(tmp_path):
    bare = degrees([1.0, 0], [0.0, 1])
    bare["lat"].attrs, bare["lon"].attrs = {}, {}
    (path,) = to_geotiff(bare, tmp_path)
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 4326
    rows = bare.assign_coords(lat=[300.0, 200.0])  # numbers of something, not degrees
    with pytest.raises(RasterError, match="no coordinate reference system"):
        to_geotiff(rows, tmp_path)


@pytest.mark.parametrize("place", ["variable", "encoding", "attrs", "wkt", "cf"])
def test_the_crs_is_found(tmp_path, place):
    maps = grid()
    if place == "variable":
        maps = maps.reset_coords("spatial_ref")
    if place == "encoding":
        maps["porosity"].encoding["grid_mapping"] = maps["porosity"].attrs.pop("grid_mapping")
    if place == "attrs":
        maps = maps.drop_vars("spatial_ref")
        maps.attrs["crs"] = "EPSG:3035"
    if place == "wkt":
        maps["spatial_ref"].attrs = {"spatial_ref": "nonsense", "crs_wkt": CRS(3035).to_wkt()}
    if place == "cf":
        attrs = dict(maps["spatial_ref"].attrs)
        maps["spatial_ref"].attrs = {
            k: v for k, v in attrs.items() if k not in ("crs_wkt", "spatial_ref")
        }
    (path,) = to_geotiff(maps[["porosity"]] if place != "variable" else maps, tmp_path / "m.tif")
    with rasterio.open(path) as raster:
        assert raster.crs.to_dict()["proj"] == "laea"


def test_finding_nothing():
    bare = xr.Dataset({"a": ("n", [1.0])})
    assert find_grid_mapping(bare) is None and crs_of(bare) is None and find_grid(bare) is None
    assert crs_of(xr.DataArray([1.0], dims="n")) is None
    nonsense = bare.assign_coords(spatial_ref=((), 0, {"crs_wkt": "?", "grid_mapping_name": "?"}))
    assert crs_of(nonsense) is None


def test_axes_of_one_cell_need_a_size(tmp_path):
    maps = grid().isel(x=[1])
    with pytest.raises(RasterError, match="axis 'x' has one cell.*resolution"):
        to_geotiff(maps, tmp_path)
    (path, _) = to_geotiff(maps, tmp_path, resolution=1e4)
    with rasterio.open(path) as raster:
        assert raster.bounds == (4.105e6, 2.765e6, 4.115e6, 2.805e6)
    point = grid().isel(x=[1], y=[2])
    (path, _) = to_geotiff(point, tmp_path, resolution=(1e4, 2e4))
    with rasterio.open(path) as raster:
        assert raster.transform.e == -2e4
    point["spatial_ref"].attrs["GeoTransform"] = "0 10000.0 0 0 0 -10000.0"
    (path, _) = to_geotiff(point, tmp_path)
    with rasterio.open(path) as raster:
        assert raster.bounds == (4.105e6, 2.775e6, 4.115e6, 2.785e6)


def test_a_crs_that_proj4_holds_in_part_warns_of_nothing(tmp_path, recwarn):
    to_geotiff(grid()[["porosity"]].rio.write_crs("EPSG:6933"), tmp_path)
    assert not recwarn.list


def test_a_dataset_without_grid_is_refused(tmp_path):
    ds = xr.Dataset({"a": ("basin", [1.0, 2])}, {"basin": ["1", "2"]})
    with pytest.raises(RasterError, match="the only dimension is 'basin'.*geometries="):
        to_geotiff(ds, tmp_path)


def test_a_dimension_without_coordinate_is_refused(tmp_path):
    with pytest.raises(RasterError, match="dimension 'x' has no coordinate.*assign_coords"):
        to_geotiff(grid().drop_vars("x"), tmp_path)


def test_an_axis_that_is_not_finite_is_refused(tmp_path):
    maps = grid()
    maps = maps.assign_coords(x=np.array([np.nan, 1, 2, 3, 4]))
    with pytest.raises(RasterError, match="axis 'x' is empty or not finite"):
        to_geotiff(maps, tmp_path)
