"""The studies of trust, coherence and variables never trained on, small: they run and judge."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest
import xarray as xr

import xdpl


@pytest.fixture
def study(repository, monkeypatch):
    """Import a script of benchmarks/ by its name, its neighbours importable."""
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def run(module: ModuleType, monkeypatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *options, "--threads", "1"])
    module.main()


def test_equifinality_prints_both_worlds(study, monkeypatch, tmp_path, capsys):
    small = ["--cells", "4", "--ensemble", "2", "--epochs", "2", "--to", str(tmp_path)]
    module = study("equifinality")
    run(module, monkeypatch, *small)
    printed = capsys.readouterr().out
    assert "right structure: loss" in printed and "wrong structure: loss" in printed
    for name in ("study_equifinality_right.csv", "study_equifinality_wrong.csv"):
        rows = (tmp_path / name).read_text().splitlines()
        assert len(rows) == 1 + len(module.LEARNED.parameters) and rows[0].startswith(
            "parameter,rank correlation"
        )
    assert (tmp_path / "study_equifinality.png").stat().st_size > 10_000


def test_a_perfect_map_has_no_error_and_a_shifted_one_that_shift(study):
    module = study("equifinality")
    parameter = module.LEARNED.parameters["field_capacity"]
    low, high = parameter.bounds
    share = np.linspace(0.2, 0.6, 9)
    true = xr.Dataset({"field_capacity": ("x", low * (high / low) ** share)})
    layers = {
        "field_capacity_standard_error": ("x", np.full(9, 1.0)),
        "field_capacity_identifiability": ("x", np.full(9, 0.5)),
        "field_capacity_at_bound": ("x", np.zeros(9)),
    }
    maps = true.assign(layers)
    maps["field_capacity"].attrs["ancillary_variables"] = " ".join(layers)
    same = module.judged(maps, true, "field_capacity", parameter)
    assert same.error.max() < 1e-12
    np.testing.assert_allclose(same.left, 0.5 / 12**0.5)
    maps["field_capacity"] = maps.field_capacity * (high / low) ** 0.1
    maps["field_capacity"].attrs["ancillary_variables"] = " ".join(layers)
    np.testing.assert_allclose(
        module.judged(maps, true, "field_capacity", parameter).error, 0.1, rtol=1e-6
    )


def test_variables_never_trained_on_are_judged_in_both_worlds(study, monkeypatch, tmp_path, capsys):
    module = study("untrained")
    monkeypatch.setattr(module, "METHODS", {"gA": module.METHODS["gA"]})
    small = ["synthetic", "structure", "--cells", "4", "--epochs", "2", "--to", str(tmp_path)]
    run(module, monkeypatch, *small)
    rows = (tmp_path / "study_untrained_structure.csv").read_text().splitlines()
    assert rows[0] == (
        "trained on streamflow,streamflow,snow_water_equivalent,evapotranspiration,soil_moisture"
    )
    assert rows[1].startswith("gA,") and len(rows) == 2
    assert (tmp_path / "study_untrained.png").exists()


def test_an_unknown_part_is_refused(study, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(study("untrained"), monkeypatch, "snow")
    assert "no part snow; there are synthetic, structure, runoff" in capsys.readouterr().err


def test_cells_near_a_gauge(study):
    module = study("untrained")
    grid = xr.Dataset(coords={"lat": ("y", [40.0, 41.0]), "lon": ("x", [-90.0, -80.0])})
    there = xr.DataArray([[True, True], [True, False]], dims=("y", "x"))
    basins = xr.Dataset(
        coords={"lat": ("basin", [40.3, 41.0, 10.0]), "lon": ("basin", [-90.0, -80.0, 0.0])}
    )
    found = module.beside(basins, grid, there)
    assert [list(cells) for cells in found] == [[0], [], []]


def test_agreement_of_shares_that_ran_off(study):
    module = study("untrained")
    pairs = {"observed": np.array([0.1, 0.2, 0.3, np.nan]), "one": np.array([0.2, 0.3, 0.4, 0.5])}
    assert module.agreement(pairs, "one") == ["1.00", "0.10", "0.10", "3"]


@pytest.mark.slow
def test_coherence_of_smap_has_a_row_for_every_method(study, monkeypatch, tmp_path, data_folder):
    module = study("coherence")
    monkeypatch.setenv("XDPL_DATA", str(data_folder))
    quick = {"epochs": 2}

    def hurried(call):
        return lambda ds, obs, **keywords: call(ds, obs, **keywords | quick)

    monkeypatch.setattr(xdpl, "fit", hurried(xdpl.fit))
    monkeypatch.setattr(module.validation, "calibrate", hurried(module.validation.calibrate))
    run(module, monkeypatch, "--cells", "30", "--evaluations", "1", "--to", str(tmp_path))
    rows = (tmp_path / "study_coherence.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [
        "gA", "mixed effects", "calibrate", "SCE-UA", "the attributes",
    ]  # fmt: skip
    assert (tmp_path / "study_coherence.png").exists()
