"""Dynamic parameters: from the weather so far, in every place where parameters are used."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, Bucket, grid

import xdpl
from xdpl import errors
from xdpl.networks import Dynamic
from xdpl.parameters.cell_inputs import CellInputs
from xdpl.parameters.learner import Learner
from xdpl.parameters.simulator import ProcessSimulator
from xdpl.variables import Parameter

MOVING = Dynamic(("evaporation_factor",), hidden=(8,), spans=(1, 30))


@pytest.fixture(scope="module")
def ds():
    return grid(3, 4)


@pytest.fixture(scope="module")
def learned(ds):
    return xdpl.fit(ds, obs="qobs", dynamic=MOVING, **{**QUICK, "epochs": 20})


def test_one_value_a_day(ds, learned):
    daily = learned.simulate(ds, outputs=["streamflow", "evaporation_factor"])
    factor = daily.evaporation_factor
    assert factor.dims == ("time", "y", "x") == daily.streamflow.dims
    assert float(factor.std("time").min()) > 1e-3
    assert float(factor.min()) >= 0.2 and float(factor.max()) <= 1.5
    assert factor.units == "1" and "valid_range" in factor.attrs
    maps = learned.parameters(ds)
    assert maps.evaporation_factor.dims == maps.recession.dims == ("y", "x")
    np.testing.assert_allclose(maps.evaporation_factor, factor.mean("time"), rtol=1e-5)
    assert maps.evaporation_factor.cell_methods == "time: mean"
    assert "cell_methods" not in maps.recession.attrs
    assert maps.attrs["dynamic_parameters"] == "evaporation_factor"
    assert list(maps.evaporation_factor.attrs)[-1] == "grid_mapping"


def test_values_of_a_day_do_not_hang_on_the_window(ds, learned):
    whole = learned.simulate(ds, outputs="evaporation_factor").evaporation_factor
    late = ds.isel(time=slice(400, None))
    part = learned.simulate(late, outputs="evaporation_factor").evaporation_factor
    np.testing.assert_allclose(part[30:], whole[430:], rtol=1e-5)
    inside = learned.simulate(ds, slice("2001-01-01", "2001-02-01"), "evaporation_factor")
    expected = whole.sel(
        time=inside.time
    )  # matrix products of other shapes may add in another order
    np.testing.assert_allclose(inside.evaporation_factor, expected, rtol=5e-7)


def test_training_starts_from_static_parameters_and_moves_them(ds, learned):
    still = xdpl.fit(ds, obs="qobs", dynamic=MOVING, **{**QUICK, "learning_rate": 1e-12})
    factor = still.simulate(ds, outputs="evaporation_factor").evaporation_factor
    assert float((factor.max("time") - factor.min("time")).max()) < 1e-6
    assert learned.record["loss"][-1] < 0.9 * learned.record["loss"][0]


def test_engines_and_chunks_agree(ds, learned):
    expected = learned.simulate(ds)
    lazy = ds.chunk({"y": 2, "x": 3})
    simulated = learned.simulate(lazy)
    assert simulated.streamflow.chunks is not None
    xr.testing.assert_allclose(simulated.compute(), expected, rtol=1e-5)
    maps = learned.parameters(lazy)
    assert maps.evaporation_factor.chunks is not None
    xr.testing.assert_allclose(maps.compute(), learned.parameters(ds), rtol=1e-5)
    reference = replace(learned, simulator=ProcessSimulator(learned.model, "eager"))
    eager = reference.simulate(ds)
    xr.testing.assert_allclose(eager, expected, rtol=1e-4, atol=1e-4)


def test_saved_and_loaded(ds, learned, tmp_path):
    again = xdpl.load(learned.save(tmp_path / "f.xdpl"), model=Bucket)
    assert again.dynamic == ("evaporation_factor",) and again.learner.dynamic == MOVING
    xr.testing.assert_equal(again.evaluate(ds), learned.evaluate(ds))
    assert repr(again) == repr(learned) and "dynamic    evaporation_factor, by" in repr(learned)


@dataclass(frozen=True)
class Changing(Bucket):
    """A Bucket that says itself which parameter changes."""

    recession = Parameter("day-1", bounds=(0.01, 0.9), scale="log", dynamic=True)


def test_what_a_model_declares_is_dynamic_unless_refused(ds):
    keywords = {**QUICK, "model": Changing(), "epochs": 1}
    assert xdpl.fit(ds, obs="qobs", **keywords).dynamic == ("recession",)
    assert xdpl.fit(ds, obs="qobs", dynamic=(), **keywords).dynamic == ()
    assert xdpl.fit(ds, obs="qobs", **QUICK).dynamic == ()


def test_components_and_networks_that_read_the_climate(ds):
    fit = xdpl.fit(
        ds, obs="qobs", dynamic="recession", components=4, network=xdpl.networks.LSTM(4), **QUICK
    )
    assert fit.parameters(ds).recession.dims == ("component", "y", "x")
    assert np.isfinite(fit.evaluate(ds).nse).all()


def test_a_resumed_fit_has_the_same_bits(ds, tmp_path):
    keywords = {**QUICK, "dynamic": MOVING, "checkpoint": tmp_path}
    xdpl.fit(ds, obs="qobs", **keywords)
    sorted(tmp_path.glob("epoch-*"))[-1].unlink()
    resumed = xdpl.fit(ds, obs="qobs", **keywords)
    whole = xdpl.fit(ds, obs="qobs", **{**keywords, "checkpoint": None})
    xr.testing.assert_equal(resumed.parameters(ds), whole.parameters(ds))
    with pytest.raises(errors.FitFileError, match="another fit: its moving"):
        xdpl.fit(ds, obs="qobs", **{**keywords, "dynamic": Dynamic(MOVING.parameters)})


WRONG = {
    "unknown": ("recesion", "no parameter of Bucket. Did you mean 'recession'"),
    "number": (3, "dynamic=3 names no parameters"),
    "numbers": ((1, 2), "names no parameters"),
}


@pytest.mark.parametrize(("dynamic", "said"), WRONG.values(), ids=WRONG)
def test_impossible_names_are_refused(ds, dynamic, said):
    with pytest.raises(errors.DeclarationError, match=said):
        xdpl.fit(ds, obs="qobs", dynamic=dynamic, **QUICK)


def test_routing_stays_static():
    ds = xdpl.tutorial.synthetic(cells=4, years=1)
    with pytest.raises(errors.DeclarationError, match="acts on the whole series after"):
        xdpl.fit(ds, obs="streamflow", dynamic="unit_hydrograph_scale")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden": ()}, "has no units"),
        ({"spans": (0,)}, "not spans of days"),
        ({"spans": ()}, "not spans of days"),
        ({"dropout": 1.0}, "dropout=1.0 is not a share"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(errors.DeclarationError, match=said):
        Dynamic(("recession",), **options)


def test_a_learner_needs_forcings_for_them():
    learner = Learner(xdpl.networks.MLP((4,)), Bucket(), [0], dynamic=MOVING)
    with pytest.raises(errors.DeclarationError, match="asked for them without forcings"):
        learner.parameters_of(CellInputs(torch.zeros(3, 1)))
