"""Real files as people have them: axes found, maps written and compared pixel by pixel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rioxarray
import xarray as xr
from pyproj import CRS

from xdpl.layout.axes import find_space
from xdpl.layout.times import find_time, time_step
from xdpl.plot import plot
from xdpl.rasters import to_geotiff
from xdpl.rasters.cf import dress
from xdpl.spatial import crs_of, find_basin, find_grid, find_grid_mapping, find_positions
from xdpl.variables import Output

FOLDER = Path(os.environ.get("XDPL_DATA", "")) / "field"
FILES = sorted(FOLDER.glob("*.nc")) + sorted(FOLDER.glob("*.tif"))

if not os.environ.get("XDPL_DATA") or not FILES:
    pytest.skip("no folder field in XDPL_DATA: real files aren't there", allow_module_level=True)

KNOWN = {  # axes, and the projection by PROJ's name
    "era5land_tp.nc": (("latitude", "longitude"), "longlat"),
    "lisflood_gradient.nc": (("y", "x"), "laea"),
    "lisflood_params_b_Xinanjiang.nc": (("y", "x"), "laea"),
    "lisflood_soildepth2_o.nc": (("y", "x"), "laea"),
    "metsim_passthrough.nc": (("lat", "lon"), "longlat"),
    "modis_array.nc": (("y", "x"), "sinu"),
    "planet_scope_3d.nc": (("y", "x"), "utm"),
    "sentinel_2_L1C_geographic.nc": (("latitude", "longitude"), "longlat"),
    "unicode.nc": (("y", "x"), "geos"),
    "wflow_inmaps.nc": (("latitude", "longitude"), "longlat"),
}
STEPS = {  # days
    "era5land_tp.nc": 1 / 24,
    "metsim_passthrough.nc": 1,
    "wflow_inmaps.nc": 1,
    "hydromt_discharge.nc": 1,
    "summa_evaldata.nc": 1 / 24,
}


def opened(path: Path) -> xr.Dataset:
    return xr.open_dataset(path, engine="rasterio" if path.suffix == ".tif" else None)


def maps_of(path: Path) -> xr.Dataset:
    """Its maps at one time; skips a file that has none."""
    ds = opened(path)
    space = find_grid(ds)
    if space is None:
        pytest.skip(f"{path.name} holds series of {find_basin(ds) or 'one place'}, no maps")
    one = ds.isel({dim: 0 for dim in ds.dims if dim not in space}, drop=True)
    mapping = find_grid_mapping(one)
    one = one if mapping is None else one.set_coords(mapping)
    return one.drop_vars([name for name, v in one.data_vars.items() if set(v.dims) != set(space)])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_axes_and_crs_are_what_the_file_says(path):
    ds = opened(path)
    space = find_grid(ds)
    if path.name in KNOWN:
        axes, projection = KNOWN[path.name]
        assert space == axes
        assert crs_of(ds).to_dict().get("proj") == projection
    if path.suffix == ".tif":
        assert crs_of(ds) == rioxarray.open_rasterio(path).rio.crs
    if space is not None and crs_of(ds).is_geographic and space != ("y", "x"):
        assert find_positions(ds, space) == space


@pytest.mark.parametrize("path", [p for p in FILES if p.name in STEPS], ids=lambda path: path.name)
def test_time_and_space_are_recognised(path):
    ds = opened(path)
    time = find_time(ds)
    assert time == "time" and time_step(ds, time) == pytest.approx(STEPS[path.name])
    for name, variable in ds.data_vars.items():
        dims = [str(dim) for dim in variable.dims if dim != time]
        if time in variable.dims:
            assert set(find_space(ds, dims, str(name))) == set(dims)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_geotiffs_hold_every_pixel_where_it_was(path, tmp_path):
    maps = maps_of(path)
    y, x = find_grid(maps)
    files = to_geotiff(maps, tmp_path)
    assert len(files) == len(maps.data_vars)
    for file, name in zip(files, maps.data_vars, strict=True):
        found = rioxarray.open_rasterio(file, masked=True).isel(band=0)
        own = maps[name].sortby(y, ascending=False).sortby(x).transpose(y, x)
        np.testing.assert_array_equal(found.values, own.values)
        cell = np.abs(found.rio.resolution()).min()
        np.testing.assert_allclose(found.y, own[y], atol=0.01 * cell)
        np.testing.assert_allclose(found.x, own[x], atol=0.01 * cell)
        back = CRS.from_wkt(found.rio.crs.to_wkt(version="WKT2_2019"))
        assert back.to_dict().get("proj") == crs_of(maps).to_dict().get("proj")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_netcdf_holds_every_value_and_the_crs(path, tmp_path):
    maps = maps_of(path)
    maps = maps.rename({name: f"v{i}" for i, name in enumerate(maps.data_vars)})
    dressed = dress(maps, maps, {str(name): Output("1") for name in maps.data_vars})
    dressed.to_netcdf(tmp_path / "maps.nc")
    with xr.open_dataset(tmp_path / "maps.nc", decode_coords="all") as again:
        for name in maps.data_vars:
            np.testing.assert_array_equal(again[name].values, dressed[name].values)
            own = maps[name].transpose(*dressed[name].dims)
            np.testing.assert_array_equal(dressed[name].values, own.values)
        assert again.rio.crs == crs_of(maps)
        assert {again[dim].attrs["axis"] for dim in find_grid(again)} == {"Y", "X"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_maps_are_drawn(path):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    maps = maps_of(path)
    first = next(iter(maps.data_vars))
    mesh = plot(maps, str(first)).axes[0].collections[0]
    drawn, values = mesh.get_array(), maps[first].values.astype(float)
    assert np.isclose(float(np.nansum(drawn.filled(np.nan))), float(np.nansum(values)))
    plt.close("all")
