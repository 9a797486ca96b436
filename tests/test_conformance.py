"""Every bundled model and loss through the same checks that users have for their own."""

from __future__ import annotations

import pytest
import torch

from xdpl import losses, models, networks
from xdpl.testing import check_loss, check_model, check_network, draw_parameters, draw_weather

MODELS = [*(model() for model in models.BUNDLED), models.HBV(capillary_rise=False)]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_model(model):
    check_model(model, steps=60)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_model_runs_fused(model):
    """No bundled model falls back to the slow loop, in either precision."""
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
        forcing = {k: v.to(dtype) for k, v in draw_weather(model, steps=200).items()}
        parameter = {k: v.to(dtype) for k, v in draw_parameters(model, cells=24).items()}
        eager, _ = model.simulate(forcing, parameter, engine="eager")
        fused, _ = model.simulate(forcing, parameter, engine="fused")
        for name, value in eager.items():
            error = (value - fused[name]).abs().max() / (1e-6 + value.abs().max())
            assert float(error) < tolerance, name


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_parameters_may_change_with_time(model):
    """A dynamic parameter that stays the same gives what a static one gives."""
    forcing = draw_weather(model, steps=60)
    static = draw_parameters(model, cells=24)
    expected, _ = model.simulate(forcing, static, engine="eager")
    for name, declared in model.parameters.items():
        if not declared.shared:
            dynamic = {**static, name: static[name].expand(60, 24, 1)}
            outputs, _ = model.simulate(forcing, dynamic, engine="eager")
            torch.testing.assert_close(outputs, expected)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_sixteen_components_with_dynamic_parameters(model):
    """Both engines agree on 16 sets side by side, of which one parameter moves with time."""
    forcing = {k: v[:, -3:] for k, v in draw_weather(model, steps=30).items()}
    drawn = draw_parameters(model, cells=48)
    static = {k: v.reshape(3, 16) if v.dim() == 2 else v[:3] for k, v in drawn.items()}
    name = next(name for name, declared in model.parameters.items() if not declared.shared)
    share = torch.linspace(0.9, 1.0, 30, dtype=static[name].dtype)[:, None, None]
    dynamic = {**static, name: static[name] * share}
    eager, _ = model.simulate(forcing, dynamic, engine="eager")
    fused, _ = model.simulate(forcing, dynamic, engine="fused")
    torch.testing.assert_close(fused, eager)
    still, _ = model.simulate(forcing, static, engine="fused")
    assert any(not torch.equal(still[key], fused[key]) for key in fused)


@pytest.mark.parametrize("loss", losses.BUNDLED)
def test_loss(loss):
    check_loss(loss())
    check_loss(loss() + 0.5 * losses.MSE())


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_every_declaration_says_what_it_is(model):
    for kind in (model.forcings, model.parameters, model.outputs, model.states):
        for name, declared in kind.items():
            assert declared.long_name, name
            assert not (getattr(declared, "standard_name", None) or "").startswith("mass_"), name
    for name, declared in model.parameters.items():
        low, high = declared.bounds
        if low > 0 and high / low >= 30:
            assert declared.scale == "log", f"{name} spans decades"


def test_models_agree_on_the_names_of_their_forcings():
    seen: dict[str, object] = {}
    for model in MODELS:
        for name, declared in model.forcings.items():
            assert seen.setdefault(name, declared) == declared


@pytest.mark.parametrize("network", networks.BUNDLED)
def test_network(network):
    check_network(network)


def test_networks_rebuild_from_their_options():
    for network in networks.BUNDLED:
        assert network(**network().options) == network()
    moving = networks.Dynamic(("a",), hidden=[8, 4])
    assert networks.Dynamic(**moving.options) == moving
