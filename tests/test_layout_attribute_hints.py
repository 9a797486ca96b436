"""Attributes that hold fill values, exist in few cells, are codes, positions or the answer."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from layout_datasets import RAINY, SOIL, basins, grid

from xdpl.errors import XdplWarning
from xdpl.layout import Findings, match, read, recognise


def column(ds, name, **keywords):
    layout = recognise(ds, RAINY, obs="qobs", **keywords)
    block = read(ds, layout)
    return block.attribute[:, layout.attribute_names.index(name)], block.findings


@pytest.mark.parametrize("fill", [-99.0, -99.9, -99.99, -999.0, -9999.0, -999.99, 1e20, 9.96921e36])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_fill_values_of_what_is_never_negative(fill, kind):
    ds = basins(cells=5)
    ds["steep"] = ("basin", np.array([5, 10, fill, 0, 7], kind))
    values, findings = column(ds, "steep")
    np.testing.assert_array_equal(values, [5, 10, np.nan, 0, 7])
    assert findings.count("fill", "steep") == 1


@pytest.mark.parametrize("others", [[-98.0, -120.5, -75.0, 10.0], [-0.1, 3.0, 4.0, 5.0]])
def test_minus_99_is_a_number_among_negative_ones(others):
    ds = basins(cells=5)
    ds["west"] = ("basin", [-99.0, *others])
    values, findings = column(ds, "west")
    np.testing.assert_array_equal(values, [-99.0, *others])
    assert findings.count("fill") == 0


def test_what_was_never_negative_at_the_fit_isnt_elsewhere():
    ds = basins()
    layout = recognise(ds, RAINY, obs="qobs")
    other = ds.assign(height=("basin", [-99.0, 1.0, 2.0, -5.0], {"units": "m"}))
    found = read(other, match(other, layout)).attribute[:, 1]
    np.testing.assert_array_equal(found, [np.nan, 1.0, 2.0, -5.0])
    km = other.assign(height=("basin", [-99.0, 1.0, 2.0, 3.0], {"units": "km"}))
    np.testing.assert_array_equal(
        read(km, match(km, layout)).attribute[:, 1], [np.nan, 1e3, 2e3, 3e3]
    )


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("u1", [20, 100, 255, 0], [20, 100, np.nan, 0]),
        ("u1", [20, 200, 255, 0], [20, 200, 255, 0]),
        ("u2", [20, 100, 65535, 0], [20, 100, np.nan, 0]),
        ("i2", [20, 100, 32767, -5], [20, 100, np.nan, -5]),
        ("f4", [20, 100, 255, 0], [20, 100, 255, 0]),
    ],
)
def test_the_largest_integer_of_a_type(kind, values, expected):
    ds = basins().assign(share=("basin", np.array(values, kind)))
    np.testing.assert_array_equal(column(ds, "share")[0], expected)


def test_classes_have_fill_values_too():
    ds = basins(cells=5).assign(soil=("basin", np.array([3, 255, 1, 3, 2], "u1")))
    values, findings = column(ds, "soil", categorical=["soil"])
    np.testing.assert_array_equal(values, [2, np.nan, 0, 2, 1])
    assert findings.count("fill", "soil") == 1


def sparse_grid():
    ds = grid(ny=5, nx=6)
    glacier = np.full((5, 6), np.nan)
    glacier[0, :2] = 0.2, 0.4
    lake = np.full((5, 6), -9999.0)
    lake[4, 5] = 3.0
    lake[4, 4] = 2.0
    return ds.assign(
        glacier=(("lat", "lon"), glacier, {"units": "1"}),
        lake=(("lat", "lon"), lake, {"units": "km2"}),
    )


def test_sparse_attributes_are_left_out_and_can_be_filled():
    ds = sparse_grid()
    with pytest.warns(XdplWarning, match="2 attributes left out, missing in nearly all") as given:
        layout = recognise(ds, RAINY, obs="qobs")
    assert layout.attribute_names == ("slope", "height")
    assert read(ds, layout).has_attributes.all()
    remedy = re.search(r"ds = ds\.fillna\(.*\)", str(given[0].message)).group()
    scope = {"ds": ds.where(ds != -9999.0)}
    exec(remedy, scope)
    filled = scope["ds"]
    layout = recognise(filled, RAINY, obs="qobs")
    assert layout.attribute_names == ("slope", "height", "glacier", "lake")
    found = read(filled, layout).attribute
    assert found[0, 2] == 0.2 and found[29, 3] == 3.0 and found[:, 2:].sum() == pytest.approx(5.6)


def test_sparse_ones_that_are_named_stay():
    layout = recognise(sparse_grid(), RAINY, obs="qobs", attributes=["slope", "glacier"])
    assert layout.attribute_names == ("slope", "glacier")


def test_attributes_that_share_hardly_a_cell_are_not_kept_together():
    ds = grid(ny=5, nx=6)
    cells = np.arange(30.0).reshape(5, 6) ** 2
    ds["north"] = (("lat", "lon"), np.where(cells < 200, cells, np.nan))
    ds["south"] = (("lat", "lon"), np.where(cells >= 200, cells, np.nan))
    with pytest.warns(XdplWarning, match=r"1 attribute left out, missing.*south"):
        layout = recognise(ds, RAINY, obs="qobs")
    assert layout.attribute_names == ("slope", "height", "north")
    half = ds.drop_vars("north")  # half of all cells remain: they can be learned from
    assert "south" in recognise(half, RAINY, obs="qobs").attribute_names


CODES = [10.0, 20.0, 20.0, 30.0, 40.0, 10.0]


@pytest.mark.parametrize(
    ("name", "attrs", "values"),
    [
        ("land_cover", {}, CODES),
        ("LULC", {"units": "1"}, CODES),
        ("v12", {"long_name": "dominant soil class"}, CODES),
        ("mask", {"flag_meanings": "sea land lake"}, CODES),
        ("corine2018", {"long_name": "CORINE code"}, CODES),
    ],
)
def test_codes_are_suspected_and_the_remedy_makes_them_classes(name, attrs, values):
    ds = basins(cells=6)
    ds[name] = ("basin", values, attrs)
    with pytest.warns(XdplWarning, match=f"1 attribute has few whole.*: {name}") as given:
        recognise(ds, RAINY, obs="qobs")
    scope = {"ds": ds, "recognise": recognise, "RAINY": RAINY}
    remedy = re.search(r"categorical=\[.*\]", str(given[0].message)).group()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layout = eval(f'recognise(ds, RAINY, obs="qobs", {remedy})', scope)
    assert layout.attributes[-1].classes == (10.0, 20.0, 30.0, 40.0)
    np.testing.assert_array_equal(read(ds, layout).attribute[:, 2], [0, 1, 1, 2, 3, 0])


@pytest.mark.parametrize(
    ("name", "attrs", "values"),
    [
        ("forest_cover", {"units": "percent"}, CODES),
        ("forest_cover", {}, [0.1, 0.2, 0.2, 0.3, 0.4, 0.1]),
        ("gauges", {}, CODES),
        ("urban_class", {}, [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]),
        ("temperature_class", {}, [-1.0, 0.0, 1.0, 2.0, 3.0, 1.0]),
    ],
)
def test_numbers_are_not_suspected(name, attrs, values):
    ds = basins(cells=6)
    ds[name] = ("basin", values, attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert name in recognise(ds, RAINY, obs="qobs").attribute_names


def test_signatures_of_streamflow_are_the_answer():
    ds = basins()
    ds["q_mean"] = ("basin", [1.0, 2.0, 3.0, 5.0])
    ds["runoff_ratio"] = ("basin", [0.1, 0.2, 0.3, 0.5])
    with pytest.warns(XdplWarning, match="2 attributes seem made from.*q_mean, runoff_r") as given:
        recognise(ds, RAINY, obs="qobs")
    remedy = re.search(r"attributes=\[.*\]", str(given[0].message)).group()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layout = eval(f'recognise(ds, RAINY, obs="qobs", {remedy})')
        ds["sm"] = ds["prcp"] * 0 + 0.2
        ds["sm"].attrs = {"units": "m3 m-3"}
        recognise(ds, SOIL, obs="sm")
    assert layout.attribute_names == ("slope", "height")


@pytest.mark.parametrize("named", [True, False])
def test_positions_are_no_attributes_unless_named(named):
    ds = basins().reset_coords("lat")
    ds["lon"] = ("basin", [5.0, 6.0, 7.0, 8.0], {"standard_name": "longitude"})
    layout = recognise(ds, RAINY, obs="qobs", attributes=["lat", "lon"] if named else None)
    assert layout.attribute_names == (("lat", "lon") if named else ("slope", "height"))
    assert ("lat: a position, not an attribute." in layout.notes) is not named
    assert layout.latitude == "lat"


def test_counts_of_one_keep_the_number_of_all():
    for total in (1, 11, 281):
        found = Findings({("cells", ""): total, ("no past", ""): 1, ("no attributes", ""): 1})
        for text in found.messages():
            assert text.startswith(f"1 of {total} cells ")
    assert Findings({("gap", "tas"): 1}).messages()[0].startswith("1 cell is left out")
