"""GR4J against its published recursion, written by itself in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpl.models import GR4J
from xdpl.testing import draw_parameters, draw_weather


def published(rain, demand, x1, x2, x3, x4, state):
    """Perrin et al. 2003, equations in their order, one basin, scalars only."""

    def s1(t):
        return 0.0 if t <= 0 else (t / x4) ** 2.5 if t < x4 else 1.0

    def s2(t):
        if t <= 0:
            return 0.0
        if t < x4:
            return 0.5 * (t / x4) ** 2.5
        return 1 - 0.5 * (2 - t / x4) ** 2.5 if t < 2 * x4 else 1.0

    uh1 = [s1(j) - s1(j - 1) for j in range(1, 11)]
    uh2 = [s2(j) - s2(j - 1) for j in range(1, 21)]
    s, r = state
    q9, q1 = np.zeros(10), np.zeros(20)
    flows = []
    for p, e in zip(rain, demand, strict=True):
        if p >= e:
            pn, en = p - e, 0.0
            th = math.tanh(pn / x1)
            ps = x1 * (1 - (s / x1) ** 2) * th / (1 + s / x1 * th)
            es = 0.0
        else:
            pn, en, ps = 0.0, e - p, 0.0
            th = math.tanh(en / x1)
            es = s * (2 - s / x1) * th / (1 + (1 - s / x1) * th)
        s = s - es + ps
        perc = s * (1 - (1 + (4 / 9 * s / x1) ** 4) ** -0.25)
        s -= perc
        pr = perc + pn - ps
        q9 = np.append(q9[1:], 0) + 0.9 * pr * np.array(uh1)
        q1 = np.append(q1[1:], 0) + 0.1 * pr * np.array(uh2)
        f = x2 * (r / x3) ** 3.5
        r = max(0.0, r + q9[0] + f)
        qr = r * (1 - (1 + (r / x3) ** 4) ** -0.25)
        r -= qr
        flows.append(qr + max(0.0, q1[0] + f))
    return np.array(flows), s, r


@pytest.mark.parametrize(
    "x",
    [(350.0, 0.3, 90.0, 1.7), (1200.0, -3.0, 20.0, 9.9), (30.0, 5.0, 300.0, 0.5)],
)
def test_streamflow_is_that_of_the_paper(x):
    draw = np.random.default_rng(1)
    rain = np.where(draw.random(400) < 0.4, draw.gamma(0.8, 12, 400), 0.0)
    demand = 2.5 + 2 * np.sin(np.arange(400) / 58)
    x1, x2, x3, x4 = x
    expected, s, r = published(rain, demand, x1, x2, x3, x4, (0.6 * x1, 0.7 * x3))
    parameter = dict(
        zip(GR4J().parameters, (torch.tensor([[v]], dtype=torch.float64) for v in x), strict=True)
    )
    outputs, state = GR4J().simulate(
        {
            "precipitation": torch.tensor(rain)[:, None],
            "potential_evaporation": torch.tensor(demand)[:, None],
        },
        parameter,
        engine="eager",
    )
    np.testing.assert_allclose(outputs["streamflow"][:, 0], expected, rtol=1e-7, atol=1e-9)
    assert float(state["production_store"]) == pytest.approx(s)
    assert float(state["routing_store"]) == pytest.approx(r)


def test_parameters_are_those_of_the_paper_in_order():
    assert list(GR4J().parameters) == [
        "production_store_capacity",
        "exchange_coefficient",
        "routing_store_capacity",
        "unit_hydrograph_time",
    ]
    assert GR4J().timesteps == (1.0, 1.0)  # daily only


def test_initial_state_follows_dynamic_parameters():
    parameter = {
        name: torch.full((7, 3, 2), 50.0 if "capacity" in name else 1.0)
        for name in GR4J().parameters
    }
    state = GR4J().initial_state(parameter)
    assert state["production_store"].shape == (3, 2)
    assert state["routed_flow"].shape == (3, 2, 10)
    assert float(state["production_store"][0, 0]) == pytest.approx(30)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), where=st.sampled_from(["within", "at bounds"]))
def test_water_is_neither_made_nor_lost(seed, where):
    model = GR4J()
    forcing = draw_weather(model, cells=12, steps=60, seed=seed)
    parameter = draw_parameters(model, cells=12, where=where, seed=seed)
    start = model.initial_state(parameter)
    outputs, end = model.simulate(forcing, parameter, state=start, engine="eager")

    def stored(state: dict[str, torch.Tensor]) -> torch.Tensor:
        return sum(state[name].flatten(1).sum(1) for name in model.water_balance["storage"])

    came = (forcing["precipitation"] + outputs["groundwater_exchange"]).sum(0)
    went = (outputs["streamflow"] + outputs["evapotranspiration"]).sum(0)
    size = 1 + came.abs() + went + stored(start)
    assert ((stored(end) - stored(start) - came + went).abs() <= 1e-9 * size).all()
    assert all((value >= 0).all() for value in end.values())
    capacity = parameter["production_store_capacity"]
    assert (end["production_store"] <= capacity * (1 + 1e-12)).all()
    assert (outputs["evapotranspiration"] <= forcing["potential_evaporation"] + 1e-9).all()


@pytest.mark.parametrize(("rain", "demand"), [(0.0, 5.0), (300.0, 0.0), (0.0, 0.0), (5.0, 5.0)])
def test_gradients_are_finite_after_years_of_extremes(rain, demand):
    forcing = {
        "precipitation": torch.full((800, 12), rain),
        "potential_evaporation": torch.full((800, 12), demand),
    }
    for where in ("within", "at bounds"):
        drawn = draw_parameters(GR4J(), cells=12, where=where)
        parameter = {k: v.float().requires_grad_() for k, v in drawn.items()}
        outputs, _ = GR4J().simulate(forcing, parameter)
        gradients = torch.autograd.grad(outputs["streamflow"].mean(), list(parameter.values()))
        assert all(g.isfinite().all() for g in gradients)
