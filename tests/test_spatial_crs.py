"""What a grid mapping says, however it is written, and what a damaged one doesn't break."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from pyproj import CRS

from xdpl.spatial import crs_of, find_grid_mapping, is_geographic, stated_crs
from xdpl.spatial.crs import is_rotated, parse_crs

LAEA = CRS.from_epsg(3035)
ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def mapped(attrs: dict, name: str = "crs") -> xr.Dataset:
    ds = xr.Dataset({"a": (("y", "x"), np.zeros((2, 2)), {"grid_mapping": name})})
    return ds.assign({name: ((), 0, attrs)})


@pytest.mark.parametrize(
    "attrs",
    [
        {"crs_wkt": LAEA.to_wkt()},
        {"spatial_ref": LAEA.to_wkt("WKT1_GDAL")},
        {"crs_wkt": b"damaged", "spatial_ref": LAEA.to_wkt().encode()},
        {"EPSG_code": "EPSG:3035"},
        {"epsg_code": 3035},
        {"EPSG": np.array([3035])},
        {"epsg": np.float64(3035)},
        {"epsg_code": "3035.0"},
        {"epsg_code": "epsg: 3035"},
        {"epsg": "urn:ogc:def:crs:EPSG::3035"},
        {"proj4_params": LAEA.to_proj4()},
        {"proj4": LAEA.to_proj4()},
        {k: v for k, v in LAEA.to_cf().items() if k != "crs_wkt"},
    ],
    ids=lambda attrs: next(iter(attrs)),
)
def test_a_crs_in_any_spelling(attrs):
    found = stated_crs(mapped(attrs))
    assert found is not None and found.to_dict()["proj"] == "laea"
    assert found.to_dict()["lat_0"] == 52 and found.to_dict()["x_0"] == 4321000


@pytest.mark.parametrize("place", ["dataset", "variable", "array"])
def test_a_crs_in_an_attribute_of_the_data(place):
    ds = xr.Dataset({"a": (("y", "x"), np.zeros((2, 2)))})
    (ds if place == "dataset" else ds["a"]).attrs["crs"] = "+init=epsg:3035"
    assert stated_crs(ds["a"] if place == "array" else ds).to_epsg() == 3035


def test_the_grid_mapping_that_a_variable_names_comes_first():
    ds = mapped({"epsg_code": 3035}, "one").assign(other=((), 0, {"crs_wkt": CRS(4326).to_wkt()}))
    assert find_grid_mapping(ds) == "one"
    ds["a"].attrs["grid_mapping"] = "other: y x one: lat lon"
    assert find_grid_mapping(ds) == "other"
    for damaged in (":", "", "  ", 3, None, ["one"], "nowhere"):
        ds["a"].attrs["grid_mapping"] = damaged
        assert find_grid_mapping(ds) == "other"


def test_rotated_degrees_are_no_latitudes():
    crs = parse_crs(ROTATED)
    assert crs is not None and is_rotated(crs) and not is_rotated(CRS.from_epsg(4326))


@pytest.mark.parametrize(
    ("lat", "lon", "found"),
    [
        ([1.0, 2], [359.0, 360], True),
        (["1", "2"], ["3", "4"], True),
        ([100.0, 200], [3.0, 4], False),
        ([1.0, 2], [500.0, 600], False),
    ],
)
def test_latitude_and_longitude_are_epsg_4326(lat, lon, found):
    ds = xr.Dataset({"a": (("lat", "lon"), np.zeros((2, 2)))}, {"lat": lat, "lon": lon})
    assert is_geographic(ds, "lat", "lon") is found
    assert (crs_of(ds) == CRS.from_epsg(4326)) is found
    assert stated_crs(ds) is None and not is_geographic(ds.drop_vars("lat"), "lat", "lon")


@pytest.mark.parametrize(("text", "code"), [("WGS 84", 4326), ("lat lon", None), ("UTM", None)])
def test_only_what_is_a_crs_is_taken_for_one(text, code):
    """PROJ finds some CRS for nearly any words."""
    found = parse_crs({"crs_wkt": text})
    assert (found and found.to_epsg()) == code


KEYS = st.sampled_from(
    ["crs_wkt", "spatial_ref", "epsg_code", "EPSG_code", "proj4", "proj4_params", "crs", "x"]
    + ["grid_mapping_name", "GeoTransform", "false_easting", "standard_parallel", "towgs84"]
    + ["straight_vertical_longitude_from_pole", "latitude_of_projection_origin"]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.lists(st.floats(), max_size=4),
    st.lists(st.floats(), max_size=4).map(np.array),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from(["lambert_conformal_conic", "polar_stereographic", "EPSG:", "EPSG:999999"]),
    st.sampled_from(["latitude_longitude", "rotated_latitude_longitude", "+proj=", "GEOGCS["]),
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(KEYS, VALUES, max_size=6), VALUES)
def test_damaged_grid_mappings_raise_nothing(attrs, name):
    ds = mapped(attrs)
    ds["a"].attrs["grid_mapping"] = name
    ds["a"].encoding["grid_mapping"] = name
    found = stated_crs(ds)
    assert found is None or isinstance(found, CRS)
    assert find_grid_mapping(ds) in (None, "crs")
