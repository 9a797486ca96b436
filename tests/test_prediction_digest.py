"""Names of lazy results: the same in every process, and those of equal computations alone."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import boxes
import numpy as np
import pytest
import torch
import toy
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.networks import MLP
from xdpl.prediction.digest import digest


def lazy():
    return grid(4, 3, 400).chunk({"y": 2})


@pytest.fixture(scope="module")
def ds():
    return lazy()


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", **QUICK)


def names(fit, ds):
    maps = (fit.parameters(ds), fit.simulate(ds), fit.evaluate(ds), fit.parameters(ds, trust=True))
    return [next(iter(one.data_vars.values())).data.name for one in maps]


SCRIPT = """
import warnings
from test_prediction_digest import QUICK, lazy, names, xdpl
warnings.simplefilter("ignore")
fit = xdpl.fit(lazy(), obs="qobs", **QUICK)
print(names(fit, lazy()))
"""


@pytest.mark.slow
def test_the_same_call_in_another_process_has_the_same_names(fit):
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == str(names(fit, lazy()))


def test_what_happened_on_the_way_has_no_say(fit, ds):
    other = replace(fit, record={**fit.record, "seconds": 1e6}, reported={})
    assert names(other, ds) == names(fit, ds)


def changed():
    """The same fit with other weights."""
    again = xdpl.fit(lazy(), obs="qobs", **QUICK)
    with torch.no_grad():
        next(again.learner.parameters()).add_(1e-6)
    return again


OTHERS = {
    "weights": lambda fit, ds: changed().parameters(ds),
    "settings": lambda fit, ds: replace(fit, settings={**fit.settings, "seed": 5}).parameters(ds),
    "network": lambda fit, ds: replace(fit, network=MLP((3,))).parameters(ds),
    "deviations": lambda fit, ds: fit.parameters(ds, deviations=False),
    "values in memory": lambda fit, ds: fit.parameters(ds.assign(forest=grid(4, 3, 400).forest)),
    "coordinate": lambda fit, ds: fit.parameters(ds.assign_coords(x=ds.x + 1.0)),
    "lazy values": lambda fit, ds: fit.parameters(ds.assign(forest=ds.forest * 1.0)),
}


@pytest.mark.parametrize("other", OTHERS)
def test_whatever_else_is_another_has_another_name(fit, ds, other):
    found = OTHERS[other](fit, ds).recession.data.name
    assert found != fit.parameters(ds).recession.data.name


def test_other_periods_and_outputs_have_other_names(fit, ds):
    asked = [
        fit.simulate(ds).streamflow,
        fit.simulate(ds, period=slice("2000-06-01", None)).streamflow,
        fit.simulate(ds, outputs=["streamflow"]).streamflow,
    ]
    assert len({one.data.name for one in asked}) == 3


def test_the_users_own_code_counts_and_what_hides_values_never_has_the_same_name(monkeypatch):
    before = digest(toy.Bucket())
    assert digest(toy.Bucket()) == before
    monkeypatch.setattr("inspect.getsource", lambda thing: "as it was changed")
    assert digest(toy.Bucket()) != before

    def local():
        """Made anew with every call, and with other values around it."""

    assert digest(local) != digest(local)
    box = boxes.NumpyBucket()  # a program that is run may be another one the next time
    assert digest(box) != digest(box)
    assert digest([np.float64, torch.nn.Linear, {"a": 1}]) == digest(
        [np.float64, torch.nn.Linear, {"a": 1}]
    )


def test_sets_and_datasets_are_told_in_one_order():
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    other.load_state_dict(one.state_dict())
    one.some, other.some = {"a", "b"}, {"b", "a"}
    assert digest(one) == digest(other)
    ds = xr.Dataset({"a": ("x", [1.0, 2.0]), "b": ("x", [1, 2])}, coords={"x": [0, 1]})
    assert digest(ds) == digest(ds[["b", "a"]]) != digest(ds.assign(a=ds.a + 1))
    assert digest(ds) != digest(ds.reset_coords(drop=True).drop_vars("x"))


def test_the_order_of_variables_is_no_matter(ds, fit):
    turned = lazy()[list(ds.data_vars)[::-1]]  # as a store may list them the next time
    again = xdpl.fit(turned, obs="qobs", **QUICK)
    assert again.layout.notes != fit.layout.notes
    assert names(again, turned) == names(fit, ds)


def test_a_store_that_is_whole_is_known_again(ds, fit, tmp_path, monkeypatch):
    store = fit.parameters(ds).dpl.to_zarr(tmp_path / "maps.zarr")
    again = xdpl.fit(lazy(), obs="qobs", **QUICK)
    monkeypatch.setattr(xr.Dataset, "to_zarr", None)  # nothing is written any more
    assert again.parameters(lazy()).dpl.to_zarr(tmp_path / "maps.zarr") == store
