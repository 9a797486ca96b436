"""Samples are small, come from all over, and find the few cells that have values."""

from __future__ import annotations

import tracemalloc

import numpy as np
import xarray as xr

from xdpl.layout.sample import sample, tiles


def cube(shape=(800, 60, 60)):
    return xr.DataArray(np.zeros(shape, "f4"), dims=("time", "y", "x"))


def test_tiles_cover_everything_once():
    array = cube((400, 50, 7))
    seen = np.zeros(array.shape, int)
    for tile in tiles(array.variable, "time"):
        seen[tuple(tile[dim] for dim in array.dims)] += 1
    assert (seen == 1).all()
    chunked = array.chunk(time=100, y=20)
    assert len(list(tiles(chunked.variable, "time"))) == 12
    assert len(list(tiles(xr.Variable((), 1.0), "time"))) == 1


def test_many_tiles_are_covered_too():
    variable = xr.Variable(("time", "y", "x"), np.broadcast_to(np.float32(0), (10, 9000, 9000)))
    count = sum(1 for _ in tiles(variable, "time"))
    assert count == 375 * 375


def test_a_sample_is_small():
    found = sample(cube() + 3, "time")
    assert 1000 < found.size < 40_000 and (found == 3).all()
    assert 1000 < sample((cube() + 3).chunk(time=50), "time").size < 40_000


def test_a_single_cell_with_values_is_found():
    array = cube() * np.nan
    array[:, 31, 7] = 5.0
    assert (sample(array, "time") == 5.0).all() and sample(array, "time").size
    assert sample(cube() * np.nan, "time").size == 0


def test_a_sample_does_not_hold_the_tiles_it_was_taken_from():
    array = xr.DataArray(np.ones((16, 4_000_000), "f4"), dims=("time", "x")).chunk(time=1)
    tracemalloc.start()
    found = sample(array, "time")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.dtype == float and found.size > 1000
    assert most < 4 * 16_000_000  # of one tile: itself, its finite values and what dask holds
