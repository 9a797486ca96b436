"""Maps to zarr: strip by strip, and on from where an interruption left it."""

import errno
import os
import shutil
import sys
import threading
import types
import warnings

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from xdpl.errors import RasterError, XdplWarning
from xdpl.rasters import to_zarr, zarr
from xdpl.rasters.stores import check_codecs

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
    note = zarr._note

    def noting(place, done):
        note(place, done)
        if done == after:
            raise problem

    monkeypatch.setattr(zarr, "_note", noting)


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
    assert not path.exists()  # what is not whole does not bear its name
    shutil.rmtree(tmp_path / ".maps.zarr.xdpl-unfinished")
    to_zarr(plus(2), path)
    np.testing.assert_array_equal(read(path).depth, plus(2).depth)


@pytest.mark.parametrize("after", [0, 1])
def test_interrupted_in_the_swap_nothing_is_lost(tmp_path, monkeypatch, after):
    path = tmp_path / "maps.zarr"
    to_zarr(plus(1), path)
    rename, done = os.rename, []

    def torn(*paths):
        if len(done) == after:
            raise SystemExit
        done.append(rename(*paths))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", torn)
        with pytest.raises(SystemExit):
            to_zarr(plus(2), path, overwrite=True)
        patch.undo()
    if after == 0:
        np.testing.assert_array_equal(read(path).depth, plus(1).depth)
    to_zarr(plus(2), path, overwrite=True)
    np.testing.assert_array_equal(read(path).depth, plus(2).depth)
    left = [one.name for one in tmp_path.iterdir() if not one.name.startswith(".xdpl-draft")]
    assert left == ["maps.zarr"]


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


def in_files(folder, engine):
    """Lazy maps that are read from a file or store."""
    source = maps().compute()
    if engine == "zarr":
        source.chunk(y=3, x=4).to_zarr(folder / "in", consolidated=False, mode="w")
        return xr.open_zarr(folder / "in", consolidated=False)
    source.to_netcdf(folder / "in", engine=engine)
    return xr.open_dataset(folder / "in", engine=engine, chunks={"y": 3})


def test_a_store_is_written_anew_where_its_source_was_corrected_in_place(tmp_path):
    import zarr as zarr_package

    to_zarr(in_files(tmp_path, "zarr") + 1, tmp_path / "maps")
    group = zarr_package.open_group(tmp_path / "in", mode="r+")
    for changed in (5.0, 6.0):
        folder = (tmp_path / "in").stat()
        group["depth"][1, 9, 5] = changed  # one value of one chunk
        os.utime(tmp_path / "in", ns=(folder.st_atime_ns, folder.st_mtime_ns))
        again = xr.open_zarr(tmp_path / "in", consolidated=False) + 1
        with pytest.warns(XdplWarning, match="has changed since: it is written anew"):
            to_zarr(again, tmp_path / "maps")
        np.testing.assert_array_equal(read(tmp_path / "maps").depth, again.depth)
        assert read(tmp_path / "maps").depth[1, 9, 5] == changed + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_zarr(again, tmp_path / "maps")


@pytest.mark.parametrize("change", [lambda v: v[::-1].copy(), lambda v: np.roll(v, 1), np.sort])
def test_arrays_in_memory_are_compared_in_their_order(tmp_path, change):
    def named(values):  # as a user may name the tasks
        lazy = dask.array.from_array(values, chunks=10, name="mine")
        return xr.Dataset({"a": ("x", lazy.map_blocks(np.negative, name="negative"))})

    values = np.random.default_rng(0).random(50)
    to_zarr(named(values), tmp_path / "maps")
    with pytest.warns(XdplWarning, match="has changed since"):
        to_zarr(named(change(values)), tmp_path / "maps")
    np.testing.assert_array_equal(read(tmp_path / "maps").a, -change(values))


def test_what_no_source_is_known_of_is_compared_by_a_strip(tmp_path):
    held = np.ones(4)
    delayed = dask.delayed(lambda: held.copy(), name="mine", pure=True)
    lazy = dask.array.from_delayed(delayed(dask_key_name="mine"), (4,), float, name="here")
    ds = xr.Dataset({"a": ("x", lazy)})
    to_zarr(ds, tmp_path / "maps")
    to_zarr(ds, tmp_path / "maps")
    held[:] = 2
    with pytest.warns(XdplWarning, match="has changed since"):
        to_zarr(ds, tmp_path / "maps")
    np.testing.assert_array_equal(read(tmp_path / "maps").a, 2)


def test_an_unfinished_store_is_begun_anew_where_its_source_was_corrected(tmp_path, monkeypatch):
    import zarr as zarr_package

    with monkeypatch.context() as patch:
        stopped(patch, 2, SystemExit())
        with pytest.raises(SystemExit):
            to_zarr(in_files(tmp_path, "zarr") + 1, tmp_path / "maps")
    root = (tmp_path / "in").stat()
    zarr_package.open_group(tmp_path / "in", mode="r+")["depth"][0, 0, 0] = 77
    os.utime(tmp_path / "in", ns=(root.st_atime_ns, root.st_mtime_ns))
    again = xr.open_zarr(tmp_path / "in", consolidated=False) + 1
    with pytest.warns(XdplWarning, match="has changed since"):
        to_zarr(again, tmp_path / "maps")
    np.testing.assert_array_equal(read(tmp_path / "maps").depth, again.depth)


@pytest.mark.parametrize("how", ["same", "link", "home", "relative", "parent", "below"])
def test_values_that_are_read_from_the_store_are_not_written_over_it(tmp_path, monkeypatch, how):
    path = tmp_path / "deep" / "maps"
    to_zarr(maps(), path)
    lazy = xr.open_zarr(path, consolidated=False) * 2
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "deep")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    target = {
        "same": path, "link": tmp_path / "link" / "maps", "home": "~/deep/maps",
        "relative": "../deep/maps", "parent": tmp_path / "deep", "below": path / "depth",
    }[how]  # fmt: skip
    before = sorted(one.relative_to(path) for one in path.rglob("*"))
    for overwrite in (True, False):
        with pytest.raises(RasterError, match=r"are read from there.*load them first: ds.load\(\)"):
            to_zarr(lazy, target, overwrite=overwrite)
    assert sorted(one.relative_to(path) for one in path.rglob("*")) == before
    if how == "same":  # the remedy
        to_zarr(lazy.load(), path, overwrite=True)
        np.testing.assert_array_equal(read(path).depth, maps().depth * 2)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "scipy"])
def test_values_in_a_file_within_the_store_are_not_lost(tmp_path, engine):
    to_zarr(maps(), tmp_path / "maps")
    lazy = in_files(tmp_path / "maps", engine)
    with pytest.raises(RasterError, match="are read from there"):
        to_zarr(lazy, tmp_path / "maps", overwrite=True)
    assert (tmp_path / "maps" / "in").exists()


def test_variables_that_are_read_late_are_read_before_the_store_is_replaced(tmp_path):
    to_zarr(maps(), tmp_path / "maps")
    late = xr.open_dataset(
        tmp_path / "maps", engine="zarr", chunks=None, consolidated=False, cache=False
    )
    with pytest.raises(RasterError, match="are read from there"):
        to_zarr(late, tmp_path / "maps", overwrite=True)


def test_a_link_at_the_path_stays_and_the_folder_behind_it_is_replaced(tmp_path):
    to_zarr(plus(1), tmp_path / "real")
    (tmp_path / "maps").symlink_to(tmp_path / "real")
    to_zarr(plus(2), tmp_path / "maps", overwrite=True)
    assert (tmp_path / "maps").is_symlink()
    np.testing.assert_array_equal(read(tmp_path / "real").depth, plus(2).depth)


def test_urls_and_stores(tmp_path, monkeypatch):
    from zarr.storage import LocalStore, MemoryStore, StorePath

    monkeypatch.chdir(tmp_path)
    url = "memory://bucket/maps.zarr"
    store = MemoryStore()
    nested = StorePath(MemoryStore(), "deep/maps")
    for target in (url, store, nested, LocalStore(tmp_path / "object")):
        assert to_zarr(plus(1), target) is target
        assert to_zarr(plus(1), target) is target
        with pytest.raises(RasterError, match="is written already"):
            to_zarr(plus(2), target)
        to_zarr(plus(2), target, overwrite=True)
    for target, opened in (
        (url, xr.open_zarr(url, consolidated=False)),
        (store, xr.open_zarr(store, consolidated=False)),
        (nested, xr.open_zarr(nested.store, group="deep/maps", consolidated=False)),
    ):
        with pytest.raises(RasterError, match="are read from there"):
            to_zarr(opened * 2, target, overwrite=True)
        np.testing.assert_array_equal(opened.depth, plus(2).depth)
    assert os.listdir(tmp_path) == ["object"]


def test_a_store_elsewhere_goes_on_where_it_was_interrupted(monkeypatch):
    from zarr.storage import MemoryStore

    counting, store = Counting(), MemoryStore()
    with monkeypatch.context() as patch:
        stopped(patch, 2, SystemExit())
        with pytest.raises(SystemExit):
            to_zarr(maps(counting), store)
    same = Counting()
    to_zarr(maps(same), store)
    assert same.blocks == 4  # of eight
    assert zarr.UNFINISHED not in xr.open_zarr(store, consolidated=False).attrs


def test_a_bucket_and_a_missing_package_are_refused(monkeypatch):
    with pytest.raises(RasterError, match=r"is a bucket.*Write memory://maps.zarr/NAME.zarr"):
        to_zarr(maps(), "memory://maps.zarr")
    assert to_zarr(maps(), "memory://maps.zarr/NAME.zarr")  # the remedy
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(RasterError, match=r'needs zarr 3.*pip install "xdpl\[io\]"'):
        to_zarr(maps(), "a.zarr")


def test_the_store_of_a_stranger_runs_no_code(tmp_path):
    import json
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "code-was-run"), "w"))

    root = tmp_path / ".maps.xdpl-unfinished"
    lazy = maps()
    described = {
        "zarr_format": 2, "shape": [2, 10, 6], "chunks": [2, 10, 6], "dtype": "|i1", "order": "C",
        "compressor": {"id": "pickle", "protocol": 4}, "fill_value": 0, "filters": None,
    }  # fmt: skip
    noted = f"{zarr._identity(zarr._prepared(lazy))} other {'0' * 64}"
    (root / "depth").mkdir(parents=True)
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    (root / ".zattrs").write_text(json.dumps({zarr.NOTED: noted, zarr.UNFINISHED: 1}))
    (root / "depth" / ".zarray").write_text(json.dumps(described))
    (root / "depth" / "0.0.0").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(RasterError, match="can't be read.*pickle.*Give another path|packed with"):
        to_zarr(lazy, tmp_path / "maps")
    assert not (tmp_path / "code-was-run").exists()


@pytest.mark.parametrize("version", [2, 3])
def test_codecs_that_may_run_code_are_refused_before_reading(version):
    class Codec:
        codec_id = "pickle"

        def to_dict(self):
            return {"name": "numcodecs.pickle"}

    metadata = types.SimpleNamespace(
        zarr_format=version, filters=None, compressor=Codec(), codecs=[Codec()]
    )
    array = types.SimpleNamespace(metadata=metadata)
    group = types.SimpleNamespace(arrays=lambda: [("a", array)], store="a store")
    with pytest.raises(RasterError, match="'a' of the store .*is packed with .*pickle', which may"):
        check_codecs(group)


def test_a_draft_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / ".maps.xdpl-unfinished").symlink_to(tmp_path / "other")
    with pytest.raises(RasterError, match="was made by another user or is a link. Remove it"):
        to_zarr(maps(), tmp_path / "maps")
    assert os.listdir(tmp_path / "other") == []


def test_the_root_of_a_disk_is_refused():
    with pytest.raises(RasterError, match="is the root of a disk. Give a folder in it"):
        to_zarr(maps(), "/")


def test_values_that_cant_be_computed_are_told_with_where_they_come_from(tmp_path):
    lazy = in_files(tmp_path, "zarr")
    chunk = next(one for one in (tmp_path / "in" / "depth").rglob("*") if one.name == "1")
    for file in [chunk] if chunk.is_file() else [f for f in chunk.rglob("*") if f.is_file()]:
        file.write_bytes(b"damaged")
    with pytest.raises(RasterError, match=r"can't be computed or written.*Check what .*depth'"):
        to_zarr(lazy, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_threads_that_write_one_store_take_turns(tmp_path):
    results, ds = [], maps()

    def write():
        try:
            results.append(to_zarr(ds, tmp_path / "maps"))
        except Exception as problem:  # noqa: BLE001
            results.append(problem)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [tmp_path / "maps"] * 3 and os.listdir(tmp_path) == ["maps"]


def test_a_store_that_an_earlier_version_left_unfinished_is_not_taken_for_whole(tmp_path):
    to_zarr(maps(), tmp_path / "maps")
    (tmp_path / ".maps.progress").mkdir()
    with pytest.warns(XdplWarning, match="has changed since"):
        to_zarr(maps(), tmp_path / "maps")
    assert os.listdir(tmp_path) == ["maps"]
