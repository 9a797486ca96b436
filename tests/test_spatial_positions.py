"""Where cells lie: degrees wherever they stand, projected and rotated axes, and nothing at all."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS, Transformer

from xdpl.errors import LayoutError
from xdpl.spatial import find_latitude, find_positions, geographic_positions, positions

ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def grid(y: str = "lat", x: str = "lon", attrs: dict | None = None) -> xr.Dataset:
    ds = xr.Dataset(coords={y: [50.0, 49.0], x: [5.0, 6.0, 7.0]})
    return ds if attrs is None else ds.assign(crs=((), 0, attrs))


def test_latitude_is_found_wherever_it_stands_and_must_be_degrees():
    assert find_positions(grid(), ("lat", "lon")) == ("lat", "lon")
    assert find_positions(grid("nav_lat", "nav_lon"), ("nav_lat", "nav_lon")) is not None
    basins = xr.Dataset({"gauge_lat": ("basin", [1.0, 2]), "gauge_lon": ("basin", [3.0, 4])})
    assert find_positions(basins, ("basin",)) == ("gauge_lat", "gauge_lon")
    stated = basins.assign(phi=("basin", [7.0, 8], {"standard_name": "latitude"}))
    assert find_latitude(stated, ("basin",)) == "phi"
    rows = grid().assign_coords(lat=[200.0, 100.0])
    assert find_latitude(rows, ("lat", "lon")) is None
    assert find_latitude(grid("rlat", "rlon", ROTATED), ("rlat", "rlon")) is None


@pytest.mark.parametrize("attrs", [ROTATED, {"EPSG_code": "EPSG:3035"}], ids=["rotated", "laea"])
def test_axes_and_crs_give_degrees(attrs):
    ds = grid("y", "x", attrs)
    latitude, longitude = geographic_positions(ds, ("y", "x"))
    crs = CRS.from_cf(attrs) if attrs is ROTATED else CRS.from_epsg(3035)
    known = Transformer.from_crs(crs, crs.source_crs or crs.geodetic_crs, always_xy=True)
    expected = known.transform(*(v.ravel() for v in np.meshgrid([5.0, 6, 7], [50.0, 49])))
    np.testing.assert_allclose([longitude, latitude], expected)


def test_the_origin_of_a_rotated_grid_lies_opposite_to_its_pole():
    ds = xr.Dataset(coords={"rlat": [0.0, 10.0], "rlon": [0.0]}).assign(crs=((), 0, ROTATED))
    latitude, longitude = geographic_positions(ds, ("rlat", "rlon"))
    np.testing.assert_allclose(latitude, [90 - 39.25, 90 - 39.25 + 10])
    np.testing.assert_allclose(longitude, 18)


def test_a_rotated_grid_lies_on_the_sphere_and_a_projected_one_on_its_plane():
    rotated = positions(grid("rlat", "rlon", ROTATED), ("rlat", "rlon"))
    assert rotated.shape == (6, 3)
    step = np.linalg.norm(rotated[0] - rotated[3])  # one degree along a meridian of the grid
    assert step == pytest.approx(np.radians(1) * 6371, rel=1e-4)
    plane = positions(grid("y", "x", {"EPSG_code": 3035}), ("y", "x"))
    np.testing.assert_array_equal(plane[:2], [[50, 5], [50, 6]])


def test_longitudes_of_0_to_360_lie_where_negative_ones_do():
    ds = grid()
    west, east = ds.assign_coords(lon=ds.lon - 10), ds.assign_coords(lon=ds.lon + 350)
    np.testing.assert_allclose(*(positions(d, ("lat", "lon")) for d in (west, east)), atol=1e-9)


def test_cells_without_positions_are_told_how_to_get_them():
    ds = xr.Dataset({"a": ("basin", [1.0, 2])})
    with pytest.raises(
        LayoutError, match=r'assign_coords\(lat=\("basin", \.\.\.\), lon='
    ) as caught:
        positions(ds, ("basin",))
    remedy = str(caught.value).split("Assign them: ds = ")[1].rstrip(".")
    there = eval(remedy.replace("...", "[1.0, 2.0]"), {"ds": ds})
    assert positions(there, ("basin",)).shape == (2, 3)
    assert geographic_positions(ds, ("basin",)) is None
    with pytest.raises(LayoutError, match="a single cell has no neighbours"):
        positions(ds.isel(basin=0), ())
