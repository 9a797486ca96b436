"""Blocks of a Dataset as numpy: the same cells in the same units, however they are stored."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_datasets import FULL, RAINY, WARM, basins, extremes, grid

from xdpl.errors import DataError, XdplWarning
from xdpl.layout import labels, read, recognise, to_grid
from xdpl.variables import Output

PARTS = ("forcing", "observed", "attribute")


def by_label(block):
    """All that was read of each cell, by its label."""
    columns = [*block.forcing.values(), *block.observed.values()]
    return {
        label: np.concatenate([v[:, cell] for v in columns] + [block.attribute[cell]])
        for cell, label in enumerate(block.label)
    }


def same(one, two):
    assert set(one) == set(two)
    for label, values in one.items():
        np.testing.assert_array_equal(two[label], values)


def test_shapes_types_and_order():
    ds = grid()
    block = read(ds, recognise(ds, FULL, obs="qobs"))
    assert block.space_shape == (3, 4)
    for values in (*block.forcing.values(), *block.observed.values()):
        assert values.shape == (40, 12) and values.dtype == np.float32
        assert values.flags.c_contiguous
    assert block.attribute.shape == (12, 2) and block.attribute.dtype == np.float64
    expected = ds["prcp"].transpose("time", "lat", "lon").values.reshape(40, 12)
    np.testing.assert_allclose(block.forcing["precipitation"], expected, rtol=1e-5)
    assert block.has_forcing.all() and block.has_attributes.all() and block.has_observation.all()
    assert block.exists.all() and block.findings.counts == {("cells", ""): 12}


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(["time", "lat", "lon"]),
    flips=st.tuples(st.booleans(), st.booleans()),
    chunk=st.one_of(st.none(), st.integers(1, 4)),
)
def test_order_flips_and_chunks_change_nothing(order, flips, chunk):
    ds = grid()
    expected = by_label(read(ds, recognise(ds, FULL, obs="qobs")))
    steps = [slice(None, None, -1 if flip else 1) for flip in flips]
    turned = ds.isel(lat=steps[0], lon=steps[1]).transpose(*order)
    if chunk is not None:
        turned = turned.chunk({"lat": chunk, "lon": chunk, "time": 7 * chunk})
    same(by_label(read(turned, recognise(turned, FULL, obs="qobs"))), expected)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_selection_by_position_is_a_part_of_the_whole(data):
    ds = grid()
    layout = recognise(ds, FULL, obs="qobs")
    whole = by_label(read(ds, layout))
    pick = {
        dim: sorted(data.draw(st.sets(st.integers(0, ds.sizes[dim] - 1), min_size=1)))
        for dim in ("lat", "lon")
    }
    block = ds.isel(pick)
    part = by_label(read(block, layout))
    assert list(part) == list(labels(block, layout))
    same(part, {label: whole[label] for label in part})


def test_windows_of_time():
    ds = basins()
    layout = recognise(ds, FULL, obs="qobs")
    whole, window = read(ds, layout), read(ds.isel(time=slice(10, 25)), layout)
    for name, values in window.forcing.items():
        np.testing.assert_array_equal(values, whole.forcing[name][10:25])


def test_dask_stays_lazy_and_the_users_dataset_untouched(tmp_path):
    path = tmp_path / "basins.nc"
    basins().to_netcdf(path)
    with xr.open_dataset(path) as lazy, xr.open_dataset(path, chunks={"basin": 2}) as chunked:
        read(lazy, recognise(lazy, FULL, obs="qobs"))
        assert not lazy["prcp"].variable._in_memory
        read(chunked, recognise(chunked, FULL, obs="qobs"))
        assert chunked["prcp"].chunks is not None
    ds = basins()
    ds["prcp"][0, 3] = np.nan
    before = ds.copy(deep=True)
    read(ds, recognise(ds, FULL, obs="qobs"))
    xr.testing.assert_identical(ds, before)


@pytest.mark.parametrize("part", PARTS)
def test_parts_that_are_read_alone(part):
    ds = grid()
    layout = recognise(ds, FULL, obs="qobs")
    block = read(ds, layout, **{name: name == part for name in PARTS})
    assert bool(block.forcing) == (part == "forcing")
    assert bool(block.observed) == (part == "observed")
    assert block.attribute.shape == (12, 2 if part == "attribute" else 0)
    assert block.has_forcing.all() == (part == "forcing")
    assert block.has_attributes.all() == (part == "attribute")
    assert block.has_observation.all() == (part == "observed")
    assert block.label.size == 12


def test_attributes_without_time_need_no_forcing():
    ds = grid()
    layout = recognise(ds, FULL, obs="qobs")
    ds["slope"][0, 0] = np.nan
    ds["height"][0, 0] = np.nan
    ds["height"][1, 1] = np.nan
    block = read(ds, layout, forcing=False, observed=False)
    assert block.exists.sum() == 11 and block.has_attributes.sum() == 10
    assert block.findings.count("no attributes") == 1


@pytest.mark.parametrize("fill", [-9999.0, -999.9, 1e20, -1.7e30])
def test_fill_values_of_attributes_and_of_unknown_quantities_are_missing_and_counted(fill):
    ds = grid()
    ds["slope"] = ds["slope"].astype("f4")
    ds["soil"] = ds["slope"].dims, np.arange(12.0).reshape(3, 4) % 3
    ds["slope"][0, 0] = ds["soil"][0, 1] = fill
    layout = recognise(ds, FULL, obs="qobs", categorical=["soil"])
    block = read(ds, layout)
    assert block.findings.counts["fill", "slope"] == block.findings.counts["fill", "soil"] == 1
    assert block.findings.count("no attributes") == 2
    assert np.isnan(block.attribute).sum() == 2 and np.nanmax(np.abs(block.attribute)) < 1e4
    (classes,) = (role.classes for role in layout.attributes if role.name == "soil")
    assert classes == (0.0, 1.0, 2.0)
    ds["slope"][:] = fill
    with pytest.warns(XdplWarning, match="1 attribute left out, without any value: slope"):
        recognise(ds, FULL, obs="qobs", attributes=["slope", "height"])
    strange = Output("1", names=("colour",))
    ds["colour"] = ds["qobs"].copy(deep=True).assign_attrs(units="1")
    ds["colour"][3, 1, 1] = fill
    model = replace(FULL, outputs={**FULL.outputs, "colour": strange})
    seen = read(ds, recognise(ds, model, obs={"colour": "colour"}, attributes=["height"]))
    assert seen.findings.counts["impossible", "colour"] == 1


def test_cells_without_any_forcing_do_not_exist():
    ds = grid()
    land = xr.DataArray(np.arange(12).reshape(3, 4) % 3 > 0, dims=("lat", "lon"))
    for name in ("prcp", "tas", "pet", "slope"):
        ds[name] = ds[name].where(land).assign_attrs(ds[name].attrs)
    block = read(ds, recognise(ds, FULL, obs="qobs"))
    np.testing.assert_array_equal(block.exists, land.values.ravel())
    np.testing.assert_array_equal(block.has_forcing, block.exists)
    assert block.findings.counts == {("cells", ""): 8}
    filled = ds.assign(prcp=ds["prcp"].fillna(-9999.0).assign_attrs(ds["prcp"].attrs))
    again = read(filled, recognise(filled, FULL, obs="qobs"))
    np.testing.assert_array_equal(again.exists, block.exists)
    assert again.findings.count("no forcing") == again.findings.count("impossible") == 0
    common = ds.assign(tas=basins(40)["tas"].isel(basin=0, drop=True))
    again = read(common, recognise(common, FULL, obs="qobs"))
    np.testing.assert_array_equal(again.exists, block.exists)


def test_gaps_are_filled_up_to_seven_days_and_counted():
    ds = basins()
    ds["prcp"][0, 10:17] = np.nan
    ds["prcp"][1, 10:18] = np.nan
    ds["prcp"][2, :5] = np.nan
    ds["prcp"][3, :] = np.nan
    block = read(ds, recognise(ds, WARM, obs="qobs"))
    assert list(block.has_forcing) == [True, False, True, False]
    assert block.exists.all()
    found = block.findings
    assert found.count("filled", "precipitation") == 12
    assert found.count("gap", "precipitation") == 1
    assert found.count("absent", "precipitation") == 1
    assert found.count("no forcing") == 2
    filled = block.forcing["precipitation"][9:18, 0]
    np.testing.assert_allclose(np.diff(filled), np.full(8, np.diff(filled).mean()), atol=1e-5)


def test_gaps_are_counted_in_days_and_not_in_steps():
    ds = basins(days=480)
    ds["time"] = xr.date_range("2001-01-01", periods=480, freq="h")
    ds["prcp"][0, 10 : 10 + 168] = np.nan
    ds["prcp"][1, 10 : 10 + 169] = np.nan
    block = read(ds, recognise(ds, RAINY, obs="qobs"))
    assert list(block.has_forcing) == [True, False, True, True]


def test_impossible_values_are_missing_and_counted():
    ds = basins()
    ds["prcp"][0, 3] = -5.0
    ds["tas"][1, 4] = 200.0
    ds["qobs"][2, 5] = -1.0
    ds["pet"][3, 6] = np.inf
    block = read(ds, recognise(ds, FULL, obs="qobs"))
    for name in ("prcp", "tas", "qobs", "pet"):
        assert block.findings.count("impossible", name) == 1
    assert block.findings.count("filled") == 3
    assert np.isnan(block.observed["streamflow"][5, 2])
    assert block.has_forcing.all()
    expected = (ds["tas"].values[1, 3] + ds["tas"].values[1, 5]) / 2
    assert block.forcing["temperature"][4, 1] == pytest.approx(expected, rel=1e-5)


def test_the_mean_of_extremes_is_filled_after_it_is_made():
    ds = extremes(basins())
    ds["tasmax"][0, 5] = np.nan
    ds["tasmin"][0, 6] = -300.0
    block = read(ds, recognise(ds, WARM, obs="qobs"))
    assert block.findings.count("filled", "temperature") == 2
    assert block.findings.count("impossible", "tasmin") == 1
    warm = basins()["tas"].values[0]
    expected = warm[4] + (warm[7] - warm[4]) / 3
    assert block.forcing["temperature"][5, 0] == pytest.approx(expected, abs=1e-3)


def test_cells_without_observations():
    ds = basins()
    ds["qobs"][1, :] = np.nan
    block = read(ds, recognise(ds, FULL, obs="qobs"))
    assert list(block.has_observation) == [True, False, True, True]
    assert block.findings.count("no observation") == 1


def test_integers_and_single_precision_coordinates():
    ds = basins()
    ds["prcp"] = ds["prcp"].round().astype("int16").assign_attrs(units="mm day-1")
    block = read(ds, recognise(ds, RAINY, obs="qobs"))
    np.testing.assert_array_equal(block.forcing["precipitation"], ds["prcp"].values.T)


def test_the_way_back_to_the_grid():
    ds = grid().transpose("lon", "time", "lat").isel(lat=slice(None, None, -1))
    layout = recognise(ds, FULL, obs="qobs")
    block = read(ds, layout)
    rain = to_grid(block.forcing["precipitation"], ds, layout, ("time",))
    assert rain.dims == ("time", "lon", "lat")
    xr.testing.assert_allclose(rain, ds["prcp"].transpose("time", "lon", "lat").drop_attrs())
    slope = to_grid(block.attribute[:, 0], ds, layout)
    assert slope.dims == ("lon", "lat")
    np.testing.assert_array_equal(slope, ds["slope"].transpose("lon", "lat"))
    components = to_grid(np.zeros((5, 12)), ds, layout, ("component",))
    assert components.dims == ("component", "lon", "lat")


def test_real_basins(mopex):
    layout = recognise(mopex, FULL, obs="qobs")
    begun = time.perf_counter()
    block = read(mopex, layout)
    assert time.perf_counter() - begun < 3  # under one on an idle machine
    assert block.forcing["temperature"].shape == (5479, 289)
    assert block.has_forcing.all() and block.has_observation.all() and block.exists.all()
    assert block.findings.count("computed", "potential_evaporation") == 3
    assert block.findings.count("filled", "temperature") == 6
    assert block.findings.count("swapped") > 0
    assert block.findings.count("no attributes") == 1
    assert all(np.isfinite(v).all() for v in block.forcing.values())
    some = mopex.isel(basin=[5, 200], time=slice(100, 900))
    part = read(some, layout)
    for name, values in part.forcing.items():
        np.testing.assert_array_equal(values, block.forcing[name][100:900, [5, 200]])


def test_a_real_grid(smap):
    layout = recognise(smap, FULL, obs="SMAP")
    block = read(smap, layout)
    assert layout.space == ("y", "x") and block.space_shape == (18, 38)
    assert block.exists.sum() == 350 and block.has_forcing.sum() == 350
    assert block.has_attributes.sum() == 349 and block.has_observation.sum() == 350
    evaporation = block.forcing["potential_evaporation"][:, block.exists]
    assert 1.5 < evaporation.mean() < 4 and evaporation.max() < 15
    assert np.isfinite(evaporation).all()


@pytest.mark.parametrize("piece", [1, 200])
@pytest.mark.parametrize("make", [grid, basins])
def test_a_block_read_in_pieces_is_the_whole(make, piece, monkeypatch):
    ds = make()
    ds["prcp"][{"time": slice(5, 9)}] = np.nan
    ds["prcp"][{"time": 20, ds["prcp"].dims[0 if make is basins else 1]: 1}] = -50.0
    layout = recognise(ds, FULL, obs="qobs")
    asked = ({}, {"forcing": False}, {"forcing": False, "observed": False})
    expected = [read(ds, layout, **parts) for parts in asked]
    monkeypatch.setattr(sys.modules["xdpl.layout.read"], "PIECE", piece)
    for parts, whole in zip(asked, expected, strict=True):
        found = read(ds, layout, **parts)
        assert found.space_shape == whole.space_shape and found.findings == whole.findings
        for name in ("has_forcing", "has_attributes", "has_observation", "exists", "label"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
        same(by_label(found), by_label(whole))
    assert expected[0].findings.count("impossible") > 0


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_damaged_variable_is_named(tmp_path, chunks):
    ds = grid()
    layout = recognise(ds, FULL, obs="qobs")
    ds.to_zarr(tmp_path / "a.zarr", consolidated=False)
    for chunk in (tmp_path / "a.zarr" / "height" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    stored = xr.open_zarr(tmp_path / "a.zarr", consolidated=False, chunks=chunks)
    with pytest.raises(DataError, match="'height'.* can't be read.*Repair the store"):
        read(stored, layout)
