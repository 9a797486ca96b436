"""Basins as polygons and rasters: areas are exact, none is lost, overlaps are told."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
import xvec  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from xdpl.errors import RasterError, XdplWarning
from xdpl.rasters import dress, rasterize, to_geopackage, to_geotiff
from xdpl.rasters.coverage import cover
from xdpl.rasters.quality import Quality
from xdpl.variables import Parameter

RING = Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(1, 1), (3, 1), (3, 3), (1, 3)]])
SLIVER = box(5.1, 0.1, 5.2, 0.2)
EAST = box(4, 2, 6, 4)
IDS = ["01", "02", "03"]


@pytest.fixture
def ds() -> xr.Dataset:
    maps = xr.Dataset(
        {
            "k": ("basin", [1.0, 2.0, 3.0]),
            "c": (("component", "basin"), [[1, np.nan, 3], [4, 5, 6]]),
        },
        {"basin": IDS, "component": [0, 1]},
    )
    declared = {"k": Parameter("mm day-1", (0, 9), long_name="rate"), "c": Parameter("1", (0, 9))}
    return dress(maps, maps, declared, {"model": "HBV", "seed": 1})


@pytest.fixture
def outlines() -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"gauge": IDS}, geometry=[RING, SLIVER, EAST], crs="EPSG:32632")


def test_holes_are_empty_and_slivers_are_kept(ds, outlines):
    maps = rasterize(ds, outlines, resolution=1)
    nan = np.nan
    np.testing.assert_array_equal(
        maps["k"],
        [
            [1, 1, 1, 1, 3, 3],
            [1, nan, nan, 1, 3, 3],
            [1, nan, nan, 1, nan, nan],
            [1, 1, 1, 1, nan, 2],
        ],
    )
    assert maps["c"].dims == ("component", "y", "x")
    assert np.isnan(maps["c"][0, 3, 5]) and maps["c"][1, 3, 5] == 5
    assert maps["y"].values.tolist() == [3.5, 2.5, 1.5, 0.5]
    assert maps["k"].rio.crs.to_epsg() == 32632
    attrs = maps["k"].attrs
    assert attrs["units"] == "mm day-1" and attrs["cell_methods"] == "area: mean"
    assert list(attrs)[-1] == "grid_mapping"
    assert maps["x"].attrs["standard_name"] == "projection_x_coordinate"
    assert maps.attrs["model"] == "HBV" and "basin" not in maps.coords


def test_cells_take_the_mean_by_area(ds):
    outlines = geopandas.GeoDataFrame(
        geometry=[box(0, 0, 0.25, 1), box(0.25, 0, 1, 1), box(2, 0, 2.5, 0.5)],
        index=IDS,
        crs="EPSG:32632",
    )
    maps = rasterize(ds, outlines, resolution=1)
    np.testing.assert_allclose(maps["k"], [[0.25 * 1 + 0.75 * 2, np.nan, 3]])
    np.testing.assert_allclose(maps["c"].values[:, 0, 0], [1, 0.25 * 4 + 0.75 * 5])
    coarse = rasterize(ds, outlines, resolution=(3, 1))
    np.testing.assert_allclose(coarse["k"], [[(0.25 * 1 + 0.75 * 2 + 0.25 * 3) / 1.25]])


def test_cells_take_the_flag_of_most_area(ds):
    outlines = geopandas.GeoDataFrame(
        geometry=[box(0, 0, 0.4, 1), box(0.4, 0, 0.7, 1), box(0.7, 0, 1.5, 1)],
        index=IDS,
        crs="EPSG:32632",
    )
    flag = Quality("", meanings=("fine", "far"), long_name="far or not")
    flags = xr.Dataset({"flag": ("basin", np.array([0, 1, 1], "i1"))}, {"basin": IDS})
    maps = rasterize(dress(flags, ds, {"flag": flag}), outlines, resolution=1)
    np.testing.assert_array_equal(maps["flag"], [[1, 1]])
    assert maps["flag"].attrs["cell_methods"] == "area: mode"
    assert maps["flag"].attrs["flag_values"].dtype == maps["flag"].dtype


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(-5, 5)] * 2, *[st.floats(0.001, 4)] * 2), min_size=1, max_size=5
    ),
    st.floats(0.05, 3),
)
def test_no_area_is_lost(corners, size):
    polygons = np.array([box(x, y, x + w, y + h) for x, y, w, h in corners])
    covered = cover(polygons, (size, size))
    area = np.bincount(covered.basin, covered.area, minlength=len(polygons)) * size**2
    np.testing.assert_allclose(area, shapely.area(polygons), rtol=1e-6)
    assert covered.without_area == 0
    assert np.isfinite(covered.mean(np.ones(len(polygons)))).any()


def test_large_polygons_are_cut_in_blocks(monkeypatch):
    monkeypatch.setattr("xdpl.rasters.coverage._BLOCK", 7)
    polygon = Point(0, 0).buffer(5)
    covered = cover(np.array([polygon]), (0.5, 0.5))
    assert covered.area.sum() * 0.25 == pytest.approx(polygon.area)
    assert covered.cell.size == np.unique(covered.cell).size


def test_overlaps_are_counted_and_averaged(ds, outlines):
    outlines = outlines.set_geometry([box(0, 0, 2, 2), box(0, 0, 1, 1), EAST])
    with pytest.warns(XdplWarning, match="1 pair of basins overlaps; a cell in both"):
        maps = rasterize(ds, outlines, resolution=1)
    assert maps["k"].sel(x=0.5, y=0.5) == 1.5 and maps["k"].sel(x=1.5, y=0.5) == 1


def test_bounds_and_another_crs(ds, outlines):
    with pytest.warns(XdplWarning, match="2 basins have no area within the bounds"):
        maps = rasterize(ds, outlines, resolution=1, bounds=(0, 0, 2.5, 2))
    assert maps.sizes == {"component": 2, "y": 2, "x": 3}
    geographic = outlines.set_crs("EPSG:4326", allow_override=True)
    maps = rasterize(ds, geographic, resolution=100_000, crs=6933)
    assert maps["k"].rio.crs.to_epsg() == 6933
    assert set(np.unique(maps["k"].values[np.isfinite(maps["k"].values)])) >= {1.0, 3.0}


@pytest.mark.parametrize("bounds", [(1, 0, 0, 1), (90, 90, 99, 99)])
def test_bounds_without_basins_are_refused(ds, outlines, bounds):
    with pytest.raises(RasterError, match="are empty. Give|no basin has an area within the bounds"):
        rasterize(ds, outlines, resolution=1, bounds=bounds)


@pytest.mark.parametrize("resolution", [0, -1, float("nan"), (1, 0)])
def test_a_resolution_that_is_no_size_is_refused(ds, outlines, resolution):
    with pytest.raises(RasterError, match="is no size. Give positive numbers"):
        rasterize(ds, outlines, resolution=resolution)


def test_a_resolution_is_needed(ds, outlines):
    with pytest.raises(RasterError, match="a raster needs a size of cells. Give resolution="):
        rasterize(ds, outlines)


@pytest.mark.parametrize("kind", ["index", "column", "series", "bytes", "parts"])
def test_outlines_are_found_by_id(ds, outlines, kind):
    if kind == "index":
        outlines = outlines.set_index("gauge")
    if kind == "series":
        outlines = outlines.set_index("gauge").geometry
    if kind == "bytes":
        ds = ds.assign_coords(basin=np.array(IDS, "S2"))
    if kind == "parts":
        outlines = outlines.iloc[[2, 1, 0, 2]].copy()
        outlines.iloc[0, 1] = box(4, 2, 5, 4)
        outlines.iloc[3, 1] = box(5, 2, 6, 4)
    with_k = rasterize(ds, outlines.sample(frac=1, random_state=0), resolution=1)["k"]
    assert with_k[0, 5] == 3 and with_k[3, 5] == 2 and with_k[0, 0] == 1


def test_an_own_geometry_coordinate_is_used(ds, outlines, tmp_path):
    own = ds.assign_coords(geometry=("basin", outlines.geometry.values))
    own["geometry"].attrs["crs"] = "EPSG:32632"
    expected = rasterize(ds, outlines, resolution=1)
    xr.testing.assert_equal(rasterize(own, resolution=1), expected)
    indexed = (
        ds.drop_vars("basin")
        .assign_coords(basin=outlines.geometry.values)
        .xvec.set_geom_indexes("basin", crs=32632)
    )
    np.testing.assert_array_equal(rasterize(indexed, resolution=1)["k"], expected["k"])
    table = geopandas.read_file(to_geopackage(indexed, tmp_path / "a.gpkg"))
    assert list(table.columns) == ["k", "c_0", "c_1", "geometry"]
    (path,) = to_geotiff(own[["k"]], tmp_path, resolution=1)
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(raster.read(1), expected["k"])


def test_basins_without_outline_are_counted(ds, outlines):
    outlines.loc[0, "geometry"] = None
    with pytest.warns(XdplWarning, match="2 of 3 basins have no outline and are left out"):
        maps = rasterize(ds, outlines.iloc[:2], resolution=0.1)
    assert float(maps["k"].max()) == 2


def test_invalid_outlines_are_mended(ds, outlines):
    outlines.loc[2, "geometry"] = Polygon([(4, 2), (6, 4), (6, 2), (4, 4)])  # crosses itself
    maps = rasterize(ds, outlines, resolution=1)
    assert (maps["k"].sel(x=[4.5, 5.5], y=3.5) == 3).all()


def test_polygons_in_pieces_and_points(ds, outlines):
    outlines.loc[2, "geometry"] = MultiPolygon([box(4, 3, 5, 4), box(5, 2, 6, 3)])
    outlines.loc[1, "geometry"] = Point(5.5, 0.5)
    with pytest.warns(XdplWarning, match="1 basin has no area"):
        maps = rasterize(ds, outlines, resolution=1)
    assert maps["k"].sel(x=4.5, y=3.5) == 3 and np.isnan(maps["k"].sel(x=5.5, y=3.5))


def test_a_geopackage_reads_back(ds, outlines, tmp_path):
    path = to_geopackage(ds, tmp_path / "new" / "basins.gpkg", outlines)
    path = to_geopackage(ds, path, outlines)  # replaced
    table = geopandas.read_file(path, layer="parameters")
    assert list(table.columns) == ["basin", "k", "c_0", "c_1", "geometry"]
    assert table["basin"].tolist() == IDS and table["k"].tolist() == [1, 2, 3]
    assert table.crs.to_epsg() == 32632 and len(table.geometry[0].interiors) == 1
    import pyogrio

    metadata = pyogrio.read_info(path, layer="parameters")["layer_metadata"]
    assert metadata["k_units"] == "mm day-1" and metadata["model"] == "HBV"


def test_basins_as_geotiff(ds, outlines, tmp_path):
    files = to_geotiff(ds.chunk(), tmp_path, geometries=outlines, resolution=0.5)
    with rasterio.open(files[0]) as raster:
        assert raster.shape == (8, 12) and raster.units == ("mm day-1",)
        assert raster.read(1)[7, 10] == 2


def test_one_cell_can_hold_all_basins(ds, outlines, tmp_path):
    maps = rasterize(ds, outlines, resolution=10)
    assert maps["k"].shape == (1, 1)
    for files in (
        to_geotiff(maps, tmp_path),
        to_geotiff(ds, tmp_path, geometries=outlines, resolution=10),
    ):
        with rasterio.open(files[0]) as raster:
            assert raster.bounds == (0, 0, 10, 10)


def test_a_failure_leaves_the_old_geopackage(ds, outlines, tmp_path, monkeypatch):
    path = to_geopackage(ds, tmp_path / "a.gpkg", outlines)
    before = path.read_bytes()

    def fail(*_, **__):
        raise RuntimeError("disk full")

    monkeypatch.setattr(geopandas.GeoDataFrame, "to_file", fail)
    with pytest.raises(RasterError, match="disk full. What was there before is as it was: make ro"):
        to_geopackage(ds, path, outlines)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_what_has_no_number_a_basin_is_left_out(ds, outlines, tmp_path):
    time = np.array(["2000-01-01", "2000-01-02"], "M8[ns]")
    ds["series"] = ds["k"].expand_dims(time=time)
    ds["name"] = ("basin", ["a", "b", "c"])
    with pytest.warns(XdplWarning, match="2 variables left out: series, name"):
        to_geopackage(ds, tmp_path / "a.gpkg", outlines)
    with pytest.raises(RasterError, match=r"no variable has one number a basin: series.*isel"):
        to_geopackage(ds[["series"]], tmp_path / "a.gpkg", outlines)
    maps = rasterize(ds[["series"]], outlines, resolution=1)
    assert maps["series"].dims == ("time", "y", "x")


def test_ids_must_have_something_in_common(ds, outlines):
    strange = outlines.assign(number=["a", "b", "c"], gauge=[7, 8, 9])
    with pytest.raises(RasterError, match="ids such as '01' are neither.*such as '0'.*set_index"):
        rasterize(ds, strange, resolution=1)
    right = strange.assign(names=IDS)  # the remedy
    assert rasterize(ds, right.set_index("names"), resolution=1)["k"][0, 0] == 1


@pytest.mark.parametrize("where", ["index", "column", "series"])
@pytest.mark.parametrize("ids", [[1, 2, 3], [1.0, 2.0, 3.0], ["001", "002", "003"]])
def test_ids_are_known_again_however_they_were_stored(ds, outlines, ids, where):
    outlines = outlines.assign(gauge=ids)
    if where != "column":
        outlines = outlines.set_index("gauge")
    shapes = outlines.geometry if where == "series" else outlines
    expected = rasterize(ds, outlines.set_axis(IDS), resolution=1)["k"]
    xr.testing.assert_equal(rasterize(ds, shapes, resolution=1)["k"], expected)
    turned = ds.assign_coords(basin=[1, 2, 3])
    texts = outlines.assign(gauge=IDS)
    xr.testing.assert_equal(rasterize(turned, texts, resolution=1)["k"], expected)


def test_ids_that_leading_zeros_keep_apart_stay_apart(ds, outlines):
    ds = ds.assign_coords(basin=["1", "01", "3"])
    outlines = outlines.assign(gauge=["01", "1", "3"]).set_index("gauge")
    assert rasterize(ds, outlines, resolution=1)["k"][0, 0] == 2


def test_numbers_of_rows_are_not_taken_for_ids_with_zeros(ds, outlines):
    with pytest.raises(RasterError, match="no outline belongs to a basin"):
        rasterize(ds, outlines.drop(columns="gauge"), resolution=1)


def test_outlines_are_needed(ds, outlines, tmp_path):
    with pytest.raises(RasterError, match="these basins have no outlines. Give geometries="):
        to_geopackage(ds, tmp_path / "a.gpkg")
    with pytest.raises(RasterError, match="geometries is a list. Give a geopandas.GeoDataFrame"):
        rasterize(ds, [RING], resolution=1)
    with pytest.raises(RasterError, match=r"no coordinate reference system .*set_crs"):
        rasterize(ds, outlines.set_crs(None, allow_override=True), resolution=1)


def test_basins_are_needed(outlines):
    grid = xr.Dataset({"a": (("y", "x"), np.ones((2, 2)))})
    with pytest.raises(RasterError, match="no basins found: the dimensions are y, x"):
        rasterize(grid, outlines, resolution=1)


def test_a_geopackage_that_cannot_be_written(ds, outlines, tmp_path):
    with pytest.raises(RasterError, match="'a.shp' is no GeoPackage. Give a path"):
        to_geopackage(ds, tmp_path / "a.shp", outlines)
    (tmp_path / "file").write_text("")
    with pytest.raises(RasterError, match="can't write to folder .*Give a folder in which"):
        to_geopackage(ds, tmp_path / "file" / "a.gpkg", outlines)


@pytest.mark.parametrize("name", ["K", "geometry_", "FID", "Basin"])
def test_columns_that_would_become_one_are_refused(ds, outlines, tmp_path, name):
    both = ds.assign({name.replace("y_", "y"): ds["k"]})
    with pytest.raises(RasterError, match=r"would become one column"):
        to_geopackage(both, tmp_path / "a.gpkg", outlines)
    assert list(tmp_path.iterdir()) == []
