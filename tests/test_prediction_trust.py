"""Trust layers: there where they can be had, lazy, CF-compliant, kept by every format."""

from dataclasses import replace

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from test_rasters_cf import check
from toy import QUICK, basins, grid

import xdpl
from xdpl.errors import XdplWarning
from xdpl.prediction.applicability import BEYOND, NOTHING, TRAINED
from xdpl.validation import quality_flags

EACH = ("standard_error", "at_bound", "sensitivity", "identifiability")
ALL = ("number_of_observations", "dissimilarity", "extrapolation")
PERIOD = slice("2000-07-01", "2001-10-01")


@pytest.fixture(scope="module")
def ds():
    ds = grid()
    ds["qobs"][:, 0, 0] = np.nan  # not observed
    ds["forest"][0, 1] = np.nan  # without an attribute
    ds["elevation"][0, 0] = 9000.0  # never seen in training
    return ds


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", ensemble=2, period=PERIOD, warmup=100, **QUICK)


@pytest.fixture(scope="module")
def maps(ds, fit):
    return fit.parameters(ds, trust=True)


def test_every_parameter_names_its_layers(maps, fit):
    for name in fit.model.parameters:
        beside = maps[name].attrs["ancillary_variables"].split()
        assert beside == [*(f"{name}_{what}" for what in EACH), *ALL]
        assert set(beside) < set(maps.data_vars)
    assert "trust_absent" not in maps.attrs


def test_the_parameters_are_the_same_as_without(ds, maps, fit):
    plain = fit.parameters(ds)
    for name in fit.model.parameters:
        np.testing.assert_array_equal(maps[name], plain[name])


def test_spread_is_that_of_the_members(ds, maps, fit):
    other = xdpl.fit(ds, obs="qobs", period=PERIOD, warmup=100, **QUICK)
    each = []
    for member in fit.members:
        each.append(replace(other, learner=member).parameters(ds).recession)
    expected = xr.concat(each, "member").std("member", ddof=1)
    np.testing.assert_allclose(maps.recession_standard_error, expected, rtol=1e-4)


def test_cells_that_were_not_trained_on(ds, maps):
    unseen, bare, usual = ({"y": 0, "x": 0}, {"y": 0, "x": 1}, {"y": 2, "x": 2})
    assert maps.extrapolation.isel(unseen) == BEYOND
    assert maps.extrapolation.isel(bare) == NOTHING
    assert maps.extrapolation.isel(usual) == TRAINED
    assert maps.number_of_observations.isel(unseen) == 0
    days = ds.time.sel(time=PERIOD).size
    assert maps.number_of_observations.isel(usual) == days
    for what in ("sensitivity", "identifiability"):
        assert maps[f"recession_{what}"].isel(unseen).isnull()
        assert maps[f"recession_{what}"].isel(usual) > 0
    assert maps.recession_standard_error.isel(unseen) > 0
    assert maps.recession_at_bound.isel(bare).isnull()
    assert maps.number_of_observations.isel(bare).isnull()
    assert quality_flags(maps).recession.isel(unseen) == 1
    assert quality_flags(maps).recession.isel(bare).isnull()


def test_evidence_is_that_of_the_training_period_whatever_else_is_there(ds, maps, fit):
    other = ds.copy(deep=True)
    later = ds.time > np.datetime64(PERIOD.stop)
    other["qobs"] = other.qobs.where(~later, 99.0)
    spoiled = fit.parameters(other, trust=True)
    xr.testing.assert_allclose(spoiled, maps)
    cut = ds.sel(time=slice("2000-05-01", None))
    near = fit.parameters(cut, trust=True)
    np.testing.assert_allclose(
        near.recession_identifiability, maps.recession_identifiability, atol=0.05
    )


@pytest.mark.parametrize("components", [1, 2])
def test_blocks_of_dask_give_the_same(ds, components):
    fit = xdpl.fit(ds, obs="qobs", ensemble=2, components=components, **QUICK)
    whole = fit.parameters(ds, trust=True)
    chunked = ds.chunk({"y": 2, "x": 3, "time": 200})

    def refuse(*_, **__):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        lazy = fit.parameters(chunked, trust=True)
    assert all(v.chunks is not None for v in lazy.data_vars.values())
    assert lazy.extrapolation.dtype == np.int8
    found = lazy.compute()
    for name in whole.data_vars:
        assert found[name].dtype == lazy[name].dtype == whole[name].dtype
        np.testing.assert_allclose(found[name], whole[name], rtol=2e-3, atol=1e-4, err_msg=name)


def test_one_member_has_no_spread_and_says_so(ds):
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    with pytest.warns(XdplWarning, match="no standard_error: the fit has one member; fit with ens"):
        maps = fit.parameters(ds, trust=True)
    assert not [name for name in maps.data_vars if "standard_error" in str(name)]
    assert "standard_error" not in maps.recession.attrs["ancillary_variables"]
    assert "ensemble=5" in maps.attrs["trust_absent"]
    assert set(np.unique(maps.recession_at_bound.values[1:])) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "part",
    [lambda ds: ds[["elevation", "forest"]], lambda ds: ds.assign_coords(time=ds.time + 9**17)],
    ids=["attributes alone", "another period"],
)
def test_another_place_or_period_has_no_evidence_and_says_so(ds, fit, part):
    with pytest.warns(XdplWarning, match="no sensitivity and identifiability: they need forcings"):
        maps = fit.parameters(part(ds), trust=True)
    assert "recession_identifiability" not in maps
    assert maps.recession_standard_error.notnull().any()
    assert (maps.extrapolation == TRAINED).sum() == 28


def test_baselines_have_evidence_but_no_attributes(ds):
    fit = xdpl.validation.calibrate(ds, "qobs", model=QUICK["model"], epochs=3, progress=False)
    with pytest.warns(XdplWarning, match="no dissimilarity and extrapolation"):
        maps = fit.parameters(ds, trust=True)
    assert maps.recession_identifiability.notnull().sum() == 28
    assert maps.recession_identifiability[0, 0].isnull()


def test_the_compliance_checker_agrees(maps, tmp_path, monkeypatch):
    maps.to_netcdf(tmp_path / "maps.nc")
    assert check(tmp_path / "maps.nc", monkeypatch) == []


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_a_store_keeps_layers_and_what_they_are_about(maps, tmp_path, kind):
    path = tmp_path / f"maps.{kind}"
    if kind == "zarr":
        maps.to_zarr(path)
        again = xr.open_zarr(path)
    else:
        maps.to_netcdf(path)
        again = xr.open_dataset(path)
    known = again.recession.attrs | again.recession.encoding
    assert "recession_standard_error" in known["ancillary_variables"]
    there = maps.extrapolation != NOTHING
    np.testing.assert_array_equal(again.extrapolation, maps.extrapolation.where(there))
    assert again.extrapolation.attrs["flag_meanings"] == maps.extrapolation.attrs["flag_meanings"]
    again.close()


def test_geotiffs_hold_every_layer(maps, tmp_path):
    files = maps.dpl.to_geotiff(tmp_path)
    assert {path.stem for path in files} == set(map(str, maps.data_vars))
    with rasterio.open(tmp_path / "extrapolation.tif") as raster:
        assert raster.dtypes == ("int8",) and raster.nodata == NOTHING
        assert "flag_meanings" in raster.tags(1)
        np.testing.assert_array_equal(raster.read(1), maps.extrapolation)
    with rasterio.open(tmp_path / "recession.tif") as raster:
        assert "recession_standard_error" in raster.tags(1)["ancillary_variables"]


def test_basins_keep_them_in_a_geopackage(tmp_path):
    import geopandas
    from shapely.geometry import box

    ds = basins()
    fit = xdpl.fit(ds, obs="qobs", ensemble=2, **QUICK)
    maps = fit.parameters(ds, trust=True)
    shapes = [box(i, 0, i + 1, 1) for i in range(ds.sizes["basin"])]
    outlines = geopandas.GeoDataFrame(geometry=shapes, index=ds.basin.values, crs=4326)
    path = maps.dpl.to_geopackage(tmp_path / "basins.gpkg", geometries=outlines)
    table = geopandas.read_file(path)
    assert {"recession_standard_error", "extrapolation"} <= set(table.columns)
    assert (table["extrapolation"] == TRAINED).all()
    figure = maps.dpl.plot(geometries=outlines)
    assert [a.get_title() for a in figure.axes if a.get_title()] == [
        "recession", "evaporation factor",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::xdpl.errors.XdplWarning")
def test_dynamic_parameters_have_layers_of_their_means(ds):
    fit = xdpl.fit(
        ds, obs="qobs", dynamic=("evaporation_factor",), ensemble=2, components=2, **QUICK
    )
    maps, plain = fit.parameters(ds, trust=True), fit.parameters(ds)
    for name in fit.model.parameters:
        np.testing.assert_array_equal(maps[name], plain[name])
        assert maps[f"{name}_standard_error"].dims == ("component", "y", "x")
        assert maps[f"{name}_identifiability"].dims == ("y", "x")
        assert maps[f"{name}_identifiability"].notnull().sum() == 28
