"""Cells are known again, however their coordinates or identifiers were stored."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from layout_datasets import RAINY, basins, grid

from xdpl.layout import labels, recognise
from xdpl.layout.cell_index import CellIndex, find_cells, shared


def places(ds: xr.Dataset) -> np.ndarray:
    return labels(ds, recognise(ds, RAINY, obs="qobs"))


def fine_grid(kind: str, longitude: float = 100.0, step: float = 1 / 120) -> xr.Dataset:
    ds = grid(ny=3, nx=4)
    lat = 31.0 - step * np.arange(3)
    lon = longitude + step * np.arange(4)
    return ds.assign_coords(
        lat=("lat", lat.astype(kind), ds["lat"].attrs),
        lon=("lon", lon.astype(kind), ds["lon"].attrs),
    )


@pytest.mark.parametrize("longitude", [-179.95, -100.0, 0.0, 8.3, 20.0, 179.9, 250.0, 359.99])
@pytest.mark.parametrize("step", [1 / 1200, 1 / 120, 0.1])
def test_single_and_double_precision_name_the_same_cells(longitude, step):
    single, double = (places(fine_grid(kind, longitude, step)) for kind in ("f4", "f8"))
    order = np.arange(len(double))
    for known, other in ((single, double), (double, single)):
        np.testing.assert_array_equal(find_cells(known, other), order)
        np.testing.assert_array_equal(find_cells(known, other[::-1]), order[::-1])


def test_longitudes_from_0_to_360_and_noise():
    west, east = places(fine_grid("f8", -100.0)), places(fine_grid("f4", 260.0))
    np.testing.assert_array_equal(find_cells(west, east), np.arange(12))
    ds = fine_grid("f8")
    noisy = ds.assign_coords(lon=ds["lon"] * (1 + 1e-13), lat=ds["lat"] * (1 - 1e-13))
    np.testing.assert_array_equal(find_cells(places(ds), places(noisy)), np.arange(12))
    edge = np.array(["0.0 -180.0", "0.0 -179.0"])
    ds = ds.isel(lat=[0], lon=[0, 1]).assign_coords(
        lat=("lat", [0.0], ds["lat"].attrs),
        lon=("lon", [180.0 - 1e-9, 181.0], ds["lon"].attrs),
    )
    np.testing.assert_array_equal(find_cells(edge, places(ds)), [0, 1])


def test_projected_coordinates_of_any_type():
    known = np.array(["5123456.25 300000.5", "5123456.25 300001.5", "5123457.25 300000.5"])
    np.testing.assert_array_equal(find_cells(known, known[[2, 0, 1]]), [2, 0, 1])
    whole = np.array(["5000000 300000", "5001000 300000"])
    np.testing.assert_array_equal(find_cells(whole, np.array(["5001000.0 300000.0"])), [1])


def test_neighbours_and_other_grids_are_not_taken():
    known = places(fine_grid("f8"))
    shifted = places(fine_grid("f8", 100.0 + 1 / 240))
    assert (find_cells(known, shifted) == -1).all()
    assert (find_cells(known, np.array(["a", "b"])) == -1).all()
    assert (find_cells(np.array(["a", "b"]), known) == -1).all()


def test_places_closer_than_single_precision_are_told_apart_or_not_found():
    known = np.array(["50.0 8.0", "50.0 8.00001", "50.0 8.1"])
    np.testing.assert_array_equal(find_cells(known, known), [0, 1, 2])
    other = np.array(["50.0 8.000004", "50.0 8.099999"])
    np.testing.assert_array_equal(find_cells(known, other), [-1, 2])


@pytest.mark.parametrize(
    "stored",
    [
        np.array(["01013500", "01022500", "14301000"]),
        np.array([1013500, 1022500, 14301000]),
        np.array([1013500.0, 1022500.0, 14301000.0]),
        np.array([b"01013500", b"01022500", b"14301000"]),
        np.array([b"01013500", b"01022500", b"14301000"], dtype=object),
        np.array(["1013500", "1022500", "14301000"], dtype=object),
        np.array(["01013500  ", "01022500  ", "14301000  "]),
    ],
)
def test_identifiers_of_any_storage(stored):
    known = np.array(["01013500", "01022500", "14301000"])
    ds = basins(cells=3).assign_coords(basin=stored)
    np.testing.assert_array_equal(find_cells(known, places(ds)), [0, 1, 2])
    np.testing.assert_array_equal(find_cells(places(ds), known[::-1]), [2, 1, 0])


def test_where_two_could_be_meant_neither_is_taken():
    known = np.array(["0012", "012", "7"])
    np.testing.assert_array_equal(find_cells(known, np.array(["12", "012", "07"])), [-1, 1, 2])


def test_text_stays_text():
    known = np.array(["DE0007", "US01", "point"])
    found = find_cells(known, np.array(["DE7", "US01", "point", "us01"]))
    np.testing.assert_array_equal(found, [-1, 1, 2, -1])
    np.testing.assert_array_equal(find_cells(known[:0], known), [-1, -1, -1])
    np.testing.assert_array_equal(CellIndex(known).find(known[:0]), [])


def test_rows_that_a_grid_shares_with_the_cells_of_a_fit():
    known = np.array(["31.0 108.099998", "30.9 108.2"])
    np.testing.assert_array_equal(shared(known, 0, np.array(["31.0", "30.95"])), [True, False])
    np.testing.assert_array_equal(shared(known, 1, np.array(["108.1", "31.0"])), [True, False])
    assert shared(np.array(["a"]), 0, np.array(["31.0", "b"])).all()
