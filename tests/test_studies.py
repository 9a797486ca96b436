"""The studies' own sums: rows that last, costs, shares and answers."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl import validation

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
import studies
import study_mopex
import study_mopex_report as report
import study_smap

TRAIN, TEST = slice("2000-01-01", "2000-12-31"), slice("2001-01-01", None)


@pytest.fixture(scope="module")
def ds():
    return grid(4, 5, 500)


def test_rows_that_are_there_are_not_computed_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    first = studies.Rows(path)
    assert first(lambda: {"nse": 0.5}, method="a", seed=0)["nse"] == 0.5
    again = studies.Rows(path)
    kept = again(lambda: pytest.fail("computed again"), method="a", seed=0)
    assert kept == {"method": "a", "seed": 0, "nse": 0.5}
    assert again(lambda: {"nse": 0.7}, method="a", seed=1)["nse"] == 0.7
    assert len(studies.Rows(path).found) == 2


def test_means_and_spreads_are_over_seeds():
    rows = [{"method": "a", "seed": s, "nse": x, "unseen": None} for s, x in ((0, 0.5), (1, 0.7))]
    (mean,) = studies.averaged([*rows], ("method",))
    assert mean["seeds"] == 2 and mean["nse"] == pytest.approx(0.6) and mean["unseen"] is None
    assert studies.figure(mean, "nse", 2) == "0.60 ± 0.14"
    assert studies.figure(mean, "unseen") == "-"


def test_a_run_is_one_simulation_of_the_training_period(ds):
    ran = validation.sce_ua(ds, "qobs", evaluations=100, complexes=2, **_quick())
    assert studies.cost(ran)["runs_a_cell"] == ran.record["evaluations"] >= 100
    learned = xdpl.fit(ds, "qobs", epochs=7, **_quick())
    # a year of spin-up and a window of 365 of the 366 days, seven times
    assert studies.cost(learned)["runs_a_cell"] == pytest.approx(7 * 730 / 731)
    assert studies.cost(validation.defaults(ds, "qobs", **_quick()))["runs_a_cell"] == 0
    direct = validation.lstm(ds, "qobs", hidden=4, epochs=1, **_quick())
    assert studies.cost(direct)["runs_a_cell"] is None


def _quick():
    return {"model": QUICK["model"], "period": TRAIN, "progress": False}


def test_fewer_cells_are_nested_and_scored_apart(ds):
    cells = ds.qobs.notnull().any("time")
    few, more = (study_mopex.ordered(cells, n) for n in (3, 8))
    assert int(few.sum()) == 3 and int(more.sum()) == 8 and not bool((few & ~more).any())
    spy = []
    thin = study_mopex.thinned(lambda ds, obs, *, cells: spy.append(cells), 0.5)
    thin(ds, "qobs", cells=cells & (ds.x > ds.x[0]))
    assert int(spy[0].sum()) == round(0.5 * int((cells & (ds.x > ds.x[0])).sum()))
    assert not bool((spy[0] & (ds.x == ds.x[0])).any())


def test_regionalization_calibrates_the_same_cells_once(ds, monkeypatch):
    calls = []

    def counted(*args, **keywords):
        calls.append(keywords["seed"])
        return calibrate(*args, **keywords)

    calibrate = validation.calibrate
    monkeypatch.setattr(validation, "calibrate", counted)
    carried = study_mopex.Regionalization()
    cells = ds.qobs.notnull().any("time") & (ds.x > ds.x[0])
    for by in ("similarity", "regression"):
        fit = carried(ds, "qobs", by=by, cells=cells, seed=0, epochs=5, **_quick())
        assert np.isfinite(fit.evaluate(ds, period=TEST).nse.where(~cells, 0)).all()
    assert calls == [0]


def test_grids_are_thinned_by_rows_and_columns(ds, monkeypatch):
    monkeypatch.setattr(study_smap, "CASE", {"obs": "qobs", "train": TRAIN})
    seen = ds.qobs.notnull().any("time").transpose("y", "x")
    for step in (1, 2, 4):
        found = study_smap.every(ds, step).transpose("y", "x")
        np.testing.assert_array_equal(found[::step, ::step], seen[::step, ::step])
        assert int(found.sum()) == int(seen[::step, ::step].sum())


@pytest.mark.parametrize(
    ("wanted", "share"), [(0.45, 0.125), (0.5, 0.125), (0.55, 0.25), (0.6, 0.5), (0.71, None)]
)
def test_share_of_basins_that_reaches_a_score(wanted, share):
    found = report.share_reaching([0.125, 0.5, 1.0], [0.5, 0.6, 0.7], wanted)
    assert found == (share if share is None else pytest.approx(share))


def test_answers_name_rival_share_and_cost():
    table = [
        {"method": m, "held": "random", "test_nse": x}
        for m, x in (("similarity", 0.6), ("distance", 0.55), (report.LEARNED, 0.65))
    ]
    share = [{"share": 0.25, "test_nse": 0.6}, {"share": 0.125, "test_nse": 0.5}]
    assert "by similarity from all (NSE 0.600) with 25.0 %" in report.answer_share(table, share)
    never = report.answer_share(table[:2], share[1:])
    assert "does not reach" in never and "0.500" in never
    costs = [
        {"method": m, "basins": 10, "test_nse": x, "runs_a_cell": r, "seconds_a_cell": r / 100}
        for m, x, r in (
            ("mixed effects", 0.5, 10), ("mixed effects", 0.7, 80),
            ("SCE-UA", 0.4, 250), ("SCE-UA", 0.6, 5000),
        )
    ]  # fmt: skip
    (line,) = report.answer_cost(costs)
    assert "NSE 0.600" in line and "80 runs" in line and "SCE-UA 5000 runs" in line


def test_tables_and_figures_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        {"method": m, "density": d, "held": "rest", "seed": 0, "trained_cells": n,
         "seconds_a_cell": 0.1, "runs_a_cell": 500.0,
         **{f"{kind}_{k}": 0.1 for kind in ("known", "unseen") for k in ("rmse", "ubrmse", "corr")}}
        for m in ("gA", "uniform") for d, n in (("all", 20), ("1/4", 6))
    ]  # fmt: skip
    complete = study_smap.joined(rows)
    study_smap.table(complete, tmp_path)
    study_smap.draw(complete, tmp_path / "a.png")
    written = (tmp_path / "study_smap.csv").read_text().splitlines()
    assert len(written) == 5 and written[1].startswith("gA,all (20),1,0.1000")
    part = functools.partial(dict, seed=0, test_nse=0.5, test_kge=0.5, seconds=1.0)
    found = [
        part(part="table", method=m, held=h)
        for m in ("mixed effects", "similarity") for h in study_mopex.HELD
    ]  # fmt: skip
    found.append(part(part="share", method="mixed effects", share=0.5))
    found += [
        part(part="cost", method=m, basins=10, limit=1, runs_a_cell=9.0, seconds_a_cell=0.1)
        for m in ("mixed effects", "SCE-UA")
    ]
    study_mopex.report(found, tmp_path)
    assert (tmp_path / "study_mopex.png").stat().st_size > 1000
    assert "mixed effects,1,0.500,0.500" in (tmp_path / "study_mopex.csv").read_text()


def test_medians_count_the_cells_that_have_scores():
    scores = xr.Dataset({"nse": ("cell", [0.1, 0.3, np.nan, 0.9]), "n": ("cell", [5, 5, 5, 0])})
    row = studies.medians(scores, xr.ones_like(scores.n, bool), ("nse",), "test")
    assert row == {"test_nse": pytest.approx(0.2), "test_cells": 2}
    none = studies.medians(scores, xr.zeros_like(scores.n, bool), ("nse",), "test")
    assert none == {"test_nse": None, "test_cells": 0}
