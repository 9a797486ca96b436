"""What observations say of parameters, on models whose answer is known."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

from xdpl import Forcing, Output, Parameter, State, StepModel
from xdpl.losses import KGE, MSE, NSE
from xdpl.networks import MLP
from xdpl.parameters.learner import Learner
from xdpl.parameters.simulator import ProcessSimulator
from xdpl.parameters.transforms import ParameterTransform
from xdpl.prediction.identifiability import evidence


@dataclass(frozen=True)
class Sum(StepModel):
    """Output that follows a forcing by one parameter, by the sum of two, and by one not at all."""

    rain = Forcing("mm day-1")
    slope = Parameter("1", bounds=(0.0, 2.0))
    one = Parameter("1", bounds=(0.0, 1.0))
    other = Parameter("1", bounds=(0.0, 1.0))
    idle = Parameter("1", bounds=(0.0, 1.0))
    storage = State("mm")
    flow = Output("mm day-1")
    water = Output("mm")

    def step(self, forcing, state, parameter, dt):
        """Flow, from nothing stored."""
        flow = parameter.slope * forcing.rain + parameter.one + parameter.other
        return {"storage": state.storage + 0 * parameter.idle}, {
            "flow": flow,
            "water": state.storage,
        }


SIMULATOR = ProcessSimulator(Sum(), "eager")


evidence_of = partial(evidence, SIMULATOR, ParameterTransform(Sum().parameters))


def setting(cells: int = 3, steps: int = 300, noise: float = 0.1, components: int = 1):
    generator = torch.Generator().manual_seed(0)
    learner = Learner(MLP(), Sum(), [0], components)
    forcing = {"rain": torch.rand(steps, cells, generator=generator) * 3}
    parameter = {name: torch.full((cells, components), 0.5) for name in Sum().parameters}
    exact = SIMULATOR.simulate(forcing, parameter, dt=1.0)["flow"]
    observed = exact + noise * torch.randn(exact.shape, generator=generator)
    return learner, forcing, parameter, {"flow": observed}


@pytest.mark.parametrize("loss", [MSE(), NSE(), KGE()], ids=repr)
@pytest.mark.parametrize("components", [1, 3])
def test_only_what_the_observation_tells_apart_is_identified(loss, components):
    learner, forcing, parameter, observed = setting(components=components)
    found = evidence_of(forcing, parameter, observed, {"flow": loss}, dt=1.0)
    known = {name: values.min() for name, values in found.identifiability.items()}
    assert known["slope"] > 0.9
    # each matters, but only their sum is seen: half of the variance of the range is left
    for name in ("one", "other"):
        assert found.sensitivity[name].min() > 0.05
        assert found.identifiability[name].numpy() == pytest.approx(1 - 0.5**0.5, abs=0.02)
    assert found.sensitivity["idle"].max() == 0
    assert found.identifiability["idle"].abs().max() < 1e-6


def test_the_analytic_answer_for_one_parameter():
    learner, forcing, parameter, observed = setting(noise=0.5, steps=50)
    found = evidence_of(forcing, parameter, observed, {"flow": MSE()}, dt=1.0)
    error = (SIMULATOR.simulate(forcing, parameter, dt=1.0)["flow"] - observed["flow"]).double()
    before, after = error[:-1], error[1:]
    size = 0.5 * (before**2 + after**2).sum(0)
    r = ((before * after).sum(0) / size).clamp(min=0)
    design = torch.stack(
        [2 * forcing["rain"].double(), *[torch.ones_like(error) for _ in range(2)]]
    )
    gram = torch.einsum("ptc,qtc->cpq", design, design)
    gram = gram * ((1 - r) / (1 + r) / (error**2).mean(0))[:, None, None]
    left = torch.linalg.inv(gram + 12 * torch.eye(3)).diagonal(dim1=1, dim2=2)
    expected = 1 - (12 * left[:, 0]).sqrt()
    np.testing.assert_allclose(found.identifiability["slope"], expected, rtol=1e-3)


def test_more_observations_and_less_noise_identify_more():
    def identified(**keywords):
        learner, forcing, parameter, observed = setting(**keywords)
        found = evidence_of(forcing, parameter, observed, {"flow": MSE()}, dt=1.0)
        return float(found.identifiability["slope"].mean())

    assert identified(steps=20, noise=1.0) < identified(steps=300, noise=1.0)
    assert identified(noise=1.0) < identified(noise=0.1)


def test_the_sensitivity_is_the_change_of_the_loss():
    learner, forcing, parameter, observed = setting()
    found = evidence_of(forcing, parameter, observed, {"flow": MSE()}, dt=1.0)

    def loss(slope):
        given = {**parameter, "slope": torch.full_like(parameter["slope"], slope)}
        simulated = SIMULATOR.simulate(forcing, given, dt=1.0)["flow"]
        return ((simulated - observed["flow"]) ** 2).mean(0)

    before = loss(0.5)
    change = ((loss(0.4) - before).abs() + (loss(0.6) - before).abs()) / 2 / before
    torch.testing.assert_close(found.sensitivity["slope"], change, rtol=1e-4, atol=1e-5)


def test_gaps_count_for_nothing_and_cells_without_observations_are_nan():
    learner, forcing, parameter, observed = setting()
    spoiled = {"flow": observed["flow"].clone()}
    spoiled["flow"][:, 1] = torch.nan
    spoiled["flow"][::2, 2] = torch.nan
    whole = evidence_of(forcing, parameter, observed, {"flow": MSE()}, dt=1.0)
    found = evidence_of(forcing, parameter, spoiled, {"flow": MSE()}, dt=1.0)
    for layer in ("sensitivity", "identifiability"):
        values, before = getattr(found, layer)["slope"], getattr(whole, layer)["slope"]
        torch.testing.assert_close(values[0], before[0])
        assert torch.isnan(values[1])
        assert values[2] > 0
    assert found.identifiability["slope"][2] < whole.identifiability["slope"][2]


def test_a_parameter_at_its_bound_is_moved_inward():
    learner, forcing, parameter, observed = setting()
    parameter["slope"] = torch.zeros_like(parameter["slope"])
    found = evidence_of(forcing, parameter, observed, {"flow": MSE()}, dt=1.0)
    assert torch.isfinite(found.identifiability["slope"]).all()
    assert (found.identifiability["slope"] > 0).all()


def test_spin_up_is_not_compared():
    learner, forcing, parameter, observed = setting()
    longer = {"rain": torch.cat([torch.full((40, 3), 9.0), forcing["rain"]])}
    plain = evidence_of(forcing, parameter, observed, {"flow": MSE()}, dt=1.0)
    ahead = evidence_of(longer, parameter, observed, {"flow": MSE()}, dt=1.0)
    torch.testing.assert_close(plain.sensitivity["slope"], ahead.sensitivity["slope"])


def test_a_cell_with_one_of_two_observations_has_the_evidence_of_that_one():
    learner, forcing, parameter, observed = setting()
    two = {"flow": observed["flow"].clone(), "water": torch.full((300, 3), torch.nan)}
    two["flow"][:, 2] = torch.nan
    found = evidence_of(forcing, parameter, two, {"flow": MSE(), "water": NSE()}, dt=1.0,
        weights={"water": 5.0},
    )  # fmt: skip
    alone = evidence_of(forcing, parameter, observed, {"flow": MSE()}, dt=1.0)
    for layer in ("sensitivity", "identifiability"):
        values, before = getattr(found, layer)["slope"], getattr(alone, layer)["slope"]
        torch.testing.assert_close(values[:2], before[:2])
        assert torch.isnan(values[2])
