"""Fluxes by themselves: limits, exact solutions, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import torch
from hypothesis import given
from hypothesis import strategies as st

from xdpl.models import _fluxes as fluxes


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_a_trailing_mean_forgets_exponentially():
    mean = torch.zeros(3, dtype=torch.float64)
    for _ in range(300):
        mean = fluxes.trailing_mean(mean, torch.tensor([0.0, 1.0, -4.0]), memory=30.0, dt=0.1)
    expected = (1 - torch.exp(torch.tensor(-1.0))) * torch.tensor([0.0, 1.0, -4.0])
    torch.testing.assert_close(mean.float(), expected, rtol=0.01, atol=0)


def test_step_fraction_compounds_to_a_day():
    rate = number(0.3)
    left = number(1.0)
    for _ in range(24):
        left = left * (1 - fluxes.step_fraction(rate, 1 / 24))
    torch.testing.assert_close(1 - left, rate)
    assert fluxes.step_fraction(rate, 1.0) is rate


def test_rain_turns_into_snow_continuously():
    temperature = torch.linspace(-3, 3, 601, dtype=torch.float64)
    rain, snow = fluxes.rain_and_snow(number(5.0), temperature, number(0.5))
    torch.testing.assert_close(rain + snow, torch.full_like(rain, 5.0))
    assert snow[0] == 5 and rain[-1] == 5
    assert rain.diff().max() < 0.03  # no jump
    torch.testing.assert_close(snow[350], number(2.5))  # at the threshold, 0.5 degC


@given(
    warmth=st.floats(-40, 40),
    pack=st.floats(0, 500),
    liquid=st.floats(0, 50),
    rain=st.floats(0, 300),
    snow=st.floats(0, 300),
)
def test_snow_keeps_its_water_and_holds_only_so_much(warmth, pack, liquid, rain, snow):
    dt = 0.5
    after, wet, out = fluxes.degree_day_snow(
        *map(number, (pack, liquid, rain, snow, warmth, 4.0, 0.05, 0.1)), dt
    )
    assert float(after + wet + out) == pytest.approx(pack + liquid + (rain + snow) * dt)
    assert min(after, wet, out) >= 0
    assert wet <= 0.1 * after + 1e-9
    if warmth <= 0:
        assert after >= pack


@pytest.mark.parametrize("exponent", [1.2, 4.0, 25.0])
@pytest.mark.parametrize("filling", [0.05, 0.6, 1.0])
@pytest.mark.parametrize("rate", [1.0, 3000.0])
def test_power_law_outflow_is_the_integral_of_its_equation(exponent, filling, rate):
    capacity, dt = 20.0, 0.5
    start = filling * capacity
    solved = scipy.integrate.solve_ivp(
        lambda _, w: -rate * (np.maximum(w, 0) / capacity) ** exponent,
        (0, dt),
        [start],
        method="LSODA",
        rtol=1e-10,
        atol=1e-12,
    )
    out = fluxes.power_law_outflow(*map(number, (start, capacity, rate, exponent)), dt)
    assert float(out) == pytest.approx(start - solved.y[0, -1], rel=1e-6, abs=1e-8)


@given(
    storage=st.floats(0, 20),
    rate=st.floats(0, 1e5),
    exponent=st.floats(1.05, 40),
    dt=st.floats(0.01, 1),
)
def test_power_law_outflow_stays_within_the_storage_and_its_gradient_is_bounded(
    storage, rate, exponent, dt
):
    start = number(storage).requires_grad_()
    out = fluxes.power_law_outflow(start, number(20.0), number(rate), number(exponent), dt)
    assert 0 <= float(out.detach()) <= storage
    (gradient,) = torch.autograd.grad(out, start)
    assert -1e-9 <= float(gradient) <= 1 + 1e-9


def test_smooth_ramp_rises_from_zero_to_one():
    x = torch.linspace(-1, 1, 201, dtype=torch.float64)
    y = fluxes.smooth_ramp(x)
    assert y[0] == 0 and y[100] == 0.5 and y[-1] == 1
    assert (y.diff() >= 0).all()
    cosine = 0.5 * (1 - torch.cos(torch.pi * (x.clamp(-0.5, 0.5) + 0.5)))
    assert (y - cosine).abs().max() < 0.011  # stands in for the cosine of Lee and Pielke


@pytest.mark.parametrize("shape", [0.02, 0.3, 2.5])
@pytest.mark.parametrize("filling", [0.0, 0.4, 0.95])
def test_infiltration_is_the_mean_over_the_capacity_curve(shape, filling):
    """Fill every part of the cell by itself and average: what the closed form stands for."""
    capacity, water = 100.0, 30.0
    largest = capacity * (1 + shape)
    area = (np.arange(200_000) + 0.5) / 200_000
    each = largest * (1 - (1 - area) ** (1 / shape))
    level = largest * (1 - (1 - filling) ** (1 / (1 + shape)))
    taken = np.clip(each - level, 0, water).mean()
    got = fluxes.variable_infiltration(*map(number, (water, filling * capacity, capacity, shape)))
    assert float(got) == pytest.approx(taken, rel=1e-3)


@given(water=st.floats(0, 400), filling=st.floats(0, 1), shape=st.floats(0.01, 3))
def test_infiltration_is_bounded_with_bounded_gradient(water, filling, shape):
    stored = number(100.0 * filling).requires_grad_()
    taken = fluxes.variable_infiltration(number(water), stored, number(100.0), number(shape))
    assert 0 <= float(taken.detach()) <= water + 1e-12
    assert float(taken.detach()) <= 100 * (1 - filling) + 1e-3 + 1e-9
    (gradient,) = torch.autograd.grad(taken, stored)
    assert abs(float(gradient)) <= 1 + 1e-6


@given(
    upper=st.floats(0, 1),
    lower=st.floats(0, 1),
    conductance=st.floats(0, 1e4),
    equilibrium=st.floats(0.2, 3),
)
def test_diffusion_never_overfills_nor_overdraws(upper, lower, conductance, equilibrium):
    top, below = 20.0 * upper, 200.0 * lower
    gain = float(
        fluxes.diffusive_exchange(*map(number, (top, below, 20.0, 200.0, conductance, equilibrium)))
    )
    assert -1e-9 <= top + gain <= 20 + 1e-9
    assert -1e-9 <= below - gain <= 200 + 1e-9


def test_fast_diffusion_reaches_its_equilibrium():
    gain = fluxes.diffusive_exchange(*map(number, (2.0, 100.0, 20.0, 200.0, 1e9, 0.5)))
    top, below = (2.0 + gain) / 20, (100.0 - gain) / 200
    torch.testing.assert_close(top, 0.5 * below)


def test_arno_baseflow_bends_at_its_threshold():
    def rate(saturation: float) -> float:
        values = map(number, (100 * saturation, 100.0, 8.0, 0.1, 0.8))
        return float(fluxes.arno_baseflow(*values, 1e-6)) * 1e6

    assert rate(0.8) == pytest.approx(0.8, rel=1e-4)  # D_s D_m at W_s
    assert rate(0.4) == pytest.approx(0.4, rel=1e-4)
    assert rate(1.0) == pytest.approx(8.0, rel=1e-4)
    assert rate(0.0) == 0.0


@given(saturation=st.floats(0, 1), threshold=st.floats(0.5, 0.99), linear=st.floats(1e-3, 0.5))
def test_arno_baseflow_never_overshoots(saturation, threshold, linear):
    storage = number(20 * saturation).requires_grad_()
    values = map(number, (20.0, 300.0, linear, threshold))
    flow = fluxes.arno_baseflow(storage, *values, 1.0)
    assert 0 <= float(flow.detach()) <= 20 * saturation
    (gradient,) = torch.autograd.grad(flow, storage)
    assert -1e-9 <= float(gradient) <= 1 + 1e-9


def test_uptake_solves_its_implicit_step():
    for available in (-3.0, 0.0, 2.0, 8.0, 30.0):
        taken = float(fluxes.limited_uptake(*map(number, (available, 5.0, 10.0))))
        left = available - taken
        assert taken == pytest.approx(5.0 * min(max(left / 10.0, 0.0), 1.0))


@given(storage=st.floats(0, 40), demand=st.floats(0, 100))
def test_bare_soil_evaporates_in_two_stages_and_never_overshoots(storage, demand):
    start = number(storage).requires_grad_()
    out = fluxes.staged_evaporation(start, number(5.0), number(demand))
    assert 0 <= float(out.detach()) <= min(storage, demand)
    (gradient,) = torch.autograd.grad(out, start)
    assert -1e-9 <= float(gradient) <= 1 + 1e-9


def test_the_second_stage_is_the_integral_of_a_cubic():
    out = float(fluxes.staged_evaporation(number(3.0), number(6.0), number(4.0)))
    solved = scipy.integrate.solve_ivp(lambda _, w: -4.0 * (w / 6) ** 3, (0, 1), [3.0], rtol=1e-10)
    assert out == pytest.approx(3.0 - solved.y[0, -1], rel=1e-6)
    wet = fluxes.staged_evaporation(number(30.0), number(6.0), number(4.0))
    assert float(wet) == 4.0
