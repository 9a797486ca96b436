"""Warnings: they name the line of the user's program, however deep they come from."""

import warnings

import numpy as np
import pytest
from toy import QUICK, grid

import xdpl
from xdpl.errors import XdplWarning, warn


@pytest.fixture
def ds():
    ds = grid(days=450)
    return ds.assign(forest=ds.forest.where(ds.elevation > 500), same=ds.forest * 0 + 1)


def caught(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [w for w in found if issubclass(w.category, XdplWarning)]


def test_a_warning_names_the_line_outside_of_xdpl(ds):
    fit = xdpl.fit(ds.isel(x=slice(0, 4)), obs="qobs", **QUICK)
    for call in (
        lambda: ds.dpl.fit(obs="qobs", **QUICK),
        lambda: xdpl.fit(ds, obs="qobs", period=slice("1999", "2001-03-01"), **QUICK),
        lambda: ds.dpl.parameters(fit),
        lambda: fit.evaluate(ds.isel(y=slice(0, 4))),
    ):
        found = caught(call)
        assert found
        assert {w.filename for w in found} == {__file__}


def test_a_warning_of_no_use_of_xdpl_names_its_own_line():
    (found,) = caught(lambda: warn("mind the gap"))
    assert found.filename == __file__
    assert str(found.message) == "mind the gap"


def test_a_fit_says_once_what_it_found_in_the_same_cells(ds):
    first = caught(lambda: ds.dpl.fit(obs="qobs", **QUICK))
    assert any("an attribute is missing" in str(w.message) for w in first)
    for method in (ds.dpl.parameters, ds.dpl.simulate, ds.dpl.evaluate):
        assert not caught(method)
    fit = ds.dpl.fit(obs="qobs", **QUICK)
    part = ds.isel(x=slice(0, 5))
    assert np.isnan(part.forest).any()
    assert caught(lambda: fit.parameters(part))
    assert not caught(lambda: fit.parameters(part))
