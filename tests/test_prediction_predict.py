"""Maps, simulations and scores from a Fit: static, lazy, CF-compliant, wherever asked for."""

import warnings

import dask
import numpy as np
import pytest
import xarray as xr
from toy import QUICK, basins, grid

import xdpl
from xdpl import errors
from xdpl.networks import LSTM, MLP
from xdpl.parameters.simulator import ProcessSimulator
from xdpl.scores import score
from xdpl.training import step_memory as memory

EPS = float(np.finfo("f4").eps)


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", **QUICK)


def test_maps_bear_units_bounds_names_and_crs(ds, fit):
    maps = fit.parameters(ds)
    assert set(maps.data_vars) == set(fit.model.parameters)
    recession = maps.recession
    assert recession.dims == ("y", "x")
    assert recession.attrs["units"] == "day-1"
    np.testing.assert_allclose(recession.attrs["valid_range"], (0.01, 0.9), rtol=1e-6)
    assert "prcp" not in str(recession.attrs)
    assert maps.rio.crs == ds.rio.crs
    assert maps.attrs["Conventions"] == "CF-1.11"
    for word in ("Bucket", "qobs", "2000-01-01"):
        assert word in str(maps.attrs)
    assert maps.attrs["seed"] == 0


@pytest.mark.parametrize("network", [MLP(hidden=(4,)), LSTM(hidden=4)])
def test_static_means_the_same_for_any_two_windows(ds, network):
    fit = xdpl.fit(ds, obs="qobs", network=network, **QUICK)
    whole = fit.parameters(ds)
    for window in (slice(0, 400), slice(300, 800)):
        xr.testing.assert_equal(fit.parameters(ds.isel(time=window)), whole)


def test_parameters_need_no_forcings(ds, fit):
    static = ds[["elevation", "forest"]]
    xr.testing.assert_equal(fit.parameters(static), fit.parameters(ds))


def test_lazy_where_the_input_is(ds, fit):
    chunked = ds.chunk({"y": 2, "x": 3, "time": 200})

    def refuse(*_, **__):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        lazy = (
            fit.parameters(chunked),
            fit.simulate(chunked, period=slice("2001-01-01", None)),
            fit.evaluate(chunked),
        )
    eager = (
        fit.parameters(ds),
        fit.simulate(ds, period=slice("2001-01-01", None)),
        fit.evaluate(ds),
    )
    for one, other in zip(lazy, eager, strict=True):
        assert all(v.chunks for v in one.data_vars.values())
        # a matrix product over other numbers of cells rounds the last bit of a parameter otherwise;
        # a bias near 0, a mean of differences of values around 10, shows it as an absolute error
        xr.testing.assert_allclose(one.compute(), other, rtol=1e-5, atol=10 * EPS)
        for name in other.variables:
            assert str(one[name].attrs) == str(other[name].attrs)


def test_simulation_follows_the_period_and_its_spin_up(ds, fit):
    whole = fit.simulate(ds)
    assert dict(whole.sizes) == {"time": 800, "y": 5, "x": 6}
    assert set(whole.data_vars) == {"streamflow", "water"}
    part = fit.simulate(ds, period=slice("2001-05-01", "2001-12-31"), outputs=["streamflow"])
    assert list(part.data_vars) == ["streamflow"]
    # the time before the period is its spin-up: nothing depends on where the period starts
    xr.testing.assert_allclose(part.streamflow, whole.streamflow.sel(time=part.time))
    assert whole.streamflow.attrs["units"] == "mm day-1"


def test_the_first_year_is_spun_up_on_itself(ds, fit):
    start = fit.simulate(ds).water.isel(time=0)
    later = fit.simulate(ds).water.isel(time=365)
    # an empty store at the start would show as a jump
    assert float(np.abs(start - later).max()) < 60


def test_evaluate_scores_the_simulation(ds, fit):
    period = slice("2001-01-01", "2001-12-31")
    scores = fit.evaluate(ds, period=period)
    simulated = fit.simulate(ds, period=period).streamflow.values
    expected = score(simulated, ds.qobs.sel(time=period).values)
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=1e-4, atol=1e-5)
    assert scores.rmse.attrs["units"] == "mm day-1"
    assert scores.nse.attrs["units"] == "1"


def test_another_place_with_other_names_and_units(ds, fit):
    other = grid(4, 3, 500, seed=7)
    expected = fit.simulate(other)
    other["prcp"] = (other.prcp / 86400).assign_attrs(
        units="kg m-2 s-1", standard_name="precipitation_flux"
    )
    other = other.rename(prcp="rain")
    other["elevation"] = (other.elevation / 1000).assign_attrs(units="km")
    xr.testing.assert_allclose(fit.simulate(other).streamflow, expected.streamflow, rtol=1e-4)


def test_a_fit_for_other_attributes_or_units_is_refused(ds, fit):
    with pytest.raises(errors.LayoutError, match="forest"):
        fit.parameters(ds.drop_vars("forest"))
    wrong = ds.copy()
    wrong["elevation"] = ds.elevation.assign_attrs(units="K")
    with pytest.raises(errors.UnitsError, match="elevation"):
        fit.parameters(wrong)


def test_unknown_outputs_are_refused(ds, fit):
    with pytest.raises(errors.LayoutError, match="no output 'snow'.*streamflow, water"):
        fit.simulate(ds, outputs=["snow"])


def test_cells_with_long_gaps_are_not_simulated(ds, fit):
    gappy = ds.copy(deep=True)
    gappy["prcp"][100:140, 0, 0] = np.nan
    assert fit.simulate(gappy).streamflow[:, 0, 0].isnull().all()
    assert np.isnan(fit.evaluate(gappy).nse[0, 0])
    assert np.isfinite(fit.parameters(gappy).recession[0, 0])


def test_longitudes_to_360_and_geographic_grids(ds):
    geographic = ds.drop_vars("spatial_ref").rename(y="lat", x="lon")
    for variable in geographic.variables.values():
        variable.attrs.pop("grid_mapping", None)
        variable.encoding.pop("grid_mapping", None)
    geographic = geographic.assign_coords(
        lat=("lat", 50.0 - np.arange(5), {"units": "degrees_north", "standard_name": "latitude"}),
        lon=("lon", 250.0 + np.arange(6), {"units": "degrees_east", "standard_name": "longitude"}),
    )
    fit = xdpl.fit(geographic, obs="qobs", **QUICK)
    maps = fit.parameters(geographic)
    assert maps.recession.dims == ("lat", "lon")
    np.testing.assert_array_equal(maps.lon, geographic.lon)


def test_written_maps_come_back(ds, fit, tmp_path):
    maps = fit.parameters(ds)
    maps.to_netcdf(tmp_path / "maps.nc")
    with xr.open_dataset(tmp_path / "maps.nc", decode_coords="all") as back:
        assert back.rio.crs == ds.rio.crs
        xr.testing.assert_allclose(back.recession, maps.recession)
    files = maps.dpl.to_geotiff(tmp_path / "tif")
    assert sorted(f.stem for f in files) == sorted(fit.model.parameters)


def test_basins_can_be_predicted_elsewhere():
    ds = basins()
    fit = xdpl.fit(ds.isel(basin=slice(0, 8)), obs="qobs", **QUICK)
    assert np.isfinite(fit.evaluate(ds).kge).all()


def test_one_output_may_be_named_alone(ds, fit):
    assert list(fit.simulate(ds, outputs="water").data_vars) == ["water"]


def test_nothing_observed_is_an_error_of_evaluate(ds, fit):
    with pytest.raises(errors.DataError, match=r"missing everywhere.*to hold the model against"):
        fit.evaluate(ds.assign(qobs=ds.qobs * np.nan))


@pytest.mark.parametrize("named", [True, False])
def test_outlines_may_be_the_coordinate_of_basins(named, tmp_path):
    import geopandas
    import xvec  # noqa: F401  registers ds.xvec

    plain = basins()
    outlines = geopandas.points_from_xy(plain.lon, plain.lat).buffer(0.5)
    ds = plain.assign_coords(geometry=("basin", outlines)).swap_dims(basin="geometry")
    ds = ds.xvec.set_geom_indexes("geometry", crs=4326)
    ds = ds if named else ds.drop_vars("basin")
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    assert fit.layout.labels == ("basin" if named else "geometry",)
    maps = fit.parameters(ds)
    assert np.isfinite(maps.recession).all()
    assert maps.xvec.geom_coords_indexed
    assert maps.dpl.to_geopackage(tmp_path / "basins.gpkg").is_file()
    if named:  # the same basins, whatever their dimension is called
        np.testing.assert_array_equal(fit.parameters(plain).recession, maps.recession)
    assert np.isfinite(fit.evaluate(ds).nse).all()


def test_a_period_without_observations_is_said(ds, fit):
    late = ds.assign(qobs=ds.qobs.where(ds.time > np.datetime64("2001-01-01")))
    with pytest.warns(errors.XdplWarning, match="from 2000-01-01 to 2000-06-30: all scores are"):
        scores = fit.evaluate(late, period=slice("2000-01-01", "2000-06-30"))
    assert (scores.n == 0).all()


def test_lazy_maps_of_two_fits_are_not_taken_for_the_same():
    ds = grid(3, 4, 400)
    lazy = ds.chunk({"y": 2})
    one, other = (xdpl.fit(ds, obs="qobs", **{**QUICK, "seed": seed}) for seed in (0, 1))
    apart = one.parameters(lazy) - other.parameters(lazy)
    expected = one.parameters(ds) - other.parameters(ds)
    np.testing.assert_allclose(apart.recession, expected.recession, atol=1e-7)
    assert float(abs(expected.recession).max()) > 1e-4


def test_little_memory_means_small_pieces_and_the_same_results(ds, fit, monkeypatch):
    expected, scores = fit.simulate(ds), fit.evaluate(ds)
    sizes, run = [], ProcessSimulator.simulate

    def counted(self, forcing, *rest, **keywords):
        sizes.append(next(iter(forcing.values())).numel())
        return run(self, forcing, *rest, **keywords)

    monkeypatch.setattr(ProcessSimulator, "simulate", counted)
    fit.simulate(ds)
    assert len(sizes) == 1
    room = sizes[0] // 3
    monkeypatch.setattr(memory, "free_memory", lambda: 8 * memory.SIMULATED * room)
    xr.testing.assert_allclose(fit.simulate(ds), expected, rtol=50 * EPS)
    assert len(sizes) >= 4 and max(sizes[1:]) <= room + sizes[0] // ds.forest.size
    xr.testing.assert_allclose(fit.evaluate(ds), scores, rtol=1e-5, atol=10 * EPS)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_of_a_file_no_more_is_read_than_tells_which_cells_exist(
    ds, fit, tmp_path, monkeypatch, late, described
):
    there = xr.zeros_like(ds.elevation, bool)
    there[1:] = True
    prcp = ds.prcp.where(there)
    if late:  # one cell has its first value on the last day
        prcp[:-1, 2, 2] = np.nan
    whole = ds.assign(prcp=prcp.assign_attrs(ds.prcp.attrs))
    if not described:
        whole["elevation"] = ds.elevation.where(there)
    encoding = {"prcp": {"chunksizes": (10, *ds.elevation.shape)}}
    whole.to_netcdf(tmp_path / "a.nc", encoding=encoding)
    read, size = [], 4 * ds.elevation.size
    monkeypatch.setattr("xdpl.prediction.selection.LARGEST", 25 * size)  # two of the file's chunks
    isel = xr.DataArray.isel

    def noting(self, *given, **named):
        span = dict(*given, **named).get("time")
        if self.name == "prcp" and isinstance(span, slice) and span.stop is not None:
            read.append(span)
        return isel(self, *given, **named)

    with xr.open_dataset(tmp_path / "a.nc", decode_coords="all") as file:
        with monkeypatch.context() as patch:
            patch.setattr(xr.DataArray, "isel", noting)
            found = fit.parameters(file)
        assert not file.prcp.variable._in_memory
    assert {one.stop - one.start for one in read} == {20}
    assert len(read) == (-(-ds.sizes["time"] // 20) if late or described else 1)
    expected = fit.parameters(whole).drop_attrs()
    xr.testing.assert_equal(found.drop_attrs(), expected)
    assert np.array_equal(np.isfinite(found.recession), there)


def test_cells_are_known_again_in_single_precision(ds, fit):
    far = ds.assign_coords(y=ds["y"] + 0.3, x=ds["x"] + 0.3)
    known = xdpl.fit(far, obs="qobs", **QUICK)
    stored = far.assign_coords(y=far["y"].astype("f4"), x=far["x"].astype("f4"))
    here, there = known.parameters(far), known.parameters(stored)
    for name in here.data_vars:
        np.testing.assert_array_equal(there[name].values, here[name].values)
    alone = known.parameters(far, deviations=False)
    assert not np.allclose(alone.recession, here.recession, rtol=1e-5)


def test_where_no_cell_is_known_again_a_warning_shows_one_of_each(ds, fit):
    other = ds.assign_coords(y=ds["y"] + 18e3)
    label = str(fit.label[0])
    with pytest.warns(
        errors.XdplWarning, match=f"none of the 30 cells is among the 30 .*{label!r} there"
    ) as given:
        maps = fit.parameters(other)
    assert len(given) == 1
    alone = fit.parameters(ds, deviations=False)
    np.testing.assert_array_equal(maps.recession.values, alone.recession.values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.parameters(other)  # once for the same cells
        fit.parameters(other.assign_coords(x=ds["x"] + 1e3), deviations=False)
        fit.parameters(ds.isel(y=[0], x=[0]))
        fit.simulate(ds.isel(y=slice(2)))


def test_one_known_cell_of_many_training_cells_is_enough(ds, fit):
    mixed = ds.assign_coords(y=[float(ds.y[0]), *(ds.y[1:].values + 18e3)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.parameters(mixed)
