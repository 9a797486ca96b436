"""Metadata are set anew, are valid CF, and survive netCDF and zarr."""

from __future__ import annotations

import dataclasses
import importlib.metadata

import cf_xarray  # noqa: F401
import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from compliance_checker.base import BaseCheck
from compliance_checker.cf import appendix_f
from compliance_checker.runner import CheckSuite

from xdpl.errors import RasterError
from xdpl.rasters import dress, score
from xdpl.scores import SCORES
from xdpl.variables import Output, Parameter

PARAMETERS = {
    "melt_factor": Parameter("mm K-1 day-1", bounds=(1, 8), long_name="melt per degree and day"),
    "threshold": Parameter("degC", bounds=(-2, 2), long_name="temperature of snowfall"),
    "porosity": Parameter(
        "1", bounds=(0.2, 0.7), standard_name="soil_porosity", long_name="porosity"
    ),
    "conductivity": Parameter("mm day-1", bounds=(0.1, 1000.0), scale="log"),
}
OUTPUTS = {
    "streamflow": Output("mm day-1", long_name="streamflow"),
    "swe": Output("mm", standard_name="lwe_thickness_of_surface_snow_amount"),
    "soil_temperature": Output("K", standard_name="soil_temperature", long_name="of the soil"),
}
PROVENANCE = {
    "model": "HBV",
    "observation": ["SMAP"],
    "period": slice("2015-04-01", "2016-03-31"),
    "seed": 0,
    "scores": {"rmse": 0.0361234, "n": 343},
    "options": {"capillary_rise": False},
    "shuffled": True,
    "nothing": None,
}


@pytest.fixture
def grid() -> xr.Dataset:
    """Return a source in EPSG:3035 with careless attributes."""
    x, y = 4.1e6 + 1e4 * np.arange(5), 2.8e6 - 1e4 * np.arange(4)
    clay = xr.DataArray(np.full((4, 5), 20.0, "f4"), coords={"y": y, "x": x}, dims=("y", "x"))
    time = np.arange("2000-01-01", "2000-01-11", dtype="M8[D]").astype("M8[ns]")
    ds = xr.Dataset({"clay": clay}, coords={"time": time}, attrs={"title": "not ours"})
    ds["clay"].attrs = {"units": "percent", "standard_name": "soil_porosity", "comment": "old"}
    return ds.rio.write_crs("EPSG:3035")


@pytest.fixture
def basins() -> xr.Dataset:
    """Return a source of basins, as the MOPEX file has them."""
    time = np.arange("2000-01-01", "2000-01-11", dtype="M8[D]").astype("M8[ns]")
    place = {"lat": ("basin", [45.0, 46.0, 47.0]), "lon": ("basin", [7.0, 8.0, 9.0])}
    return xr.Dataset(coords={"basin": ["01055500", "01060000", "é"], "time": time, **place})


def maps_of(source: xr.Dataset, declared, dims, *, layers=None) -> xr.Dataset:
    rng = np.random.default_rng(0)
    shape = [source.sizes.get(dim, layers) for dim in dims]
    maps = {name: (dims, rng.random(shape).astype("f4")) for name in declared}
    index = {dim: source.indexes[dim] for dim in dims if dim in source.indexes}
    return xr.Dataset(maps, coords=index)


def check(path, monkeypatch) -> list[str]:
    """Return what the compliance checker has to say of high or medium priority."""
    # The checker takes a bare string for a tuple of names and asks for attributes named "l", "o",
    # "n", ... of this one projection.
    table = dict(appendix_f.grid_mapping_dict17)
    for name in ("lambert_cylindrical_equal_area",):
        required, *rest = table[name]
        if isinstance(required, str):
            monkeypatch.setitem(appendix_f.grid_mapping_dict17, name, [(required,), *rest])
    suite = CheckSuite()
    suite.load_all_available_checkers()
    with suite.load_dataset(str(path)) as ds:
        results, errors = suite.run_all(ds, ["cf:1.11"], skip_checks=None)["cf:1.11"]
    said = [f"{name}: {error[0]!r}" for name, error in errors.items()]
    for result in results:
        scored, possible = result.value if isinstance(result.value, tuple) else (result.value, 1)
        bad = scored is False or (not isinstance(scored, bool) and scored < possible)
        if bad and result.weight >= BaseCheck.MEDIUM:
            said += [str(message) for message in result.msgs or [result.name]]
    return said


def test_the_checker_does_find_faults(grid, tmp_path, monkeypatch):
    grid["clay"].attrs["units"] = "no unit"
    grid.to_netcdf(tmp_path / "bad.nc")
    said = "\n".join(check(tmp_path / "bad.nc", monkeypatch))
    assert "no unit" in said and "Conventions" in said


@pytest.mark.parametrize("components", [None, 3])
def test_parameters_of_a_grid_comply(grid, tmp_path, monkeypatch, components):
    dims = ("y", "x") if components is None else ("component", "y", "x")
    maps = dress(maps_of(grid, PARAMETERS, dims, layers=components), grid, PARAMETERS, PROVENANCE)
    maps.to_netcdf(tmp_path / "maps.nc")
    assert check(tmp_path / "maps.nc", monkeypatch) == []


def test_parameters_of_the_smap_grid_comply(smap, tmp_path, monkeypatch):
    maps = dress(maps_of(smap, PARAMETERS, ("y", "x")), smap, PARAMETERS, PROVENANCE)
    maps.to_netcdf(tmp_path / "maps.nc")
    assert check(tmp_path / "maps.nc", monkeypatch) == []


def test_parameters_of_the_mopex_basins_comply(mopex, tmp_path, monkeypatch):
    maps = dress(maps_of(mopex, PARAMETERS, ("basin",)), mopex, PARAMETERS, PROVENANCE)
    maps.to_netcdf(tmp_path / "maps.nc")
    assert check(tmp_path / "maps.nc", monkeypatch) == []


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_simulations_comply(grid, basins, tmp_path, monkeypatch, calendar):
    for source, dims in ((grid, ("time", "y", "x")), (basins, ("time", "basin"))):
        source = source.convert_calendar(calendar, align_on="date")
        series = dress(maps_of(source, OUTPUTS, dims), source, OUTPUTS, PROVENANCE)
        series.to_netcdf(tmp_path / "series.nc")
        assert check(tmp_path / "series.nc", monkeypatch) == []


@pytest.mark.parametrize("units", ["mm day-1", ""])
def test_scores_comply(grid, basins, tmp_path, monkeypatch, units):
    declared = {name: score(name, units, "streamflow") for name in SCORES}
    for source, dims in ((grid, ("y", "x")), (basins, ("observation", "basin"))):
        values = maps_of(source, SCORES, dims, layers=2)
        if "observation" in dims:
            values = values.assign_coords(observation=["SMAP", "streamflow"])
        scores = dress(values, source, declared, PROVENANCE)
        assert scores.rmse.attrs.get("units", "") == units
        assert scores.n.attrs["units"] == scores.kge.attrs["units"] == "1"
        assert scores.bias.attrs["coverage_content_type"] == "qualityInformation"
        assert scores.nse.attrs["long_name"] == "Nash-Sutcliffe efficiency, streamflow"
        if units:
            scores.to_netcdf(tmp_path / "scores.nc")
            assert check(tmp_path / "scores.nc", monkeypatch) == []


def test_nothing_is_inherited(grid):
    maps = maps_of(grid, ["melt_factor"], ("y", "x"))
    maps["melt_factor"] = maps["melt_factor"] + grid["clay"]
    maps["melt_factor"].attrs = dict(grid["clay"].attrs)
    maps.attrs = {"title": "old"}
    dressed = dress(maps, grid, PARAMETERS, PROVENANCE)
    attrs = dressed["melt_factor"].attrs
    assert list(attrs) == [
        "units",
        "long_name",
        "units_metadata",
        "valid_range",
        "coverage_content_type",
        "grid_mapping",
    ]
    assert attrs["valid_range"].dtype == np.float32
    np.testing.assert_array_equal(attrs["valid_range"], [1, 8])
    assert maps["melt_factor"].attrs["comment"] == "old", "the input was changed"


def test_provenance_is_text_and_history_grows(grid):
    grid.attrs["history"] = "2020-01-01 made"
    attrs = dress(maps_of(grid, ["porosity"], ("y", "x")), grid, PARAMETERS, PROVENANCE).attrs
    assert attrs["Conventions"] == "CF-1.11"
    assert attrs["title"] == "HBV learned from SMAP"
    assert attrs["period"] == "2015-04-01 to 2016-03-31"
    assert attrs["scores"] == "rmse: 0.03612; n: 343"
    assert attrs["options"] == "capillary_rise: False"
    assert attrs["seed"] == 0 and attrs["shuffled"] == "True" and "nothing" not in attrs
    assert "torch" in attrs["source"] and "doi:10.1038" in attrs["references"]
    new, old = attrs["history"].splitlines()
    assert "HBV learned from SMAP" in new and old == "2020-01-01 made"
    assert dress(xr.Dataset(), grid, {}, {}, title="mine").attrs["title"] == "mine"


def test_degrees_are_told_from_differences(grid):
    declared = {
        "a": Parameter("degC", (0, 1)),
        "b": Parameter("K", (0, 1)),
        "c": Parameter("K", (0, 1), standard_name="air_temperature"),
        "d": Parameter("W m-2 K-1", (0, 1)),
        "e": Parameter("mm", (0, 1)),
    }
    maps = dress(maps_of(grid, declared, ("y", "x")), grid, declared)
    said = [v.attrs.get("units_metadata", "").removeprefix("temperature: ") for v in maps.values()]
    assert said == ["on_scale", "unknown", "on_scale", "difference", ""]


def test_an_undeclared_variable_is_an_error(grid):
    with pytest.raises(RasterError, match="no units are known of mystery. Declare"):
        dress(maps_of(grid, ["mystery"], ("y", "x")), grid, PARAMETERS)


def test_an_unknown_score_is_an_error():
    with pytest.raises(RasterError, match="score 'r2' is unknown. There are bias"):
        score("r2", "1")


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "zarr"])
@pytest.mark.parametrize("decode", ["all", True])
@pytest.mark.parametrize("lazy", [False, True])
def test_round_trips_keep_the_crs(grid, tmp_path, engine, decode, lazy):
    maps = dress(maps_of(grid, PARAMETERS, ("y", "x")), grid, PARAMETERS, PROVENANCE)
    maps = maps.chunk(x=2) if lazy else maps
    path = tmp_path / f"maps.{engine}"
    if engine == "zarr":
        maps.to_zarr(path, consolidated=False)
        again = xr.open_zarr(path, decode_coords=decode, consolidated=False)
    else:
        maps.to_netcdf(path, engine=engine, encoding={n: {"zlib": True} for n in maps})
        again = xr.open_dataset(path, engine=engine, decode_coords=decode)
    with again:
        xr.testing.assert_allclose(again, maps)
        assert again["porosity"].rio.crs.to_epsg() == 3035
        assert again["porosity"].attrs["units"] == "1"
        assert again.attrs["scores"] == maps.attrs["scores"]
        assert set(again.data_vars) == set(PARAMETERS)
        again.to_netcdf(tmp_path / "second.nc")  # what was read can be written once more
        with xr.open_dataset(tmp_path / "second.nc") as second:
            assert second["porosity"].rio.crs.to_epsg() == 3035


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "zarr"])
def test_round_trips_keep_the_ids_of_basins(basins, tmp_path, engine):
    maps = dress(maps_of(basins, PARAMETERS, ("basin",)), basins, PARAMETERS, PROVENANCE)
    assert maps["basin"].attrs["cf_role"] == "timeseries_id"
    path = tmp_path / "maps"
    if engine == "zarr":
        maps.to_zarr(path, consolidated=False)
        again = xr.open_zarr(path, consolidated=False)
    else:
        maps.to_netcdf(path, engine=engine)
        again = xr.open_dataset(path, engine=engine)
    with again:
        assert list(again["basin"].values) == ["01055500", "01060000", "é"]
        assert float(again["porosity"].sel(basin="é")) == float(maps["porosity"][2])
        xr.testing.assert_allclose((again["porosity"] - maps["porosity"]).sum(), xr.DataArray(0.0))


@pytest.mark.parametrize("name", ["crs", "spatial_ref", "ease"])
@pytest.mark.parametrize("as_variable", [True, False])
def test_the_grid_mapping_is_found_wherever_it_is(grid, name, as_variable):
    source = grid.drop_vars("spatial_ref")
    source["clay"].encoding.pop("grid_mapping", None)
    source["clay"].attrs["grid_mapping"] = name
    variable = xr.Variable((), 0, grid["spatial_ref"].attrs)
    source = source.assign({name: variable})
    if not as_variable:
        source = source.set_coords(name)
    maps = dress(maps_of(grid, ["porosity"], ("y", "x")), source, PARAMETERS)
    assert "spatial_ref" in maps.coords and (name == "spatial_ref" or name not in maps)
    assert maps["porosity"].rio.crs.to_epsg() == 3035
    assert list(maps["porosity"].attrs)[-1] == "grid_mapping"


def test_axes_are_completed_where_they_can_be_recognised():
    source = xr.Dataset(coords={"lat": [46.0, 45.0], "lon": [5.0, 6.0, 7.0]})
    maps = dress(maps_of(source, ["porosity"], ("lat", "lon")), source, PARAMETERS)
    assert maps["lat"].attrs["standard_name"] == "latitude"
    assert maps["lon"].attrs["units"] == "degrees_east" and maps["lon"].attrs["axis"] == "X"
    assert maps["porosity"].attrs["grid_mapping"] == "spatial_ref"
    assert maps["spatial_ref"].attrs["grid_mapping_name"] == "latitude_longitude"
    assert maps.rio.crs.to_epsg() == 4326
    assert maps.cf["latitude"].name == "lat"
    source = source.rename(lat="y", lon="x").rio.write_crs("EPSG:4326")
    maps = dress(maps_of(source, ["porosity"], ("y", "x")), source, PARAMETERS)
    assert maps["y"].attrs["standard_name"] == "latitude"


def test_dimensions_stand_in_the_order_of_cf(grid, basins):
    series = dress(maps_of(grid, OUTPUTS, ("x", "y", "time")), grid, OUTPUTS)
    assert series["swe"].dims == ("time", "y", "x")
    series = dress(maps_of(basins, OUTPUTS, ("time", "basin")), basins, OUTPUTS)
    assert series["swe"].dims == ("basin", "time")
    assert series.attrs["featureType"] == "timeSeries"


def test_a_part_of_the_time_keeps_its_own_times(grid):
    part = grid.isel(time=slice(3, 6))
    series = dress(maps_of(part, OUTPUTS, ("time", "y", "x")), grid, OUTPUTS)
    assert series["time"].equals(part["time"]) or (series.time.values == part.time.values).all()


def test_dressing_stays_lazy(grid):
    maps = dress(maps_of(grid, PARAMETERS, ("y", "x")).chunk(x=2), grid, PARAMETERS)
    assert all(v.chunks is not None for v in maps.data_vars.values())


def test_the_size_of_a_single_cell_is_kept(grid):
    source = grid.isel(x=[2])
    source["spatial_ref"].attrs["GeoTransform"] = "4095000.0 10000.0 0.0 2805000.0 0.0 -10000.0"
    maps = dress(maps_of(source, ["porosity"], ("y", "x")), source, PARAMETERS)
    numbers = [float(n) for n in maps["spatial_ref"].attrs["GeoTransform"].split()]
    assert numbers == [4.115e6, 1e4, 0, 2.805e6, 0, -1e4]
    del source["spatial_ref"].attrs["GeoTransform"]
    maps = dress(maps_of(source, ["porosity"], ("y", "x")), source, PARAMETERS)
    assert "GeoTransform" not in maps["spatial_ref"].attrs  # nobody knows it
    whole = dress(maps_of(grid, ["porosity"], ("y", "x")), grid, PARAMETERS)
    assert "GeoTransform" not in whole["spatial_ref"].attrs  # it would go stale with the axes


def test_the_source_is_not_changed(grid):
    before = grid.copy(deep=True)
    dress(maps_of(grid, PARAMETERS, ("y", "x")), grid, PARAMETERS, PROVENANCE)
    xr.testing.assert_identical(grid, before)
    assert grid["x"].encoding == before["x"].encoding


def test_rotated_poles_keep_their_degrees():
    pole = {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25}
    pole |= {"grid_north_pole_longitude": -162.0}
    axis = {"units": "degrees"}
    source = xr.Dataset(
        {"rotated_pole": ((), 0, pole)},
        {
            "rlat": ("rlat", [0.0, 0.1], axis | {"standard_name": "grid_latitude"}),
            "rlon": ("rlon", [0.0, 0.1], axis | {"standard_name": "grid_longitude"}),
        },
    )
    maps = dress(maps_of(source, ["porosity"], ("rlat", "rlon")), source, PARAMETERS)
    assert maps["rlat"].attrs["units"] == "degrees" and maps["rlat"].attrs["axis"] == "Y"
    assert maps["spatial_ref"].attrs["grid_mapping_name"] == "rotated_latitude_longitude"


def test_an_index_of_geometries_keeps_its_crs(basins):
    import xvec  # noqa: F401
    from shapely import Point

    points = [Point(x, y) for x, y in zip(basins.lon.values, basins.lat.values, strict=True)]
    source = basins.assign_coords(basin=points)
    maps = maps_of(source, ["porosity"], ("basin",))
    dressed = dress(maps, source.xvec.set_geom_indexes("basin", crs=4326), PARAMETERS)
    assert dressed.xindexes["basin"].crs.to_epsg() == 4326
    assert "cf_role" not in dressed["basin"].attrs


def test_odd_provenance_is_text(grid):
    @dataclasses.dataclass
    class Loss:
        threshold: float = 0.05

    provenance = {"loss": Loss(), "share": np.float32(0.25), "units": xr.DataArray}
    attrs = dress(maps_of(grid, ["porosity"], ("y", "x")), grid, PARAMETERS, provenance).attrs
    assert attrs["loss"] == "threshold: 0.05" and attrs["share"] == "0.25"


def test_a_version_that_is_not_known(grid, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    maps = dress(maps_of(grid, ["porosity"], ("y", "x")), grid, PARAMETERS)
    assert maps.attrs["source"] == "process model, xdpl unknown, torch unknown"


def test_a_projection_without_a_name_in_cf_keeps_its_own_attributes(grid):
    source = grid.drop_vars("spatial_ref").rio.write_crs("ESRI:54030")  # Robinson
    source["spatial_ref"].attrs["comment"] = "by hand"
    maps = dress(maps_of(grid, ["porosity"], ("y", "x")), source, PARAMETERS)
    assert maps["porosity"].rio.crs.to_authority() == ("ESRI", "54030")
    assert maps["spatial_ref"].attrs["comment"] == "by hand"


@pytest.mark.parametrize("ids", [[1, 2, 3], np.array(["a", "b", "c"], dtype=object)])
def test_ids_of_any_kind_can_be_written(basins, tmp_path, monkeypatch, ids):
    source = basins.assign_coords(basin=ids)
    maps = dress(maps_of(source, PARAMETERS, ("basin",)), source, PARAMETERS, PROVENANCE)
    maps.to_netcdf(tmp_path / "maps.nc")
    assert check(tmp_path / "maps.nc", monkeypatch) == []
    with xr.open_dataset(tmp_path / "maps.nc") as again:
        assert list(again["basin"].values) == list(ids)
