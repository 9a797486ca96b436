"""Streamflow that precipitation can't explain, and attributes that are the answer."""

import re
import warnings

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, Bucket, basins

import xdpl
from xdpl import errors
from xdpl.batches import Cells
from xdpl.fitting.problem import settle


def read(ds: xr.Dataset, budget: int | None = None, period: slice | None = None) -> Cells:
    problem = settle(
        ds, "qobs", model=Bucket(), attributes=None, forcings=None, loss=None, period=period,
        cells=None, warmup=None, categorical=(),
    )  # fmt: skip
    cells = Cells(
        problem.ds, problem.layout, period=problem.span, losses=problem.losses, budget=budget
    )
    assert cells.in_memory is (budget is None)
    cells.look_at_balance()
    return cells


def scaled(ds: xr.Dataset, factors: list[float]) -> xr.Dataset:
    factor = xr.DataArray(np.resize(factors, ds.sizes["basin"]), dims="basin")
    return ds.assign(qobs=(ds["qobs"] * factor).assign_attrs(ds["qobs"].attrs))


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize("units", ["mm day-1", "mm h-1"])
def test_cells_without_a_possible_balance_are_counted(budget, units):
    ds = basins(12)
    if units == "mm h-1":
        ds["qobs"] = (ds["qobs"] / 24).assign_attrs(units=units)
    assert read(ds, budget).findings.count("balance") == 0
    wrong = scaled(ds, [1, 1, 1, 1e-4, 1, 20])
    findings = read(wrong, budget).findings
    assert findings.count("imbalance", "qobs above prcp") == 2
    assert findings.count("imbalance", "qobs below a thousandth of prcp") == 2
    text = [one for one in findings.messages() if "balance" in one]
    assert len(text) == 1 and text[0].startswith("4 of 12 cells have an impossible water balance.")
    assert "(qobs above prcp: 2, qobs below a thousandth of prcp: 2)" in text[0]


def test_one_warning_at_the_fit():
    ds = basins(12)
    with pytest.warns(errors.XdplWarning, match="12 of 12 cells have an impossible") as given:
        fit = xdpl.fit(scaled(ds, [1e-4]), obs="qobs", **{**QUICK, "epochs": 1})
    assert sum("balance" in str(one.message) for one in given) == 1
    assert any("water balance" in text for text in fit.record["left_out"])
    single = read(scaled(ds, [30] + 11 * [1])).findings.messages()
    assert any(text.startswith("1 of 12 cells has an impossible") for text in single)


def test_what_is_short_or_dry_is_not_judged():
    ds = basins(12)
    short = scaled(ds, [1e-4]).isel(time=slice(500))
    late = xr.DataArray(np.arange(500) > 400, dims="time")
    assert read(short).findings.count("balance") == 12
    short["qobs"] = short["qobs"].where(late)
    assert read(short).findings.count("balanced") == 0
    dry = ds.assign(prcp=(ds["prcp"] * 0).assign_attrs(ds["prcp"].attrs))
    assert read(dry).findings.count("balanced") == 0


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize("sign", [1.0, -3.0])
def test_an_attribute_that_is_the_answer_is_named(budget, sign):
    ds = basins(24)
    ds["wetness"] = ("basin", sign * ds["qobs"].mean("time").values + 2.0, {"units": "mm day-1"})
    with pytest.warns(errors.XdplWarning, match="1 attribute seems made from.*: wetness") as given:
        xdpl.fit(ds, obs="qobs", **{**QUICK, "epochs": 1})
    text = next(str(one.message) for one in given if "made from" in str(one.message))
    chosen = eval(re.search(r"attributes=(\[.*\])", text).group(1))
    assert "wetness" not in chosen
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = xdpl.fit(ds, obs="qobs", attributes=chosen, **{**QUICK, "epochs": 1})
    assert set(fit.layout.attribute_names) == set(chosen)
    assert read(ds, budget).findings.count("answer") == 1
    assert read(ds.isel(basin=slice(10)), budget).findings.count("answer") == 0
