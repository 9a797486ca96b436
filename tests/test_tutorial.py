"""Data to try: synthetic ones with a known truth, and real ones put together from raw files."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
import torch
import xarray as xr

from xdpl import Forcing, Output, Parameter, State, StepModel
from xdpl.errors import DataError, LayoutError
from xdpl.models import HBV
from xdpl.tutorial import download, mopex, open_dataset, smap, synthetic
from xdpl.tutorial.weather import smooth_fields


@dataclass(frozen=True)
class Bucket(StepModel):
    """A leaking bucket with forcings in other units and under other names."""

    rain = Forcing("kg m-2 s-1", standard_name="lwe_precipitation_rate")
    temperature = Forcing("K")
    radiation = Forcing("W m-2")
    recession = Parameter("day-1", bounds=(0.01, 0.5), scale="log")
    factor = Parameter("1", bounds=(0, 1), shared=True)
    storage = State("mm")
    outflow = Output("mm day-1")
    full = Output("mm")

    def step(self, forcing, state, parameter, dt):
        filled = state.storage + forcing.rain * 86400 * dt
        outflow = filled * (1 - torch.exp(-parameter.recession * dt))
        warm = 0 * (forcing.temperature + forcing.radiation)
        return {"storage": filled - outflow}, {"outflow": outflow / dt + warm, "full": filled}


@dataclass(frozen=True)
class Hourly(Bucket):
    timesteps = (1 / 24, 1 / 24)


@dataclass(frozen=True)
class Windy(Bucket):
    wind = Forcing("m s-1", standard_name="wind_speed")


# ---- synthetic ------------------------------------------------------------------------------


def test_the_default_is_a_grid_for_hbv():
    ds = synthetic()
    assert dict(ds.sizes) == {"time": 1096, "y": 20, "x": 20}
    assert {"prcp", "tas", "pet", "streamflow", "elevation"} <= set(ds.data_vars)
    assert not set(HBV().parameters) & set(ds.variables), "the truth lies in the open"
    assert ds["streamflow"].rio.crs.to_epsg() == 3035
    assert ds["prcp"].attrs["standard_name"] == "lwe_precipitation_rate"
    assert ds["prcp"].dtype == np.float32 and ds["prcp"].attrs["cell_methods"] == "time: mean"
    assert all(v.notnull().all() for v in ds.data_vars.values())
    assert 800 < float(ds["prcp"].mean()) * 365 < 1600
    assert 0.2 < float(ds["streamflow"].mean() / ds["prcp"].mean()) < 0.9
    assert -15 < float(ds["tas"].sel(time="2001-01").mean()) < 3
    assert float(ds["pet"].min()) >= 0


def test_the_truth_explains_the_observation():
    ds, truth = synthetic(return_truth=True, cells=12, years=1)
    assert ds.attrs["comment"] == "made by HBV with known parameters; seed 0"
    assert set(truth.data_vars) == set(HBV().parameters)
    for name, parameter in HBV().parameters.items():
        low, high = parameter.bounds
        assert ((truth[name] > low) & (truth[name] < high)).all()
        assert truth[name].attrs["units"] == parameter.units
        assert float(truth[name].std()) > 0
    stacked = ds.stack(cell=("y", "x")).transpose("time", "cell")
    forcing = {
        "precipitation": stacked["prcp"].values,
        "temperature": stacked["tas"].values,
        "potential_evaporation": stacked["pet"].values,
    }
    forcing = {name: torch.from_numpy(np.concatenate([v[:365], v])) for name, v in forcing.items()}
    flat = truth.stack(cell=("y", "x"))
    parameter = {
        name: torch.from_numpy(flat[name].values)[(...,) if p.shared else (..., None)]
        for name, p in HBV().parameters.items()
    }
    simulated, _ = HBV().simulate(forcing, parameter, outputs=["streamflow"])
    np.testing.assert_allclose(
        simulated["streamflow"][365:], stacked["streamflow"].values, rtol=1e-3, atol=1e-3
    )


def test_the_same_seed_gives_the_same_data():
    small = {"cells": (2, 3), "years": 0.1}
    one, two, other = (synthetic(seed=seed, **small) for seed in (3, 3, 4))
    xr.testing.assert_equal(one, two)
    assert not one["streamflow"].equals(other["streamflow"])
    assert one.sizes["y"] == 2 and one.sizes["x"] == 3


def test_basins_and_noise():
    exact = synthetic(grid=False, cells=7, years=0.5)
    noisy = synthetic(grid=False, cells=7, years=0.5, noise=0.2)
    assert exact["streamflow"].dims == ("basin", "time")
    assert exact["basin"].values[0] == "b0001" and exact["lat"].dims == ("basin",)
    error = (noisy["streamflow"] - exact["streamflow"]).std("time")
    ratio = error / exact["streamflow"].std("time")
    assert 0.05 < float(ratio.mean()) < 0.3
    assert float(noisy["streamflow"].min()) >= 0
    assert synthetic(grid=False, cells=(2, 3), years=0.1).sizes["basin"] == 6


def test_any_model_can_make_data():
    ds, truth = synthetic(Bucket(), cells=4, years=0.2, return_truth=True)
    assert {"prcp", "tas", "rsds", "outflow"} <= set(ds.data_vars) and "full" not in ds
    assert set(truth.data_vars) == {"recession", "factor"}
    both = synthetic(Bucket, cells=4, years=0.2, outputs=["outflow", "full"])
    assert float(both["full"].max()) > 0 and both["full"].attrs["units"] == "mm"


@pytest.mark.parametrize("cells", [1, 7, 12])
def test_a_grid_has_as_many_cells_as_asked_for(cells):
    ds = synthetic(Bucket, cells=cells, years=0.05)
    assert ds.sizes["y"] * ds.sizes["x"] == cells


def test_fields_of_a_single_place_are_flat():
    assert not smooth_fields(np.zeros(1), np.zeros(1), 2, np.random.default_rng(0)).any()


@pytest.mark.parametrize("cells", [0, -3, (0, 4)])
def test_no_cells_are_refused(cells):
    with pytest.raises(LayoutError, match="are no cells. Give a positive number"):
        synthetic(cells=cells)


def test_no_years_are_refused():
    with pytest.raises(LayoutError, match="years=0 is no record. Give a positive length"):
        synthetic(years=0)


def test_a_forcing_that_the_weather_lacks_is_refused():
    with pytest.raises(LayoutError, match="no 'wind' for Windy. It has lwe_precipitation_rate"):
        synthetic(Windy, cells=1, years=0.1)


def test_a_model_that_is_not_daily_is_refused():
    with pytest.raises(LayoutError, match="synthetic weather is daily, but Hourly runs on steps"):
        synthetic(Hourly, cells=1, years=0.1)


def test_an_unknown_output_is_refused():
    with pytest.raises(LayoutError, match="Bucket has no output 'nonsense'. It has outflow, full"):
        synthetic(Bucket, cells=1, years=0.1, outputs=["nonsense"])


# ---- real -----------------------------------------------------------------------------------


def smap_files(folder: Path, ds: xr.Dataset, days: int) -> dict[str, Path]:
    """Write raw files as the source has them, from a part of the assembled Dataset."""
    exists = ds["SMAP"].notnull().any("time") | ds["clay"].notnull()
    rows, columns = np.nonzero(exists.values)
    files = {}

    def write(name: str, table: np.ndarray) -> None:
        path = folder / Path(name).name.replace(".csv", f"{len(files)}.csv")
        np.savetxt(path, np.where(np.isnan(table), -9999, table), delimiter=",", fmt="%.9g")
        files[f"example/data/CONUSv4f1/{name}"] = path

    for year, start in ((2015, 0), (2016, 366)):
        part = ds.isel(time=slice(start, start + days))
        for file, (name, factor, *_) in smap._SERIES.items():
            write(f"{year}/{file}.csv", part[name].values[:, rows, columns].T / factor)
        path = folder / f"time{year}.csv"
        path.write_text("\n".join(np.datetime_as_string(part["time"].values, "D")) + "\n")
        files[f"example/data/CONUSv4f1/{year}/timeStr.csv"] = path
    for file, (name, *_) in smap._CONSTANTS.items():
        write(f"const/{file}.csv", ds[name].values[rows, columns][:, None])
    write("crd.csv", np.stack([ds["lat"].values[rows], ds["lon"].values[columns]], axis=1))
    return files


def test_smap_is_put_together_as_it_was(smap, tmp_path):
    from xdpl.tutorial.smap import assemble

    smap = smap.load()
    built = assemble(smap_files(tmp_path, smap, days=5))
    part = smap.isel(time=[*range(5), *range(366, 371)])
    assert list(built.data_vars) == list(part.data_vars)
    for name, variable in part.data_vars.items():
        np.testing.assert_allclose(built[name].values, variable.values, rtol=1e-6, err_msg=name)
        assert built[name].dims == variable.dims and built[name].dtype == variable.dtype
        for key in ("units", "standard_name", "flag_meanings"):
            assert built[name].attrs.get(key) == variable.attrs.get(key)
    np.testing.assert_allclose(built["x"], part["x"], atol=2)
    np.testing.assert_allclose(built["lat"], part["lat"], atol=1e-4)
    assert (built["time"].values == part["time"].values).all()
    assert built["clay"].rio.crs.to_epsg() == 6933


def mopex_files(folder: Path, ds: xr.Dataset) -> dict[str, Path]:
    """Write raw files as the source has them; the first year of a few basins."""
    files = {}

    def write(name: str, lines: list[str], end: str = "\n") -> None:
        path = folder / f"{len(files)}.txt"
        path.write_bytes((end.join(lines) + end).encode())
        files[name] = path

    basins = [str(b) for b in ds["basin"].values]
    for basin in basins:
        one = ds.sel(basin=basin)
        days = one["time"].dt.strftime("%Y%m%d").values
        days = [f"{d[:4]}{int(d[4:6]):2}{int(d[6:]):2}" for d in days]  # padded with blanks
        table = np.stack([one[name].values for name in mopex._SERIES], axis=1)
        table = np.where(np.isnan(table), -99.0, table)
        write(
            f"Us_438_Daily/{basin}.dly",
            [d + "".join(f"{v:10.4f}" for v in row) for d, row in zip(days, table, strict=True)],
            "\r\n",
        )
    place = {
        b: f"{float(ds.lon.sel(basin=b)):.4f} {float(ds.lat.sel(basin=b)):.4f}" for b in basins
    }
    area = {b: float(ds["area"].sel(basin=b)) / 2.589988110336 for b in basins}
    head = {b: f"{b} {place[b]} {area[b]:.6f}" for b in basins}
    pe = {b: float(ds["pet_annual"].sel(basin=b)) / 12 for b in basins}
    write(mopex._EVAPORATION, [f"{head[b]} " + " ".join([f"{pe[b]:.6f}"] * 12) for b in basins])
    write(mopex._GREENNESS, [f"{head[b]} " + " ".join(["10"] * 11 + ["90"]) for b in basins])
    names = ("porosity", "field_capacity", "wilting_point", "retention_slope")
    hydraulics = {b: [float(ds[n].sel(basin=b)) for n in names] for b in basins}
    k_sat = {b: float(ds["k_sat"].sel(basin=b)) for b in basins}
    write(
        mopex._HYDRAULIC,
        [
            f"{head[b]} " + " ".join(f"{v:.5f}" for v in hydraulics[b]) + f" 0.0 {k_sat[b]:.4e}"
            for b in basins
        ],
    )
    soil = [0.1, 0.2, 0.1, 0, 0, 0, 0, 0, 0.05, 0.05, 0.1, 0.1, 0.2, 0, 0.1, 0]
    write(mopex._SOIL, [f"{b} " + " ".join(f"{v:.2f}" for v in soil) for b in basins])
    cover = [0.1, 0.1, 0.1, 0.1, 0, 0.1, 0.05, 0.1, 0.1, 0, 0, 0.1, 0, 0.1, 0, 0.05, 0]
    write(mopex._VEGETATION, [f"{b} " + " ".join(f"{v:.2f}" for v in cover) for b in basins])
    snow = {b: float(ds["snow_fraction"].sel(basin=b)) for b in basins}
    warm = {b: float(ds["temperature_mean"].sel(basin=b)) for b in basins}
    lines = [f"{b}, 0.6, nan, 0.1, {snow[b]:.4f}, {warm[b]:.4f}" for b in basins[:-1]]
    write(mopex._INDICES, ["GageID, Dryness Index, Evaporative Index, D, S, T", *lines])
    return files


def test_mopex_is_put_together_as_it_was(mopex, tmp_path):
    from xdpl.tutorial.mopex import assemble

    part = mopex.isel(basin=[0, 5, 40], time=slice(0, 400)).load()
    part["qobs"][1, 3:6] = np.nan
    part["tasmax"][0, 7] = 75.0  # beyond belief
    built = assemble(mopex_files(tmp_path, part))
    part["tasmax"][0, 7] = np.nan
    assert set(built.data_vars) == set(part.data_vars)
    xr.testing.assert_allclose(built["basin"].drop_attrs(), part["basin"].drop_attrs(), atol=1e-3)
    for name in (*("prcp", "pet", "qobs", "tasmax", "tasmin"),):
        np.testing.assert_allclose(built[name].values, part[name].values, atol=1e-4, err_msg=name)
        assert built[name].dims == ("basin", "time")
        for key in ("units", "standard_name", "cell_methods", "long_name"):
            assert built[name].attrs.get(key) == part[name].attrs.get(key)
    for name in ("area", "pet_annual", "porosity", "wilting_point", "retention_slope", "k_sat"):
        np.testing.assert_allclose(built[name].values, part[name].values, rtol=1e-3, err_msg=name)
    assert built["area"].attrs["units"] == "km2"
    first = {name: round(float(v[0]), 4) for name, v in built.data_vars.items() if v.ndim == 1}
    expected = {
        "greenness_mean": 16.6667,
        "greenness_max": 90,
        "sand_fraction": 0.4,
        "clay_fraction": 0.3,
        "rock_fraction": 0.1,
        "organic_fraction": 0.2,
        "forest_fraction": 0.4,
        "shrub_fraction": 0.15,
        "grass_fraction": 0.2,
        "crop_fraction": 0.2,
    }
    assert {name: first[name] for name in expected} == pytest.approx(expected, abs=1e-3)
    assert float(built["snow_fraction"][0]) == pytest.approx(0.2693)
    assert np.isnan(built["snow_fraction"][2]), "a gauge that isn't listed"
    rain = float(part["prcp"][0].mean()) * 365.25
    assert float(built["aridity"][0]) == pytest.approx(
        float(part["pet_annual"][0]) / rain, rel=1e-3
    )


def test_the_folder_in_xdpl_data_comes_first(data_folder, monkeypatch):
    monkeypatch.setattr(download, "_fetch", lambda *_: pytest.fail("downloaded"))
    with open_dataset("smap-conus", chunks={}) as ds:
        assert ds["SMAP"].chunks is not None and ds.sizes["y"] == 18
    with open_dataset("mopex") as ds:
        assert ds.sizes["basin"] == 289


def test_an_unknown_dataset_is_an_error():
    with pytest.raises(DataError, match="no dataset 'era5'. Choose one of smap-conus, mopex"):
        open_dataset("era5")


def test_what_is_put_together_is_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("XDPL_DATA", raising=False)
    calls = []
    monkeypatch.setattr(download, "_fetch", lambda *_: calls.append(1) or {})
    made = xr.Dataset({"a": (("y", "x"), np.ones((2, 2)))}, attrs={"title": "made"})
    monkeypatch.setitem(download._ASSEMBLE, "mopex", lambda files: made)
    for _ in range(2):
        with open_dataset("mopex", cache=tmp_path) as ds:
            assert ds.attrs["title"] == "made"
    assert calls == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["5f1fbb6a_mopex.nc"]


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serve two small files in place of the real ones, with their hashes in the registry."""
    root = tmp_path / "served"
    content = {"a b.dly": b"one", "Noah Soils/c.438": b"two"}
    for name, text in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Silent, directory=str(root))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hashes = {n: f"sha256:{hashlib.sha256(t).hexdigest()}" for n, t in content.items()}
    source = {"repository": "https://github.com/o/r", "commit": "0123456789", "files": hashes}
    monkeypatch.setattr(download, "_sources", lambda: {"mopex": source})
    monkeypatch.setattr(download, "_URL", f"http://127.0.0.1:{server.server_port}/{{path}}")
    monkeypatch.delenv("XDPL_DATA", raising=False)
    yield source
    server.shutdown()
    server.server_close()


def test_raw_files_are_downloaded_once_and_checked(served, monkeypatch, tmp_path):
    def assemble(files):
        text = " ".join(path.read_text() for path in files.values())
        return xr.Dataset({"a": ("n", [1.0])}, attrs={"text": text})

    monkeypatch.setitem(download._ASSEMBLE, "mopex", assemble)
    with open_dataset("mopex", cache=tmp_path / "cache") as ds:
        assert ds.attrs["text"] == "one two"
    served["files"]["a b.dly"] = "sha256:" + "0" * 64
    with pytest.raises(DataError, match="can't download mopex: SHA256 hash.*XDPL_DATA"):
        open_dataset("mopex", cache=tmp_path / "other")


def test_a_missing_network_is_told(served, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "_URL", "http://127.0.0.1:9/{path}")
    with pytest.raises(DataError, match="can't download mopex: .*Try again, or get the file"):
        open_dataset("mopex", cache=tmp_path)


def test_pooch_is_asked_for(monkeypatch):
    monkeypatch.delenv("XDPL_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r'needs pooch.*pip install "xdpl\[tutorials\]"'):
        open_dataset("mopex")


def test_the_sources_are_pinned():
    sources = download._sources()
    assert set(sources) == {"smap-conus", "mopex"}
    for source in sources.values():
        assert len(source["commit"]) == 40
        assert all(value.startswith("sha256:") for value in source["files"].values())
    assert len([n for n in sources["mopex"]["files"] if n.endswith(".dly")]) == 438
    needed = {mopex._HYDRAULIC, mopex._EVAPORATION, mopex._SOIL, mopex._VEGETATION}
    assert needed | {mopex._GREENNESS, mopex._INDICES} <= set(sources["mopex"]["files"])
    series = {f"example/data/CONUSv4f1/{y}/{n}.csv" for y in smap._YEARS for n in smap._SERIES}
    constants = {f"example/data/CONUSv4f1/const/{n}.csv" for n in smap._CONSTANTS}
    assert series | constants <= set(sources["smap-conus"]["files"])
    assert json.dumps(sources)
