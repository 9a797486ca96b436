"""Static variables with a further dimension: an attribute of each of its items."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from layout_datasets import RAINY, basins, grid

from xdpl.errors import LayoutError, XdplWarning
from xdpl.layout import Layout, match, read, recognise


def soil(ds: xr.Dataset) -> xr.Dataset:
    """Clay at three depths."""
    values = np.linspace(0.1, 0.5, 36).reshape(3, 3, 4) ** 2
    return ds.assign(clay=(("depth", "lat", "lon"), values, {"units": "1"})).assign_coords(
        depth=("depth", [0.0, 0.05, 1.0], {"units": "m"})
    )


def test_each_depth_is_an_attribute_named_by_its_coordinate():
    ds = soil(grid())
    layout = recognise(ds, RAINY, obs="qobs")
    assert layout.attribute_names == ("slope", "height", "clay_0", "clay_0.05", "clay_1")
    assert "clay_0.05" in " ".join(layout.notes)
    table = read(ds, layout).attribute
    for column, item in enumerate(range(3), start=2):
        np.testing.assert_array_equal(table[:, column], ds.clay.values[item].ravel())
    flipped = ds.transpose("lon", "lat", "depth", "time").isel(lat=slice(None, None, -1))
    again = read(flipped, match(flipped, layout)).attribute
    np.testing.assert_array_equal(again.reshape(3, 4, 5)[::-1].reshape(12, 5), table)
    assert Layout.from_json(layout.to_json()) == layout


def test_one_band_is_dropped():
    ds = grid()
    raster = ds.assign(height=ds["height"].expand_dims(band=[1]))
    layout = recognise(raster, RAINY, obs="qobs")
    assert layout.attribute_names == ("slope", "height")
    expected = read(ds, recognise(ds, RAINY, obs="qobs")).attribute
    np.testing.assert_array_equal(read(raster, layout).attribute, expected)
    for fitted, other in ((layout, ds), (recognise(ds, RAINY, obs="qobs"), raster)):
        np.testing.assert_array_equal(read(other, match(other, fitted)).attribute, expected)


def test_depths_are_matched_by_label_and_may_be_variables_of_their_own():
    ds = soil(grid())
    layout = recognise(ds, RAINY, obs="qobs")
    expected = read(ds, layout).attribute
    turned = ds.isel(depth=[2, 0, 1])
    static = turned[["slope", "height", "clay"]]
    for forcing, other in ((True, turned), (False, static)):
        found = read(other, match(other, layout, forcing=forcing), forcing=forcing, observed=False)
        np.testing.assert_array_equal(found.attribute, expected)
    apart = ds.drop_vars(["clay", "depth"]).assign(
        {f"clay_{d}": ds.clay.isel(depth=i, drop=True) for i, d in enumerate((0, 0.05, 1))}
    )
    np.testing.assert_array_equal(read(apart, match(apart, layout)).attribute, expected)
    with pytest.raises(LayoutError, match=r"lacks 1 of them: clay_1"):
        match(ds.isel(depth=[0, 1]), layout)
    plain = recognise(grid(), RAINY, obs="qobs")
    wide = grid().assign(height=grid()["height"].expand_dims(band=[1, 2]))
    with pytest.raises(LayoutError, match=r"'height' has the dimension 'band' here.*isel\(band=0"):
        match(wide, plain)
    np.testing.assert_array_equal(
        read(wide.isel(band=0), match(wide.isel(band=0), plain)).attribute,
        read(grid(), plain).attribute,
    )


@pytest.mark.parametrize(
    ("coords", "labels"),
    [
        ({}, ["0", "1", "2"]),
        ({"item": [3, 6, 9]}, ["3", "6", "9"]),
        ({"item": ["top", "sub", "rock bed"]}, ["top", "sub", "rock_bed"]),
        ({"item": [b"a", b"b", b"c"]}, ["a", "b", "c"]),
        ({"item": [1.0, 1.0, 2.0]}, ["0", "1", "2"]),
    ],
)
def test_labels(coords, labels):
    ds = basins().assign(sand=(("basin", "item"), np.arange(12.0).reshape(4, 3) ** 2))
    ds = ds.assign_coords(coords)
    layout = recognise(ds, RAINY, obs="qobs", attributes=["sand"])
    assert layout.attribute_names == tuple(f"sand_{label}" for label in labels)


def test_what_has_too_many_is_named():
    ds = basins().assign(
        spectrum=(("basin", "band"), np.random.default_rng(0).random((4, 200))),
        table=(("basin", "row", "column"), np.random.default_rng(0).random((4, 2, 3))),
    )
    with pytest.warns(XdplWarning) as given:
        assert recognise(ds, RAINY, obs="qobs").attribute_names == ("slope", "height")
    texts = " ".join(str(one.message) for one in given)
    assert "of the further dimension band (200); choose with ds.isel: spectrum." in texts
    assert "of the further dimensions row (2) and column (3)" in texts


def test_lazy_maps_from_depths():
    from toy import QUICK
    from toy import grid as toy_grid

    import xdpl

    ds = toy_grid()
    soils = np.random.default_rng(0).random((2, 5, 6))
    ds = ds.assign(clay=(("depth", "y", "x"), soils))
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    assert "clay_1" in fit.layout.attribute_names
    eager = fit.parameters(ds)
    lazy = fit.parameters(ds.chunk({"y": 2, "depth": 1})).compute()
    static = fit.parameters(ds[["elevation", "forest", "clay"]])
    for name in eager.data_vars:
        np.testing.assert_allclose(lazy[name].values, eager[name].values, rtol=1e-6)
        np.testing.assert_array_equal(static[name].values, eager[name].values)
