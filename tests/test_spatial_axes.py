"""Which dimension is Y and which X, whatever a file calls them."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xdpl
from xdpl.spatial import axes as spatial_axes
from xdpl.spatial import direction, find_basin, find_grid, is_latitude, is_longitude, ordered

NAMES = [
    ("south_north", "west_east"),
    ("nav_lat", "nav_lon"),
    ("row", "col"),
    ("j", "i"),
    ("north", "east"),
    ("yc", "xc"),
    ("nj", "ni"),
    ("rlat", "rlon"),
    ("northing", "easting"),
    ("Y", "X"),
    ("lat", "lon"),
    ("Latitude", "Longitude"),
]


def field(y_name: str, x_name: str, **coords) -> xr.Dataset:
    return xr.Dataset({"a": ((x_name, y_name), np.zeros((3, 2)))}, coords)


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_names_tell_y_from_x(names):
    ds = field(*names)
    assert (direction(ds, names[0]), direction(ds, names[1])) == ("Y", "X")
    assert find_grid(ds) == find_grid(ds["a"]) == ordered(ds, names[::-1]) == names


@pytest.mark.parametrize(
    "attrs",
    [
        ({"axis": "Y"}, {"axis": "X"}),
        ({"standard_name": "latitude"}, {"standard_name": "longitude"}),
        ({"standard_name": "grid_latitude"}, {"standard_name": "grid_longitude"}),
        ({"units": "degrees_north"}, {"units": "degree_E"}),
    ],
)
def test_metadata_come_before_names(attrs):
    ds = field("x", "y", y=("y", [1.0, 2, 3], attrs[1]), x=("x", [1.0, 2], attrs[0]))
    assert find_grid(ds) == ("x", "y")


def test_attributes_that_are_no_text_say_nothing():
    ds = field("lat", "lon", lat=("lat", [1.0, 2], {"axis": 3, "units": np.arange(2)}))
    assert find_grid(ds) == ("lat", "lon")


def test_one_axis_tells_the_other_and_curvilinear_positions_tell_both():
    ds = field("y", "b")
    assert ordered(ds, ("b", "y")) == ("y", "b")
    assert ordered(ds, ("b", "c")) is None and ordered(ds, ("b",)) is None
    lat = (("m", "n"), np.zeros((2, 3)), {"units": "degrees_north"})
    lon = (("m", "n"), np.zeros((2, 3)), {"units": "degrees_east"})
    curved = xr.Dataset({"a": (("n", "m"), np.zeros((3, 2)))}, {"p": lat, "q": lon})
    assert find_grid(curved) == ordered(curved, ("n", "m")) == ("m", "n")
    assert find_grid(curved.drop_vars("q")) is None


def test_the_grid_of_most_variables_counts():
    other = {"b": (("lat", "lon"), np.zeros((2, 2))), "c": (("y", "x"), np.ones((2, 3)))}
    ds = field("y", "x").assign(other)
    assert find_grid(ds) == ("y", "x")
    assert find_grid(xr.Dataset(coords={"y": [1], "x": [2]})) == ("y", "x")


@pytest.mark.parametrize(
    ("name", "attrs", "latitude"),
    [
        ("lat", {}, True),
        ("gauge_lat", {}, True),
        ("XLAT", {}, True),
        ("nav_lat", {"units": "degrees_north"}, True),
        ("phi", {"standard_name": "latitude"}, True),
        ("phi", {"units": "degree_N"}, True),
        ("lat", {"standard_name": "grid_latitude"}, False),
        ("lat", {"units": "m"}, False),
        ("rlat", {"units": "degrees"}, False),
        ("y", {"units": "degrees"}, False),
        ("latent", {}, False),
    ],
)
def test_what_is_a_latitude(name, attrs, latitude):
    ds = xr.Dataset(coords={name: (name, [1.0, 2.0], attrs)})
    assert is_latitude(ds, name) is latitude
    assert not is_longitude(ds, name)


def test_basins_are_what_all_variables_share():
    time = ("time", np.array([0, 1], "M8[ns]"))
    ds = xr.Dataset({"a": (("time", "b"), np.zeros((2, 3))), "c": ("b", [1, 2, 3])}, {"time": time})
    assert find_basin(ds) == "b"
    assert find_basin(ds.drop_vars(["a", "c"])) is None
    assert find_basin(ds[["a"]].expand_dims(member=2)) == "b"


def test_no_axis_names_outside_the_room_of_space():
    """A second list of names would disagree with the first one some day."""
    known = {name for name in spatial_axes._Y_NAMES | spatial_axes._X_NAMES if len(name) > 2}
    known |= {name for names in spatial_axes._STANDARD.values() for name in names}
    known |= spatial_axes._NORTH | spatial_axes._EAST
    known -= {"row", "rows", "column", "columns", "col", "cols"}
    allowed = {("layout/records.py", "latitude"), ("layout/derive.py", "latitudes")}
    root = Path(xdpl.__file__).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        where = path.relative_to(root).as_posix()
        if where.startswith(("spatial/", "tutorial/")):  # tutorials make Datasets
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value.lower() in known and (where, node.value) not in allowed:
                    found.append(f"{where}:{node.lineno}: {node.value!r}")
    assert not found, "\n".join(found)
