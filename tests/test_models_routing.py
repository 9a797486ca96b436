"""Unit hydrographs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from xdpl.models import _routing as routing


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.5, 5.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_gamma_weights_follow_the_distribution(shape, scale):
    weights = routing.gamma_weights(
        torch.tensor([shape], dtype=torch.float64), torch.tensor([scale], dtype=torch.float64), 1.0
    )[:, 0]
    share = np.diff(scipy.stats.gamma(shape, scale=scale).cdf(np.arange(21)))
    share /= share.sum()
    # below a shape of 1 the density is infinite at 0, where midpoints see less of it
    np.testing.assert_allclose(weights, share, atol=2e-3 if shape >= 1 else 0.06)


@pytest.mark.parametrize("dt", [1 / 24, 1.0])
def test_gamma_weights_sum_to_one_and_are_differentiable(dt):
    shape = torch.tensor([0.5, 2.0, 5.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([0.1, 1.0, 6.0], dtype=torch.float64, requires_grad=True)
    weights = routing.gamma_weights(shape, scale, dt)
    torch.testing.assert_close(weights.sum(0), torch.ones(3, dtype=torch.float64))
    lag = torch.arange(len(weights), dtype=torch.float64).unsqueeze(-1)
    gradients = torch.autograd.grad((lag * weights).sum(), (shape, scale))
    assert all(g.isfinite().all() and (g > 0).all() for g in gradients)


def test_gamma_weights_of_an_hour_add_up_to_those_of_a_day():
    shape, scale = torch.tensor([2.0]).double(), torch.tensor([1.5]).double()
    daily = routing.gamma_weights(shape, scale, 1.0)
    hourly = routing.gamma_weights(shape, scale, 1 / 24)
    torch.testing.assert_close(hourly.reshape(20, 24, 1).sum(1), daily, atol=2e-3, rtol=0)


def test_convolve_agrees_with_numpy():
    generator = torch.Generator().manual_seed(0)
    flow = torch.rand(50, 3, generator=generator, dtype=torch.float64)
    weights = torch.softmax(torch.rand(7, 3, generator=generator, dtype=torch.float64), 0)
    routed = routing.convolve(flow, weights)
    for cell in range(3):
        padded = np.concatenate([np.full(6, flow[0, cell]), flow[:, cell]])
        expected = np.convolve(padded, weights[:, cell], mode="valid")
        np.testing.assert_allclose(routed[:, cell], expected)


def test_constant_flow_stays_what_it_is():
    weights = routing.gamma_weights(torch.tensor([3.0]), torch.tensor([4.0]), 1.0)
    routed = routing.convolve(torch.full((5, 1), 2.0), weights)
    torch.testing.assert_close(routed, torch.full((5, 1), 2.0))


def test_convolve_has_right_gradients():
    flow = torch.rand(12, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(routing.convolve, (flow, weights))


@pytest.mark.parametrize("time_base", [0.5, 1.0, 3.7, 10.0])
def test_gr4j_ordinates_sum_to_one(time_base):
    short, long = routing.gr4j_ordinates(torch.tensor([[time_base]], dtype=torch.float64), 10)
    assert short.shape == (1, 1, 10) and long.shape == (1, 1, 20)
    assert float(short.sum()) == pytest.approx(1)
    assert float(long.sum()) == pytest.approx(1)
    assert (short >= 0).all() and (long >= 0).all()
