"""Time, space and the names of cells, in whatever way a file has them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from layout_datasets import RAINY, basins, grid

from xdpl.errors import DataError, LayoutError
from xdpl.layout import labels, read, recognise
from xdpl.layout.axes import check_dataset, find_grid_mapping, find_space


def test_space_is_y_then_x_whatever_the_order_and_names():
    ds = grid()
    assert recognise(ds, RAINY, obs="qobs").space == ("lat", "lon")
    assert recognise(ds.transpose("lon", "time", "lat"), RAINY, obs="qobs").space == ("lat", "lon")
    plain = ds.rename(lat="a", lon="b")
    assert recognise(plain, RAINY, obs="qobs").space == ("a", "b")
    for dim, axis in (("a", "Y"), ("b", "X")):
        plain[dim].attrs = {"axis": axis}
    turned = recognise(plain.transpose("b", "a", "time"), RAINY, obs="qobs")
    assert turned.space == ("a", "b")
    plain["a"].attrs = {}
    assert find_space(plain, ("b", "a"), "prcp") == ("a", "b")
    plain["b"].attrs = {}
    with pytest.raises(LayoutError, match="not known which one is Y and which X"):
        find_space(plain, ("b", "a"), "prcp")


def test_more_dimensions_than_time_and_space():
    ds = grid().expand_dims(member=3)
    with pytest.raises(LayoutError, match=r"dimension 'member' \(size 3\).*isel\(member=0\)"):
        recognise(ds, RAINY, obs="qobs")
    with pytest.raises(LayoutError, match=r'squeeze\("band"\)'):
        recognise(grid().expand_dims("band"), RAINY, obs="qobs")


def test_one_basin_dimension_of_any_name():
    for name in ("site", "gauge_id", "node"):
        assert recognise(basins().rename(basin=name), RAINY, obs="qobs").space == (name,)


def test_labels_do_not_depend_on_order_flips_or_longitudes():
    ds = grid()
    one = labels(ds, recognise(ds, RAINY, obs="qobs"))
    assert one[0] == "50.0 5.0" and one[1] == "50.0 6.0" and one[4] == "49.0 5.0"
    flipped = ds.isel(lat=slice(None, None, -1)).transpose("lon", "lat", "time")
    assert set(labels(flipped, recognise(flipped, RAINY, obs="qobs"))) == set(one)
    west = ds.assign_coords(lon=ds.lon - 10)
    west["lon"].attrs = ds["lon"].attrs
    east = west.assign_coords(lon=west.lon % 360)
    east["lon"].attrs = ds["lon"].attrs
    both = [labels(d, recognise(d, RAINY, obs="qobs")) for d in (west, east)]
    assert sorted(both[0]) == sorted(both[1])


def test_labels_of_basins_are_their_identifiers():
    ds = basins()
    assert list(labels(ds, recognise(ds, RAINY, obs="qobs")))[:2] == ["00007", "00008"]
    numbers = ds.assign_coords(basin=[3, 4, 5, 6])
    assert list(labels(numbers, recognise(numbers, RAINY, obs="qobs")))[:2] == ["3", "4"]
    raw = ds.assign_coords(basin=np.array([b"a", b"b", b"c", b"d"]))
    assert list(labels(raw, recognise(raw, RAINY, obs="qobs")))[:2] == ["a", "b"]
    named = ds.rename_vars(basin="gauge").reset_coords("lat", drop=True)
    assert recognise(named, RAINY, obs="qobs").labels == ("gauge",)
    named = ds.drop_vars(["basin", "lat"]).assign(gauge=("basin", [8, 9, 1, 2]))
    named["gauge"].attrs["cf_role"] = "timeseries_id"
    assert recognise(named, RAINY, obs="qobs").labels == ("gauge",)


def test_cells_without_names():
    bare = basins().drop_vars(["basin", "lat"])
    with pytest.raises(LayoutError, match=r"'basin' has no coordinate.*assign_coords\(basin="):
        recognise(bare, RAINY, obs="qobs")
    twice = basins().assign_coords(basin=["a", "b", "b", "c"])
    with pytest.raises(DataError, match=r"1 value of 'basin' occurs more than once.*'b'"):
        recognise(twice, RAINY, obs="qobs")
    twice = grid().assign_coords(lon=[5.0, 6.0, 6.0, 7.0])
    with pytest.raises(DataError, match="1 value of 'lon' occurs more than once"):
        recognise(twice, RAINY, obs="qobs")


def test_stacked_cells_and_curvilinear_grids_keep_their_places():
    ds = grid()
    one = labels(ds, recognise(ds, RAINY, obs="qobs"))
    stacked = ds.stack(cell=("lat", "lon"))
    assert list(labels(stacked, recognise(stacked, RAINY, obs="qobs"))) == list(one)
    loose = stacked.reset_index("cell")
    assert list(labels(loose, recognise(loose, RAINY, obs="qobs"))) == list(one)
    lat, lon = xr.broadcast(ds["lat"], ds["lon"])
    curved = ds.drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    curved = curved.assign_coords(
        lat=(("j", "i"), lat.values, ds["lat"].attrs), lon=(("j", "i"), lon.values, ds["lon"].attrs)
    )
    assert list(labels(curved, recognise(curved, RAINY, obs="qobs"))) == list(one)


def test_a_multiindex_of_anything_but_y_and_x_is_refused():
    ds = basins().assign_coords(state=("basin", list("aabb")), number=("basin", [1, 2, 1, 2]))
    ds = ds.drop_vars("basin").set_index(basin=["state", "number"])
    told = r"'basin' has a MultiIndex of state, number.*ds.reset_index\('basin'\).assign_coords"
    with pytest.raises(LayoutError, match=told):
        recognise(ds, RAINY, obs="qobs")
    named = ds.reset_index("basin").assign_coords(basin=["a1", "a2", "b1", "b2"])
    assert list(labels(named, recognise(named, RAINY, obs="qobs"))) == ["a1", "a2", "b1", "b2"]


def test_a_row_or_a_point_of_a_grid_keeps_its_labels():
    ds = grid()
    row = ds.isel(lat=1)
    found = recognise(row, RAINY, obs="qobs", attributes=["slope"])
    assert list(labels(row, found)) == ["49.0 5.0", "49.0 6.0", "49.0 7.0", "49.0 8.0"]
    point = ds.isel(lat=1, lon=2)
    found = recognise(point, RAINY, obs="qobs", attributes=["slope"])
    assert found.space == () and list(labels(point, found)) == ["49.0 7.0"]
    block = read(point, found)
    assert block.forcing["precipitation"].shape == (40, 1) and block.has_forcing.all()
    basin = basins().isel(basin=2)
    found = recognise(basin, RAINY, obs="qobs", attributes=["slope"])
    assert list(labels(basin, found)) == ["00009"]
    nameless = basin.drop_vars(["basin", "lat"])
    assert list(labels(nameless, recognise(nameless, RAINY, obs="qobs"))) == ["point"]


def test_the_grid_mapping_is_found_with_or_without_decoding(smap):
    assert find_grid_mapping(smap) == "spatial_ref"
    assert find_grid_mapping(basins()) is None
    bare = smap.drop_attrs(deep=True)
    bare["spatial_ref"].attrs = smap["spatial_ref"].attrs
    assert find_grid_mapping(bare.reset_coords("spatial_ref")) == "spatial_ref"


def test_dimensions_without_coordinates_are_renamed():
    ds = grid().drop_vars(["lat", "lon"]).rename_dims(lat="a", lon="b")
    with pytest.raises(LayoutError, match=r'rename_dims\(a="y", b="x"\)'):
        find_space(ds, ("a", "b"), "prcp")
    assert find_space(ds.rename_dims(a="nj", b="ni"), ("ni", "nj"), "prcp") == ("nj", "ni")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("file.nc", "ds is a str.*open_dataset"),
        (grid().prcp, "ds is a DataArray.*one variable"),
    ],
)
def test_what_is_no_dataset(given, message):
    with pytest.raises(LayoutError, match=message):
        check_dataset(given)
