"""Mixed precision: the network alone, while it is trained, and never the process model."""

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, Bucket, grid
from training_helpers import a_batch, a_state, take_step, weights

import xdpl
from xdpl.errors import DeclarationError
from xdpl.fitting.checks import check_precision
from xdpl.networks import LSTM, MLP, Dynamic
from xdpl.parameters.cell_inputs import CellInputs
from xdpl.parameters.learner import Learner
from xdpl.parameters.simulator import ProcessSimulator

FIT = {**QUICK, "epochs": 20}


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.fixture(scope="module")
def mixed(ds):
    return xdpl.fit(ds, obs="qobs", precision="mixed", **FIT)


def test_scores_are_those_of_single_precision(ds, mixed):
    single = xdpl.fit(ds, obs="qobs", **FIT)
    assert mixed.scores["streamflow"]["nse"] > 0.8
    assert mixed.scores["streamflow"]["nse"] == pytest.approx(
        single.scores["streamflow"]["nse"], abs=0.01
    )
    assert mixed.record["loss"] != single.record["loss"]


def test_a_fit_of_mixed_precision_says_so_and_is_asked_in_single(ds, mixed, tmp_path):
    assert mixed.settings["precision"] == "mixed" and "mixed precision" in repr(mixed)
    maps = mixed.parameters(ds)
    assert "mixed" in str(maps.attrs)
    assert {p.dtype for p in mixed.learner.parameters()} == {torch.float32}
    again = xdpl.load(mixed.save(tmp_path / "fit.xdpl"), model=Bucket)
    assert again.settings["precision"] == "mixed"
    xr.testing.assert_equal(again.parameters(ds), maps)


def seen_by(learner, monkeypatch):
    """Types of what the process model gets, and of what layers of the networks give."""
    model, layers = set(), set()
    simulate = learner.model.simulate

    def watched(forcing, parameter, **keywords):
        model.update(v.dtype for v in (*forcing.values(), *parameter.values()))
        model.update([torch.is_autocast_enabled("cpu")])
        return simulate(forcing, parameter, **keywords)

    monkeypatch.setattr(type(learner.model), "simulate", lambda _, *a, **k: watched(*a, **k))
    for layer in learner.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(lambda _, given, out: layers.add(out.dtype))
    return model, layers


@pytest.mark.parametrize("kind", ["gA", "components", "gZ", "dynamic", "cycle"])
def test_networks_compute_in_bfloat16_and_the_model_never_does(kind, monkeypatch):
    torch.manual_seed(0)
    learner = Learner(
        LSTM(hidden=4) if kind == "cycle" else MLP(hidden=(8,)),
        Bucket(),
        [0],
        components=3 if kind == "components" else 1,
        dynamic=Dynamic(("recession",), hidden=(4,), spans=(1, 5)) if kind == "dynamic" else None,
        past=2 if kind == "gZ" else 0,
        precision="mixed",
    )
    forcing = {name: 5 * torch.rand(20, 9) for name in learner.model.forcings}
    attribute = torch.rand(9, 3 if kind == "gZ" else 1, dtype=torch.float64)
    cycle = torch.rand(52, 9, 2) if kind == "cycle" else None
    inputs = CellInputs(attribute, cycle, forcing=forcing)
    model, layers = seen_by(learner, monkeypatch)
    parameter = learner.parameters_of(inputs)
    ProcessSimulator(learner.model).simulate(forcing, parameter, dt=1.0)[
        "streamflow"
    ].mean().backward()
    assert model == {torch.float32, False} and layers == {torch.bfloat16}
    assert {p.grad.dtype for p in learner.parameters() if p.grad is not None} == {torch.float32}
    layers.clear()
    learner.eval().parameters_of(inputs)
    assert layers == {torch.float32}


def test_mixed_effects_in_microbatches_give_the_weights_of_the_whole():
    batch = a_batch(cells=11)
    found = []
    for microbatches in (1, 3):
        state = a_state(batch, deviating=11, seed=3, microbatches=microbatches)
        state.field.precision = "mixed"
        state.field.train()
        for _ in range(4):
            take_step(state, batch)
        found.append(weights(state))
    assert bool((state.field.deviation != 0).any())
    # the last digit of a gradient may decide how it is rounded to bfloat16
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-4)


def test_a_gpu_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    check_precision("float32", torch.device("cuda"))
    with pytest.raises(DeclarationError, match="bfloat16, which 'cuda' doesn't have.*float32"):
        check_precision("mixed", torch.device("cuda"))
