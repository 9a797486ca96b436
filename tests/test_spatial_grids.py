"""Grids of any axis names: mapped by one fit, written, drawn, and their coherence measured."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import xarray as xr
from test_spatial_axes import NAMES
from toy import QUICK, grid

import xdpl
from xdpl.errors import RasterError
from xdpl.validation import moran

DEGREES = {("lat", "lon"), ("Latitude", "Longitude"), ("nav_lat", "nav_lon")}


@pytest.fixture(scope="module")
def ds():
    return grid(days=400)


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", warmup=60, **QUICK)


@pytest.fixture(scope="module")
def plain(ds, fit):
    return fit.parameters(ds)


def named(ds: xr.Dataset, names: tuple[str, str]) -> xr.Dataset:
    """The same values on axes of other names, whose coordinates have no attributes."""
    other = ds.drop_vars("spatial_ref").rename(y=names[0], x=names[1]).drop_attrs(deep=False)
    for name in other.data_vars:
        other[name].attrs.pop("grid_mapping", None)
        other[name].encoding.pop("grid_mapping", None)
    axes = {
        names[0]: np.linspace(50, 46, ds.sizes["y"]),
        names[1]: np.linspace(5, 10, ds.sizes["x"]),
    }
    return other.assign_coords(axes)


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_maps_of_any_grid_are_written_drawn_and_measured(ds, fit, plain, names, tmp_path):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    maps = fit.parameters(named(ds, names), deviations=False)
    known = fit.parameters(ds, deviations=False)
    np.testing.assert_allclose(maps.recession, known.recession, rtol=1e-5)
    assert maps.recession.dims == names
    assert [maps[name].attrs["axis"] for name in names] == ["Y", "X"]
    if names in DEGREES:
        assert maps.rio.crs.to_epsg() == 4326
    elif names == ("rlat", "rlon"):
        with pytest.raises(RasterError, match="those of a rotated pole. State where the pole is"):
            maps.dpl.to_geotiff(tmp_path)
    else:
        with pytest.raises(RasterError, match="no coordinate reference system"):
            maps.dpl.to_geotiff(tmp_path)
        maps = maps.rio.write_crs("EPSG:4326")
    if names != ("rlat", "rlon"):
        for path in maps.dpl.to_geotiff(tmp_path):
            with rasterio.open(path) as raster:
                assert raster.bounds == pytest.approx((4.5, 45.5, 10.5, 50.5))
                np.testing.assert_array_equal(raster.read(1), maps[path.stem])
    maps.to_netcdf(tmp_path / "maps.nc")
    with xr.open_dataset(tmp_path / "maps.nc") as again:
        assert float(moran(again.recession)) == pytest.approx(moran(known.recession), rel=1e-4)
        assert again.dpl.plot("recession").axes[0].collections[0].get_array().size == 30
    plt.close("all")


@pytest.mark.parametrize("names", [("south_north", "west_east"), ("m", "n")], ids=" ".join)
def test_curvilinear_grids_are_fitted_drawn_and_measured(ds, plain, names, tmp_path):
    other = named(ds, names).drop_vars(names)
    lat, lon = np.meshgrid(np.linspace(50, 46, 5), np.linspace(5, 10, 6), indexing="ij")
    other = other.assign_coords(
        XLAT=(names, lat + 0.1 * lon, {"units": "degrees_north"}),
        XLONG=(names, lon, {"units": "degrees_east"}),
    )
    maps = xdpl.fit(other, obs="qobs", warmup=60, **QUICK).parameters(other)
    assert maps.recession.dims == names
    with pytest.raises(RasterError, match="curvilinear: its cells lie at XLAT and XLONG"):
        maps.dpl.to_geotiff(tmp_path)
    maps.to_netcdf(tmp_path / "maps.nc")
    with xr.open_dataset(tmp_path / "maps.nc") as again:
        np.testing.assert_array_equal(again.recession, maps.recession)
        assert np.isfinite(moran(again.recession)) and np.isfinite(moran(again.recession, 4))
        assert again.dpl.plot("recession").axes[0].get_xlabel() == "longitude (°E)"
