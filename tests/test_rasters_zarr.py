"""Maps to zarr: strip by strip, and on from where an interruption left it."""

import errno
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from xdpl.errors import RasterError
from xdpl.rasters import to_zarr, zarr

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")


class Counting:
    """Counts the blocks that are computed."""

    def __init__(self):
        self.blocks = 0

    def __call__(self, block):
        self.blocks += 1
        return block * 2


def maps(counting=lambda block: block):
    values = np.arange(2 * 10 * 6, dtype="f4").reshape(2, 10, 6)
    ds = xr.Dataset(
        {"depth": (("component", "y", "x"), values, {"units": "mm"}),
         "slope": (("y", "x"), values[0], {"units": "1"})},
        coords={"y": np.arange(10.0), "x": np.arange(6.0)},
        attrs={"model": "Bucket"},
    )  # fmt: skip
    lazy = ds.chunk({"y": 3, "x": 4})
    data = lazy.depth.data.map_blocks(counting, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
    return lazy.assign(depth=(lazy.depth.dims, data, lazy.depth.attrs))


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = xr.open_zarr(path, consolidated=False).load()
    ds.attrs.pop(zarr.NOTED)
    return ds


def stopped(monkeypatch, after, problem):
    note, done = zarr.write_safely, []

    def noting(path, content):
        note(path, content)
        if path.name.startswith("strip"):
            done.append(path)
            if len(done) == after:
                raise problem

    monkeypatch.setattr(zarr, "write_safely", noting)


def test_what_is_written_is_what_was_there(tmp_path):
    ds = maps()
    assert to_zarr(ds, tmp_path / "maps.zarr") == tmp_path / "maps.zarr"
    xr.testing.assert_identical(read(tmp_path / "maps.zarr"), ds.compute())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps.zarr"]


def test_in_memory_along_one_dimension_and_with_time(tmp_path):
    whole = maps().compute()
    to_zarr(whole, tmp_path / "whole.zarr")
    xr.testing.assert_identical(read(tmp_path / "whole.zarr"), whole)
    time = xr.date_range("2000-01-01", periods=5)
    series = xr.Dataset(
        {"q": (("time", "basin"), np.random.default_rng(0).random((5, 7)))}, coords={"time": time}
    )
    lazy = series.chunk({"basin": 3})
    assert zarr._strip_dim(lazy) == "basin"
    to_zarr(lazy, tmp_path / "series.zarr")
    np.testing.assert_array_equal(read(tmp_path / "series.zarr").q, series.q)


def test_uneven_chunks_and_those_of_another_store(tmp_path):
    ds = maps()
    ds["slope"] = ds.slope.chunk({"y": (2, 5, 3), "x": 6})
    ds["depth"].encoding["chunks"] = (1, 7, 5)
    to_zarr(ds, tmp_path / "maps.zarr")
    xr.testing.assert_identical(read(tmp_path / "maps.zarr"), ds.compute())


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_write_goes_on(tmp_path, monkeypatch, after):
    counting = Counting()
    with monkeypatch.context() as patch:
        stopped(patch, after, SystemExit())
        with pytest.raises(SystemExit):
            to_zarr(maps(counting), tmp_path / "maps.zarr")
    assert counting.blocks == 2 * after  # of four strips of two chunks
    to_zarr(maps(counting), tmp_path / "maps.zarr")
    assert counting.blocks == 8 + 2  # one strip again: dask can't know that they are the same
    xr.testing.assert_identical(read(tmp_path / "maps.zarr"), maps(Counting()).compute())


def plus(number):
    """The same maps but for their values, lazy or in memory."""
    ds = maps()
    return ds.assign(depth=ds.depth + number)


@pytest.mark.parametrize("made", [plus, lambda number: plus(number).compute()])
def test_other_values_are_not_taken_for_those_that_are_there(tmp_path, monkeypatch, made):
    path = tmp_path / "maps.zarr"
    to_zarr(made(1), path)
    with pytest.raises(RasterError, match="is written already.*overwrite=True"):
        to_zarr(made(2), path)
    np.testing.assert_array_equal(read(path).depth, plus(1).depth)
    to_zarr(made(2), path, overwrite=True)
    np.testing.assert_array_equal(read(path).depth, plus(2).depth)


def test_the_same_lazy_maps_are_not_computed_again(tmp_path):
    counting = Counting()
    ds = maps(counting)
    to_zarr(ds, tmp_path / "maps.zarr")
    assert counting.blocks == 8
    to_zarr(ds, tmp_path / "maps.zarr")
    assert counting.blocks == 8


def test_other_lazy_values_do_not_go_on_where_others_stopped(tmp_path, monkeypatch):
    path = tmp_path / "maps.zarr"
    with monkeypatch.context() as patch:
        stopped(patch, 2, SystemExit())
        with pytest.raises(SystemExit):
            to_zarr(plus(1), path)
    with pytest.raises(RasterError, match="not finished. Give another path, or overwrite=True"):
        to_zarr(plus(2), path)
    to_zarr(plus(2), path, overwrite=True)
    np.testing.assert_array_equal(read(path).depth, plus(2).depth)


def test_a_store_removed_after_an_interruption_is_begun_anew(tmp_path, monkeypatch):
    path = tmp_path / "maps.zarr"
    with monkeypatch.context() as patch:
        stopped(patch, 2, SystemExit())
        with pytest.raises(SystemExit):
            to_zarr(plus(1), path)
    shutil.rmtree(path)
    to_zarr(plus(2), path)
    np.testing.assert_array_equal(read(path).depth, plus(2).depth)


def test_interrupted_in_removing_the_old_it_is_begun_anew(tmp_path, monkeypatch):
    path = tmp_path / "maps.zarr"
    to_zarr(plus(1), path)
    remove = shutil.rmtree

    def torn(folder, **keywords):
        if "removed" in Path(folder).name and Path(folder).exists():
            (Path(folder) / "zarr.json").unlink()
            raise SystemExit
        remove(folder, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", torn)
        with pytest.raises(SystemExit):
            to_zarr(plus(2), path, overwrite=True)
    to_zarr(plus(2), path, overwrite=True)
    np.testing.assert_array_equal(read(path).depth, plus(2).depth)
    assert [one.name for one in tmp_path.iterdir()] == ["maps.zarr"]


def test_what_others_wrote_is_never_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(RasterError, match="mine' exists and holds something else"):
        to_zarr(maps(), tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine").is_dir()


def test_other_maps_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopped(patch, 1, SystemExit())
        with pytest.raises(SystemExit):
            to_zarr(maps(), tmp_path / "maps.zarr")
    with pytest.raises(RasterError, match="holds other maps that are not finished. Give another"):
        to_zarr(maps().assign_attrs(model="HBV"), tmp_path / "maps.zarr")
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RasterError, match="notes' exists and holds something else"):
        to_zarr(maps(), tmp_path / "notes")


def test_a_full_disk_is_told_and_what_was_written_is_kept(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopped(patch, 2, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(RasterError, match="No space left.*kept"):
            to_zarr(maps(), tmp_path / "maps.zarr")
    to_zarr(maps(), tmp_path / "maps.zarr")
    xr.testing.assert_identical(read(tmp_path / "maps.zarr"), maps().compute())


def test_strips_go_along_what_most_variables_share(tmp_path):
    computed = []

    def count(block):
        computed.append(block.shape)
        return block

    sets = xr.DataArray(np.ones((2, 6), "f4"), dims=("component", "basin")).chunk(basin=3)
    one = xr.DataArray(np.ones(6, "f4"), dims="basin").chunk(basin=3)
    lazy = xr.Dataset({"k": sets, "n": one, "m": one + 1}).map(
        lambda v: v.copy(data=v.data.map_blocks(count, dtype="f4", meta=np.ones(0, "f4")))
    )
    to_zarr(lazy, tmp_path / "x.zarr")
    assert sorted(computed) == sorted([(2, 3), (3,), (3,)] * 2)  # each block once, none apart
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "x.zarr").load(), lazy.compute())


def test_a_multiindex_is_refused_with_what_to_write_instead(tmp_path):
    ds = xr.Dataset({"a": (("y", "x"), np.ones((2, 3)))}, {"y": [1, 2], "x": [1, 2, 3]})
    stacked = ds.stack(cell=("y", "x"))
    with pytest.raises(RasterError, match=r"can't hold the MultiIndex 'cell' of y, x.*unstack"):
        to_zarr(stacked, tmp_path / "a.zarr")
    assert to_zarr(stacked.reset_index("cell"), tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("kind", ["U8", "S8", object])
def test_identifiers_stay_text(tmp_path, kind):
    names = ["01013500", "01022500", "0Ä"] if kind != "S8" else ["01013500", "01022500", "7"]
    ids = np.array([n.encode() for n in names] if kind == "S8" else names, dtype=kind)
    maps = xr.Dataset({"recession": ("basin", [0.1, 0.2, 0.3])}, coords={"basin": ids})
    maps["basin"].encoding["dtype"] = "S1"  # as the file that they were read from
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        path = maps.dpl.to_zarr(tmp_path / "maps.zarr")
    assert xr.open_zarr(path, consolidated=False)["basin"].values.tolist() == names
