"""The loader: what batches need is read ahead, once, in bounded memory, and named if it fails."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from toy import Bucket, grid

from xdpl.batches import Cells, Loader, reading, schedule
from xdpl.batches.cache import UnitCache
from xdpl.batches.chunks import reads_per_chunk
from xdpl.batches.reading import in_order
from xdpl.errors import DataError, XdplWarning
from xdpl.layout import recognise
from xdpl.losses import NSE

WINDOW, WARMUP = 100, 150
PLAN = {"seed": 0, "window": WINDOW, "batch_size": 40, "by_block": True}


def cells_of(ds, layout=None, **keywords):
    layout = layout or recognise(ds, Bucket(), obs="qobs")
    period = slice(365, ds.sizes["time"])
    return Cells(ds, layout, period=period, losses={"streamflow": NSE()}, **keywords)


@pytest.fixture(scope="module")
def ds():
    return grid(ny=20, nx=10, days=560)


@pytest.fixture(scope="module")
def chunked(ds):
    return ds.chunk({"time": -1, "y": 2, "x": 10})


def watched(ds, monkeypatch, calls):
    """Note the variables of each read, as sets."""
    original = reading.read_once

    def noting(block, layout, **parts):
        calls.append((parts, dict(block.sizes)))
        return original(block, layout, **parts)

    monkeypatch.setattr(reading, "read_once", noting)


def equal(one, other):
    for kind in ("forcing", "observed"):
        for name, values in getattr(one, kind).items():
            same = getattr(other, kind)[name]
            assert torch.equal(values.nan_to_num(nan=-9), same.nan_to_num(nan=-9))
    assert list(one.label) == list(other.label) and one.start == other.start


@pytest.mark.parametrize("spans", [False, True])
@pytest.mark.parametrize("budget", [0, 200_000])
def test_batches_read_ahead_are_those_in_memory(ds, chunked, budget, spans, monkeypatch):
    if spans:  # blocks of a few cells, but of more bytes than a unit should have
        monkeypatch.setattr(
            "xdpl.batches.cells.spans_of",
            lambda *_: [slice(0, 300), slice(300, 500), slice(500, 560)],
        )
        chunked = chunked.chunk({"time": 100})
    gappy = chunked.assign(prcp=chunked.prcp.where(chunked.time.dt.day % 11 != 5))
    lazy, whole = cells_of(gappy, budget=budget), cells_of(gappy)
    assert whole.in_memory and not lazy.in_memory
    tasks = list(schedule(lazy, epoch=0, **PLAN))
    loader = Loader(lazy, WARMUP)
    batches = list(loader(tasks))
    assert len(batches) == len(tasks) >= 10
    for batch, task in zip(batches, tasks, strict=True):
        equal(batch, whole.take(*task, WARMUP))
    assert loader.waited > 0
    loader.close()


def test_a_chunk_is_read_once_an_epoch_and_not_again_where_it_fits(chunked):
    cells = cells_of(chunked, budget=10**7)
    cells._whole = None  # as if it were larger than memory, with room for a cache
    loader = Loader(cells, WARMUP)
    for epoch in range(2):
        for _ in loader(schedule(cells, epoch=epoch, **PLAN)):
            pass
        assert loader.units_read == len(cells.groups) == 10


def test_memory_is_bounded_by_the_budget(chunked):
    cells = cells_of(chunked, budget=0)
    unit = cells.source.size((0, 0))
    cells.budget = 6 * unit
    loader = Loader(cells, WARMUP)
    held = []
    for _ in loader(schedule(cells, epoch=0, **PLAN)):
        held.append(loader._reader.bytes)
    assert 3 * unit <= max(held) <= 6 * unit
    assert loader.units_read == 10  # each chunk still once


def test_forcings_are_not_read_where_nothing_was_observed_or_described(chunked, monkeypatch):
    ds = chunked.assign(
        qobs=chunked.qobs.where(chunked.y != chunked.y[0]).where(chunked.y != chunked.y[1]),
        elevation=chunked.elevation.where(chunked.y < chunked.y[-2]).compute(),
    )
    ds["elevation"] = ds.elevation.where(ds.y.isin(ds.y[:16]))
    ds["forest"] = ds.forest.where(ds.y.isin(ds.y[:16]))
    calls = []
    watched(ds, monkeypatch, calls)
    cells = cells_of(ds)
    forcings = [parts for parts, _ in calls if parts["forcing"]]
    observed = [parts for parts, _ in calls if parts["observed"] and not parts["forcing"]]
    assert len(forcings) == 7  # ten chunks, one without observations, two without attributes
    assert len(observed) == 8
    assert len(cells) == 7 * 20


def test_a_store_larger_than_memory_is_not_read_for_the_survey(chunked, monkeypatch):
    calls = []
    watched(chunked, monkeypatch, calls)
    cells = cells_of(chunked, budget=0)
    assert not any(parts["forcing"] for parts, _ in calls)
    assert cells.cycle is None
    whole = cells_of(chunked)
    assert list(cells.label) == list(whole.label)
    torch.testing.assert_close(cells.scale, whole.scale)
    torch.testing.assert_close(cells.count, whole.count)
    assert torch.equal(cells.attribute, whole.attribute)


def test_cells_with_gaps_are_left_out_of_batches_and_known(chunked):
    hole = (chunked.y == chunked.y[3]) & (chunked.x == chunked.x[4])
    ds = chunked.assign(prcp=chunked.prcp.where(~hole | (chunked.time < chunked.time[380])))
    cells = cells_of(ds, budget=0)
    assert len(cells) == 200
    left_out = []
    for batch in Loader(cells, WARMUP)(schedule(cells, epoch=0, **PLAN)):
        assert all(torch.isfinite(v).all() for v in batch.forcing.values())
        assert not cells.incomplete.any()  # the thread that cut it writes nothing
        left_out += [*batch.left_out]
    cells.count_left_out(replace(batch, left_out=np.array(left_out)))
    y, x = float(chunked.y[3]), float(chunked.x[4])
    assert cells.label[cells.incomplete.numpy()] == [f"{y} {x}"]


class Fails:
    """A lazily read array that fails, as that of a store with a corrupt chunk does."""

    def __init__(self, values, problem, times):
        self.values, self.problem, self.left = values, problem, times
        self.lock = threading.Lock()

    def __call__(self, block, block_info=None):
        where = block_info[0]["array-location"]
        with self.lock:
            if where[1][0] <= 4 < where[1][1] and self.left > 0:
                self.left -= 1
                raise self.problem
        return block


def broken(chunked, problem, times=10**9):
    fails = Fails(None, problem, times)
    data = chunked.prcp.data.map_blocks(fails, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
    prcp = xr.Variable(chunked.prcp.dims, data, chunked.prcp.attrs, {"source": "store.zarr"})
    return chunked.assign(prcp=prcp)


def an_epoch(ds, layout, budget):
    cells = cells_of(ds, layout, budget=budget)
    return list(Loader(cells, WARMUP)(schedule(cells, epoch=0, **PLAN)))


@pytest.mark.parametrize("budget", [None, 0])
def test_a_corrupt_chunk_is_named(chunked, budget):
    layout = recognise(chunked, Bucket(), obs="qobs")
    ds = broken(chunked, RuntimeError("error during blosc decompression: -1"))
    with pytest.raises(DataError, match=r"'prcp' of 'store.zarr' can't be read at y 4 to 5.*blosc"):
        an_epoch(ds, layout, budget)


def test_a_corrupt_chunk_is_named_where_samples_are_taken(chunked):
    ds = broken(chunked, RuntimeError("error during blosc decompression: -1"))
    with pytest.raises(DataError, match=r"'prcp' of 'store.zarr' can't be read: .*blosc"):
        recognise(ds, Bucket(), obs="qobs")


def test_a_read_that_fails_for_a_moment_is_tried_again_and_told(chunked, monkeypatch):
    monkeypatch.setattr(reading, "PAUSE", 0.01)
    layout = recognise(chunked, Bucket(), obs="qobs")
    ds = broken(chunked, OSError("connection reset"), times=2)
    with pytest.warns(XdplWarning, match="y 4 to 5.* could only be read at attempt 3"):
        cells = cells_of(ds, layout)
    torch.testing.assert_close(cells.scale, cells_of(chunked).scale)


def test_in_order_keeps_order_and_reads_a_few_ahead():
    started = []

    def slow(item):
        started.append(item)
        return item

    results = in_order(slow, range(50), ahead=3)
    assert next(results) == 0
    assert max(started) <= 4
    assert list(results) == list(range(1, 50))


def test_units_needed_next_are_kept_and_others_go_first():
    class Now:
        def start(self, unit):
            class Done:
                def result(self):
                    return {"forcing": {"a": torch.full((2, 1), unit[0])}}

                def cancel(self):
                    return None

            return Done()

    cache = UnitCache(Now(), lambda unit: 8, budget=24)
    cache.ask([(0, 0), (1, 0)])
    assert cache.ahead == 2 and cache.bytes == 16
    assert cache.room_for([(2, 0)]) and not cache.room_for([(2, 0), (3, 0)])
    cache.use((0, 0))
    cache.give_back([(0, 0)])
    cache.ask([(2, 0), (3, 0)])  # pushes out the one that nobody waits for
    assert set(cache._units) == {(1, 0), (2, 0), (3, 0)}
    assert cache.read == 4


def test_misaligned_chunks_are_named_with_the_call_to_make(ds, tmp_path):
    layout = recognise(ds, Bucket(), obs="qobs")
    encoding = {name: {"chunks": (560, 10, 10)} for name in ("prcp", "pet", "qobs")}
    ds.to_zarr(tmp_path / "a.zarr", encoding=encoding)
    cut = xr.open_zarr(tmp_path / "a.zarr", chunks=None).chunk({"time": -1, "y": 3, "x": 10})
    with pytest.warns(
        XdplWarning,
        match=r"read 4 times in one pass.*\(time: 560, y: 10, x: 10\)"
        r".*ds = ds.chunk\(\{\"time\": -1, \"y\": 20, \"x\": 10\}\)",
    ):
        one = cells_of(cut)
    fine = xr.open_zarr(tmp_path / "a.zarr")
    assert (
        reads_per_chunk(
            fine,
            layout,
            [{"y": slice(0, 10), "x": slice(0, 10)}, {"y": slice(10, 20), "x": slice(0, 10)}],
        )
        == 1.0
    )
    equal(one.take(np.arange(5), 400, 500, 365), cells_of(fine).take(np.arange(5), 400, 500, 365))


def test_stores_of_maps_are_named_with_the_call_to_make(ds, tmp_path, monkeypatch):
    monkeypatch.setattr("xdpl.batches.chunks.LARGEST", 100_000)
    encoding = {name: {"chunks": (20, 20, 10)} for name in ("prcp", "pet", "qobs")}
    ds.to_zarr(tmp_path / "a.zarr", encoding=encoding)
    maps = xr.open_zarr(tmp_path / "a.zarr", chunks=None).chunk({"time": -1, "y": 5, "x": 10})
    with pytest.warns(
        XdplWarning,
        match=r"read 4 times in one pass.*ds.chunk\(\{\"time\": -1, "
        r"\"y\": 3, \"x\": 3\}\).drop_encoding\(\).to_zarr\('rechunked.zarr'\)",
    ):
        one = cells_of(maps)
    equal(one.take(np.arange(5), 400, 500, 365), cells_of(ds).take(np.arange(5), 400, 500, 365))


def test_tiny_chunks_are_named(monkeypatch):
    tiny = grid(ny=2, nx=51, days=370).chunk({"time": -1, "y": 1, "x": 1})
    monkeypatch.setattr("xdpl.batches.blocks.MERGED", 1)
    with pytest.warns(XdplWarning, match=r"hold 1 cells each, and 102 blocks.*ds.chunk"):
        cells_of(tiny)


def test_a_process_without_cells_gets_empty_series(chunked):
    cells = cells_of(chunked, budget=0)
    nothing = np.array([], np.intp)
    batch = cells.cut(np.array([1, 2]), 400, 450, 30, {}, own=nothing)
    assert batch.forcing.keys() == cells.take(np.array([1]), 400, 450, 30).forcing.keys()
    assert {v.shape for v in batch.forcing.values()} == {(80, 0)}
    assert batch.observed["streamflow"].shape == (50, 0)
    assert len(batch.label) == 2 and len(batch.own) == 0


def test_cells_taken_from_many_blocks_are_read_block_by_block(chunked, monkeypatch):
    cells, whole = cells_of(chunked, budget=0), cells_of(chunked)
    here, most = set(), []
    read, cut = type(cells.source).read, Cells.cut

    def reading(self, unit):
        here.add(unit)
        return read(self, unit)

    def cutting(self, *rest):
        most.append(len({block for block, _ in rest[4]}))
        return cut(self, *rest)

    monkeypatch.setattr(type(cells.source), "read", reading)
    monkeypatch.setattr(Cells, "cut", cutting)
    index = np.array([150, 3, 77, 199, 4, 0])
    batch = cells.take(index, 400, 450, WARMUP)
    assert most == [1] * len({block for block, _ in here}) and len(most) > 2
    expected = whole.take(index, 400, 450, WARMUP)
    equal(batch, expected)
    assert torch.equal(batch.index, expected.index) and torch.equal(batch.count, expected.count)
    assert torch.equal(batch.attribute, expected.attribute)
    torch.testing.assert_close(batch.scale, expected.scale, rtol=0, atol=0)
