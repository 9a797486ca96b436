"""Which static variables the network reads, and which are left out, loudly."""

from __future__ import annotations

import numpy as np
import pytest
from layout_datasets import RAINY, basins, grid

from xdpl.errors import LayoutError, XdplWarning
from xdpl.layout import read, recognise


def names(ds, **keywords):
    return recognise(ds, RAINY, obs="qobs", **keywords).attribute_names


def test_default_is_every_numeric_variable_without_time():
    ds = grid()
    ds["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    ds["version"] = ((), 3)
    ds["lat_bounds"] = (("lat", "bound"), np.zeros((3, 2)))
    ds["lat"].attrs["bounds"] = "lat_bounds"
    ds["rowwise"] = ("lat", [1.0, 2.0, 3.0])
    ds["edges"] = (("lat", "lon", "nv"), np.zeros((3, 4, 4)))
    ds["table"] = ("month", np.arange(12.0))
    assert names(ds) == ("slope", "height", "rowwise")
    layout = recognise(ds, RAINY, obs="qobs")
    assert "3 attributes: slope, height, rowwise." in layout.notes
    one = recognise(ds, RAINY, obs="qobs", attributes=["slope"])
    assert "1 attribute: slope." in one.notes
    table = read(ds, layout).attribute
    np.testing.assert_array_equal(table[:, 2], np.repeat([1.0, 2.0, 3.0], 4))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.0, 1.0, 1.0, 1.0], "constant"),
        ([1.0, np.inf, 2.0, 3.0], "infinite somewhere"),
        ([np.nan] * 4, "without any value"),
        (["a", "b", "c", "d"], r"not numeric \(name it in categorical="),
        (np.array(["2001-01-01"] * 4, dtype="M8[ns]"), "not numeric"),
    ],
)
def test_useless_ones_are_left_out_with_a_warning(values, reason):
    ds = basins()
    ds["odd"] = ("basin", values)
    with pytest.warns(XdplWarning, match=f"1 attribute left out, {reason}.*: odd"):
        assert names(ds) == ("slope", "height")


def test_nothing_left():
    ds = basins().drop_vars(["slope", "height"])
    with pytest.raises(LayoutError, match=r"no attributes.*attributes=\['lat', 'lon'\]"):
        names(ds)
    ds["flat"] = ("basin", [1.0] * 4)
    with (
        pytest.warns(XdplWarning, match="constant"),
        pytest.raises(LayoutError, match="between cells is left"),
    ):
        names(ds)


def test_named_ones_may_be_coordinates():
    assert names(basins(), attributes=["lat", "slope"]) == ("lat", "slope")
    assert names(basins(), attributes="lat") == ("lat",)
    layout = recognise(grid(), RAINY, obs="qobs", attributes=["lat", "lon"])
    table = read(grid(), layout).attribute
    np.testing.assert_array_equal(table[:, 0], np.repeat([50.0, 49.0, 48.0], 4))
    np.testing.assert_array_equal(table[:, 1], np.tile([5.0, 6.0, 7.0, 8.0], 3))


def test_named_ones_that_can_not_be():
    ds = basins()
    with pytest.raises(LayoutError, match=r"'slop' is no variable.*mean 'slope'.*slope, height"):
        names(ds, attributes=["slop"])
    with pytest.raises(LayoutError, match=r"'tas' depends on 'time'.*\.mean\(\"time\"\)"):
        names(ds, attributes=["tas"])
    ds["hourly"] = (("basin", "hour", "month"), np.zeros((4, 24, 12)))
    with pytest.raises(LayoutError, match=r"'hourly' has the dimension 'hour'.*isel\(hour=0\)"):
        names(ds, attributes=["hourly"])


def test_classes_are_positions_among_those_that_occur():
    ds = basins()
    ds["cover"] = ("basin", [5.0, 2.0, 9.0, np.nan], {"flag_values": [1.0, 2.0, 5.0, 7.0]})
    layout = recognise(ds, RAINY, obs="qobs")
    assert layout.attributes[-1].classes == (2.0, 5.0)
    assert "3 attributes: slope, height, cover (2 classes)." in layout.notes
    block = read(ds, layout)
    np.testing.assert_array_equal(block.attribute[:, 2], [1.0, 0.0, 2.0, np.nan])
    assert block.findings.count("class", "cover") == 1
    assert block.findings.count("attribute", "cover") == 1
    assert list(block.has_attributes) == [True, True, True, False]


def test_text_and_numbers_named_as_classes():
    ds = basins()
    ds["soil"] = ("basin", ["loam", "clay", "loam", ""])
    ds["zone"] = ("basin", [3, 1, 1, 3])
    layout = recognise(ds, RAINY, obs="qobs", categorical=["soil", "zone"])
    assert {r.name: r.classes for r in layout.attributes[2:]} == {
        "soil": ("clay", "loam"),
        "zone": (1.0, 3.0),
    }
    table = read(ds, layout).attribute
    np.testing.assert_array_equal(table[:, 2], [1.0, 0.0, 1.0, np.nan])
    np.testing.assert_array_equal(table[:, 3], [1.0, 0.0, 0.0, 1.0])
    only = names(ds, attributes=["slope"], categorical="zone")
    assert only == ("slope", "zone")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([2.0] * 4, "constant"),
        ([np.nan] * 4, "without any value"),
        ([8.0, 9.0, 8.0, 9.0], "without any value"),
    ],
)
def test_classes_that_tell_nothing(values, reason):
    ds = basins()
    ds["cover"] = ("basin", values, {"flag_values": [1.0, 2.0]})
    with pytest.warns(XdplWarning, match=reason):
        assert names(ds) == ("slope", "height")


def test_identifiers_are_no_classes():
    ds = basins(cells=300)
    ds["id"] = ("basin", np.arange(300.0))
    with pytest.warns(XdplWarning, match="of more than 200 classes: id"):
        assert names(ds, categorical=["id"]) == ("slope", "height")


def test_one_cell_has_only_constants():
    ds = basins(cells=1)
    assert names(ds) == ("slope", "height")


def test_a_missing_attribute_is_counted_by_cell():
    ds = basins()
    ds["slope"] = ds["slope"].where(ds["slope"] > 0.15)
    ds["height"] = ds["height"].where(ds["height"] < 800)
    block = read(ds, recognise(ds, RAINY, obs="qobs"))
    assert list(block.has_attributes) == [False, True, True, False]
    with pytest.warns(XdplWarning, match=r"2 of 4 cells.*missing there \(slope: 1, height: 1\)"):
        block.findings.warn()
