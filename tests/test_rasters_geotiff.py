"""GeoTIFFs hold what the maps hold, whole or not at all."""

from __future__ import annotations

import contextlib
import threading

import dask
import dask.array
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from raster_maps import grid

from xdpl.errors import RasterError, XdplWarning
from xdpl.rasters import to_geotiff
from xdpl.rasters._write import _check
from xdpl.spatial import find_grid, find_grid_mapping


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("lazy", [False, True])
def test_one_file_a_parameter_reads_back(tmp_path, driver, lazy):
    maps = grid()
    files = to_geotiff(maps.chunk(y=3, x=2) if lazy else maps, tmp_path / "a/maps", driver=driver)
    assert [f.name for f in files] == ["melt_factor.tif", "porosity.tif"]
    assert sorted(p.name for p in (tmp_path / "a/maps").iterdir()) == [f.name for f in files]
    with rasterio.open(files[0]) as raster:
        assert raster.crs.to_epsg() == 3035
        assert np.isnan(raster.nodata)
        assert raster.descriptions == ("melt_factor",)
        assert raster.units == ("mm K-1 day-1",)
        assert raster.bounds == (4.095e6, 2.765e6, 4.145e6, 2.805e6)
        tags = raster.tags()
        assert tags["model"] == "HBV" and tags["scores"] == "rmse: 0.04" and tags["seed"] == "0"
        assert "history" in tags and tags["AREA_OR_POINT"] == "Area"
        assert raster.tags(1)["long_name"] == "melt"
        assert raster.tags(1)["valid_range"] == "1.0, 8.0"
        structure = raster.tags(ns="IMAGE_STRUCTURE")
        assert structure["COMPRESSION"] == "DEFLATE"
        assert structure.get("LAYOUT") == ("COG" if driver == "COG" else None)
        np.testing.assert_array_equal(raster.read(1), maps["melt_factor"].values)
    again = rioxarray.open_rasterio(files[1], masked=True)
    np.testing.assert_array_equal(again[0].values, maps["porosity"].values)


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_one_banded_file(tmp_path, driver):
    maps = grid()
    (path,) = to_geotiff(maps, tmp_path / "all.tif", driver=driver)
    with rasterio.open(path) as raster:
        assert raster.descriptions == ("melt_factor", "porosity")
        assert raster.units == ("mm K-1 day-1", "1")
        np.testing.assert_array_equal(raster.read(2), maps["porosity"].values)
    (path,) = to_geotiff(maps, tmp_path / "folder", banded=True)
    assert path.name == "parameters.tif"
    (path,) = to_geotiff(maps["porosity"], tmp_path / "one.tiff")
    with rasterio.open(path) as raster:
        assert raster.descriptions == ("porosity",)
    (path,) = to_geotiff(maps["porosity"].rename(None), tmp_path)
    assert path.name == "map.tif"


def test_components_are_bands(tmp_path):
    maps = xr.concat([grid(), grid() + 1], dim="component")[["porosity"]]
    maps = maps.assign_coords(component=[1, 2])
    (path,) = to_geotiff(maps.transpose("x", "component", "y"), tmp_path / "c")
    with rasterio.open(path) as raster:
        assert raster.descriptions == ("porosity component 1", "porosity component 2")
        np.testing.assert_allclose(raster.read(2), raster.read(1) + 1)


def test_a_nodata_value_stands_for_nan(tmp_path):
    (path,) = to_geotiff(grid()["porosity"], tmp_path, nodata=-9999.0, compress="zstd")
    with rasterio.open(path) as raster:
        assert raster.nodata == -9999
        assert raster.read(1)[0, 1] == -9999
        assert np.ma.is_masked(raster.read(1, masked=True)[0, 1])
    (path,) = to_geotiff(grid()["porosity"], tmp_path, compress="none", driver="COG")
    with rasterio.open(path) as raster:
        assert "COMPRESSION" not in raster.tags(ns="IMAGE_STRUCTURE")


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "float64", "float16"])
def test_other_types_of_numbers(tmp_path, dtype):
    maps = grid()[["porosity"]].fillna(1).astype(dtype)
    (path,) = to_geotiff(maps, tmp_path)
    wanted = {"bool": "uint8", "float16": "float32"}.get(dtype, dtype)
    with rasterio.open(path) as raster:
        assert raster.dtypes == (wanted,)
        assert (raster.nodata is None) == (np.dtype(wanted).kind != "f")
        np.testing.assert_array_equal(raster.read(1), maps["porosity"].values)


def test_what_is_no_map_is_left_out_with_a_warning(tmp_path):
    maps = grid()
    time = np.array(["2000-01-01"], "M8[ns]")
    maps["series"] = maps["porosity"].expand_dims(time=time)
    maps["name"] = (("y", "x"), np.full((4, 5), "text"))
    maps["row"] = ("y", np.arange(4))
    maps["deep"] = maps["porosity"].expand_dims(a=2, b=2)
    with pytest.warns(XdplWarning, match=r"4 variables not written.*series \(depends on time\)"):
        files = to_geotiff(maps, tmp_path)
    assert len(files) == 2
    with pytest.raises(RasterError, match=r"nothing to write as a map: series.*isel\(time="):
        to_geotiff(maps["series"], tmp_path)
    with pytest.raises(RasterError, match="nothing to write: the Dataset has no variables"):
        to_geotiff(maps[[]], tmp_path)


def test_an_unknown_driver_is_an_error(tmp_path):
    with pytest.raises(RasterError, match="driver 'PNG' is unknown here. Use 'GTiff' or 'COG'"):
        to_geotiff(grid(), tmp_path, driver="PNG")


def test_an_unknown_compression_is_an_error(tmp_path):
    with pytest.raises(RasterError, match="compress 'jpeg' is unknown here. Use one of deflate"):
        to_geotiff(grid(), tmp_path, compress="jpeg")


@pytest.mark.parametrize(("nodata", "dtype"), [(-1, "uint8"), (0.5, "int32"), (1e300, "float32")])
def test_nodata_must_fit_the_type(tmp_path, nodata, dtype):
    maps = grid()[["porosity"]].fillna(0).astype(dtype)
    with pytest.raises(RasterError, match=f"is no {dtype} number, the type of porosity.tif"):
        to_geotiff(maps, tmp_path, nodata=nodata)
    (path,) = to_geotiff(maps, tmp_path, nodata=255)
    with rasterio.open(path) as raster:
        assert raster.nodata == 255


def test_several_variables_need_a_folder(tmp_path):
    with pytest.raises(RasterError, match=r"all.tif is one file, but there are 2 variables"):
        to_geotiff(grid(), tmp_path / "all.tif", banded=False)


def never() -> xr.Dataset:
    """Return maps that must not be computed."""

    def fail(block):
        raise AssertionError("computed before the checks")

    return grid().chunk(x=2).map(lambda v: v.copy(data=v.data.map_blocks(fail, dtype="f4")))


def test_files_are_not_replaced_unless_allowed(tmp_path):
    to_geotiff(grid()["porosity"], tmp_path)
    with pytest.raises(RasterError, match="porosity.tif in .* exists. Use overwrite=True"):
        to_geotiff(never(), tmp_path, overwrite=False)


def test_a_folder_that_cannot_be_written_is_refused_before_computing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RasterError, match="can't write to folder .*file.*Give a folder"):
        to_geotiff(never(), tmp_path / "file")

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(RasterError, match="can't write to folder .*Permission denied"):
        to_geotiff(never(), tmp_path / "sealed")


def test_a_failure_leaves_no_files(tmp_path):
    to_geotiff(grid()["porosity"], tmp_path)
    before = (tmp_path / "porosity.tif").read_bytes()
    with pytest.raises(RasterError, match="can't be computed: AssertionError: computed before"):
        to_geotiff(never(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["porosity.tif"]
    assert (tmp_path / "porosity.tif").read_bytes() == before


@contextlib.contextmanager
def room_for(size):
    """Files end at so many bytes, as they do where a disk is full."""
    resource = pytest.importorskip("resource")
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("driver", "size"), [("GTiff", 300), ("GTiff", 100_000), ("COG", 50_000)])
def test_a_full_disk_is_told_and_files_stay_as_they_were(tmp_path, driver, size, lazy):
    values = np.random.default_rng(0).random((200, 200)).astype("f4")
    x, y = np.arange(200) * 100.0, -np.arange(200) * 100.0
    maps = xr.Dataset({"a": (("y", "x"), values)}, coords={"y": y, "x": x}).rio.write_crs(3035)
    (path,) = to_geotiff(grid()["porosity"].rename("a"), tmp_path)
    before = path.read_bytes()
    given = maps.chunk(x=70) if lazy else maps
    with room_for(size), pytest.raises(RasterError, match="can't write maps to .*make room"):
        to_geotiff(given, tmp_path, driver=driver)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    to_geotiff(given, tmp_path, driver=driver)
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(raster.read(1), values)


def test_what_cannot_be_read_back_is_refused(tmp_path):
    written = np.array([[1.0, np.nan]], "f4")
    _check("a.tif", written, written.copy())
    _check("a.tif", np.array([3]), np.array([3]))
    with pytest.raises(RasterError, match="what was written is not what can be read back"):
        _check("a.tif", written, np.nan_to_num(written))


def test_a_large_raster_is_written_by_blocks_and_computed_once(tmp_path):
    lock, calls, largest = threading.Lock(), [], []

    def block(values):
        with lock:
            calls.append(1)
            largest.append(values.size)
        return values + 1

    x, y = np.arange(1400) * 100.0, -np.arange(1100) * 100.0
    base = dask.array.zeros((1100, 1400), chunks=(300, 500), dtype="f4").map_blocks(
        block, dtype="f4", meta=np.empty((0, 0), "f4")
    )
    maps = xr.Dataset(
        {"a": (("y", "x"), base), "b": (("y", "x"), base * 2)}, coords={"y": y, "x": x}
    ).rio.write_crs(3035)
    files = to_geotiff(maps, tmp_path)
    assert len(calls) == 12, "both maps share their blocks"
    assert max(largest) <= 150_000
    with rasterio.open(files[1]) as raster:
        assert raster.profile["tiled"] and raster.block_shapes == [(512, 512)]
        assert raster.interleaving.name == "band"
        assert raster.read(1).min() == raster.read(1).max() == 2


def test_a_distributed_client_gets_its_own_lock(monkeypatch):
    from types import SimpleNamespace

    from xdpl.rasters import _write

    def no_client():
        raise ValueError("No client")

    fake = SimpleNamespace(get_client=lambda: None, Lock=lambda name: name)
    monkeypatch.setitem(_write.sys.modules, "distributed", fake)
    assert _write._lock() == "xdpl-geotiff"
    fake.get_client = no_client
    assert hasattr(_write._lock(), "acquire")


def test_names_become_file_names(tmp_path):
    maps = grid()[["porosity"]].rename(porosity="a/b c")
    assert [p.name for p in to_geotiff(maps, tmp_path)] == ["a_b_c.tif"]


def test_axes_with_attributes_only(tmp_path):
    maps = grid().rename(y="row", x="column")
    assert find_grid(maps) == ("row", "column")
    assert find_grid(maps["porosity"]) == ("row", "column")
    assert len(to_geotiff(maps, tmp_path)) == 2
    assert find_grid_mapping(maps["porosity"]) == "spatial_ref"


def test_values_that_cant_be_computed_leave_the_old_files(tmp_path):
    maps = grid()
    to_geotiff(maps, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(values):
        raise RuntimeError("error during blosc decompression")

    lazy = maps.chunk(y=3)
    name = next(iter(lazy.data_vars))
    data = lazy[name].data.map_blocks(broken, dtype="f4", meta=np.ones((0, 0), "f4"))
    with pytest.raises(RasterError, match="can't be computed: RuntimeError: error during blosc"):
        to_geotiff(lazy.assign({name: lazy[name].copy(data=data)}), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_blocks_of_another_type_than_declared_are_written_as_declared_or_refused(tmp_path):
    maps = grid().chunk(y=3)
    name = next(iter(maps.data_vars))

    def made(kind):
        data = maps[name].data.map_blocks(
            lambda block: block.astype("f8"), dtype=kind, meta=np.ones((0, 0), kind)
        )
        return maps[[name]].assign({name: maps[name].copy(data=data)})

    (file,) = to_geotiff(made("f4"), tmp_path)  # dask's word for the type is not the block's
    with rasterio.open(file) as raster:
        assert raster.dtypes == ("float32",)
    wrong = made("i2")
    wrong[name].attrs.pop("_FillValue", None)
    with pytest.raises(RasterError, match=r"declared as int16, but .*float64.*astype\('float64'"):
        to_geotiff(wrong, tmp_path)


def test_names_that_become_one_file_are_refused(tmp_path):
    maps = grid()
    name = next(iter(maps.data_vars))
    for one, other in (("a/b", "a:b"), ("Snow", "snow")):
        both = xr.Dataset({one: maps[name], other: maps[name]}, maps.coords)
        with pytest.raises(RasterError, match=r"would become one file, .*ds.rename\("):
            to_geotiff(both, tmp_path)
        assert len(to_geotiff(both.rename({other: "other"}), tmp_path)) == 2  # the remedy
