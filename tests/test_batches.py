"""Batches: cells by label, windows with a spin-up, the same however the data lie in memory."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import Bucket, grid

from xdpl.batches import Cells, annual_cycle, blocks_of, schedule, seasons, spin_up_index
from xdpl.errors import DataError, OutOfMemory, XdplWarning
from xdpl.layout import recognise
from xdpl.losses import NSE
from xdpl.training.cuda_graph import tensors_of


def cells_of(ds, **keywords):
    layout = recognise(ds, Bucket(), obs="qobs")
    period = keywords.pop("period", slice(365, ds.sizes["time"]))
    return Cells(ds, layout, period=period, losses={"streamflow": NSE()}, **keywords)


@pytest.fixture(scope="module")
def ds():
    ds = grid(days=700)
    return ds.assign(qobs=ds.qobs.where(ds.elevation > 200))


@given(
    start=st.integers(0, 900),
    length=st.integers(1, 400),
    warmup=st.integers(0, 800),
    year=st.integers(1, 365),
)
def test_spin_up_takes_the_time_before_or_repeats_the_first_year(start, length, warmup, year):
    places = spin_up_index(start, start + length, warmup, year)
    assert len(places) == warmup + length
    assert list(places[warmup:]) == list(range(start, start + length))
    real = np.arange(start - warmup, start)
    assert list(places[:warmup][real >= 0]) == list(real[real >= 0])
    repeated = places[:warmup][real < 0]
    assert ((repeated >= 0) & (repeated < year)).all()
    # in phase: a whole number of years away
    assert ((repeated - real[real < 0]) % year == 0).all()


def test_batches_bear_the_data_of_their_labels(ds):
    cells = cells_of(ds)
    assert list(cells.label) == sorted(cells.label)
    batch = cells.take(np.array([3, 0, 7]), 400, 500, 365)
    assert batch.forcing["precipitation"].shape == (465, 3)
    assert batch.observed["streamflow"].shape == (100, 3)
    for column, label in enumerate(batch.label):
        y, x = map(float, label.split())
        cell = ds.sel(y=y, x=x)
        # the border rounds to five significant digits
        np.testing.assert_allclose(
            batch.forcing["precipitation"][:, column], cell.prcp.values[35:500], rtol=4e-6
        )
        np.testing.assert_allclose(
            batch.observed["streamflow"][:, column], cell.qobs.values[400:500], rtol=4e-6
        )
        assert batch.attribute[column, 0] == float(cell.elevation)


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.chunk({"y": 2, "x": 4, "time": -1}),
        lambda ds: ds.chunk({"time": 50}),
        lambda ds: ds.transpose("x", "time", "y").isel(y=slice(None, None, -1)),
    ],
)
def test_lie_of_the_data_and_memory_change_nothing(ds, change, budget):
    expected, cells = cells_of(ds), cells_of(change(ds), budget=budget, cycle=True)
    assert list(cells.label) == list(expected.label)
    index = np.array([11, 2, 5, 23])
    one, other = (c.take(index, 380, 480, 400) for c in (expected, cells))
    torch.testing.assert_close(one.scale, other.scale)
    for kind in ("forcing", "observed"):
        for name, values in getattr(one, kind).items():
            assert torch.equal(
                values.nan_to_num(nan=-9), getattr(other, kind)[name].nan_to_num(nan=-9)
            )
    assert torch.equal(one.attribute, other.attribute)
    assert torch.equal(one.cycle, other.cycle)


@pytest.mark.parametrize("by_block", [False, True])
@pytest.mark.parametrize("batch_size", [4, 100])
def test_an_epoch_shows_every_cell_once_a_window(ds, by_block, batch_size):
    cells = cells_of(ds.chunk({"y": 1, "time": -1}))
    plan = list(
        schedule(cells, epoch=0, seed=1, batch_size=batch_size, window=110, by_block=by_block)
    )
    seen = np.concatenate([index for index, _, _ in plan])
    assert (np.bincount(seen, minlength=len(cells)) == 3).all()
    assert max(len(index) for index, _, _ in plan) <= batch_size
    for _, start, stop in plan:
        assert start >= 365 and stop - start == 110 and stop <= 700


def test_epochs_differ_and_repeat(ds):
    cells = cells_of(ds)

    def plan(epoch, seed):
        batches = schedule(cells, epoch=epoch, seed=seed, batch_size=9, window=100, by_block=False)
        return [(list(index), start) for index, start, _ in batches]

    assert plan(0, 0) == plan(0, 0)
    assert plan(0, 0) != plan(1, 0)
    assert plan(0, 0) != plan(0, 1)


def test_windows_are_as_long_as_the_period_at_most(ds):
    cells = cells_of(ds, period=slice(600, 640))
    ((_, start, stop),) = schedule(
        cells, epoch=0, seed=0, batch_size=99, window=365, by_block=False
    )
    assert (start, stop) == (600, 640)


def test_left_out_cells_are_counted(ds):
    cells = cells_of(ds)
    silent = int((ds.elevation <= 200).sum())
    assert len(cells) == ds.elevation.size - silent
    assert cells.findings.count("no observation") == silent
    with pytest.warns(XdplWarning, match=f"{silent} of {ds.elevation.size}"):
        cells.findings.warn()


def test_cells_not_wanted_are_not_counted(ds):
    cells = cells_of(ds, wanted=ds.elevation > 200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cells.findings.warn()


def test_no_cell_left(ds):
    with pytest.raises(DataError, match="no cell is left to train on"):
        cells_of(ds, wanted=ds.elevation < -1)


def test_blocks_follow_the_chunks(ds):
    layout = recognise(ds, Bucket(), obs="qobs")
    assert blocks_of(ds, layout) == [{"y": slice(0, 5), "x": slice(0, 6)}]
    assert len(blocks_of(ds.chunk({"y": 5, "x": 3}), layout)) == 2
    # neighbours of a few cells are read together
    assert len(blocks_of(ds.chunk({"y": 2, "x": 2}), layout)) == 3
    # and a chunk that would take too much memory in parts
    cell = 700 * 3 * 4
    halves = blocks_of(ds.chunk({"y": 5, "x": 3}), layout, largest=9 * cell)
    assert len(halves) == 4 and halves[0] == {"y": slice(0, 3), "x": slice(0, 3)}


def test_the_annual_cycle_does_not_depend_on_the_first_day(ds):
    series = np.cos(2 * np.pi * ds["time"].dt.dayofyear.values / 365.25)[:, None]
    cycles = []
    for window in (slice(0, 366), slice(200, 566)):
        part = ds.isel(time=window)
        forcing = {"a": torch.tensor(series[window])}
        cycles.append(annual_cycle(forcing, seasons(part["time"])))
    assert cycles[0].shape == (52, 1, 1)
    torch.testing.assert_close(cycles[0], cycles[1], atol=0.02, rtol=0)
    # a short record still gives every week a value
    short = annual_cycle({"a": torch.tensor(series[:30])}, seasons(ds["time"][:30]))
    assert torch.isfinite(short).all()


def test_all_that_batches_are_cut_from_goes_to_the_device_or_nothing(ds, monkeypatch):
    cells = cells_of(ds, cycle=True)
    cells.past = torch.zeros(len(cells), 2)
    there = cells.to(torch.device("meta"))
    assert {t.device.type for t in tensors_of(there.cut(np.arange(3), 10, 40, 5, {}))} == {"meta"}
    assert cells.attribute.device.type == "cpu" and cells.to(torch.device("cpu")) is cells
    monkeypatch.setattr("xdpl.batches.cells._room", lambda device: 0)
    assert cells.to(torch.device("meta")) is cells

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.undo()
    monkeypatch.setattr("xdpl.batches.cells._moved", full)
    assert cells.to(torch.device("meta")) is cells


def test_a_batch_that_has_no_room_on_the_device_is_told(ds, monkeypatch):
    batch = cells_of(ds).take(np.arange(3), 400, 450, 5)

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(batch, "_each", full)
    with pytest.raises(OutOfMemory, match="meta has no memory for.* 3 cells.*smaller batch_size"):
        batch.to(torch.device("meta"))
