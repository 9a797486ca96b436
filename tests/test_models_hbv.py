"""HBV: water balance, limits, options, sub-daily steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpl import engine
from xdpl.models import HBV
from xdpl.testing import draw_parameters, draw_weather


def run(model, forcing, parameter, dt=1.0, state=None):
    """The loop alone, without routing."""
    looped = {k: v for k, v in parameter.items() if not model.parameters[k].shared}
    state = model.initial_state(parameter) if state is None else state
    return engine.simulate(model, forcing, looped, state, dt=dt, engine="eager")


def stored(model, state):
    return torch.stack([state[name] for name in model.water_balance["storage"]]).sum(0)[:, 0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), rise=st.booleans(), dt=st.sampled_from([1 / 24, 0.25, 1.0]))
def test_water_is_neither_made_nor_lost(seed, rise, dt):
    model = HBV(capillary_rise=rise)
    forcing = draw_weather(model, cells=12, steps=60, dt=dt, seed=seed)
    parameter = draw_parameters(model, cells=12, where="within", seed=seed)
    start = model.initial_state(parameter)
    outputs, end = run(model, forcing, parameter, dt, start)
    came = forcing["precipitation"].sum(0) * dt
    went = (outputs["streamflow"] + outputs["evapotranspiration"]).sum(0) * dt
    error = stored(model, end) - stored(model, start) - came + went
    assert (error.abs() <= 1e-9 * (1 + came + stored(model, start))).all()
    for name in model.water_balance["storage"]:
        assert (end[name] >= 0).all(), name
    assert (end["soil"] <= parameter["field_capacity"] * (1 + 1e-12)).all()


def test_evapotranspiration_never_exceeds_its_demand():
    model = HBV()
    forcing = draw_weather(model, cells=30, steps=200)
    parameter = draw_parameters(model, cells=30)
    parameter["evaporation_correction"] = torch.ones(30, 1, dtype=torch.float64)
    parameter["evaporation_sensitivity"] = torch.zeros(30, 1, dtype=torch.float64)
    outputs, _ = run(model, forcing, parameter)
    assert (outputs["evapotranspiration"] <= forcing["potential_evaporation"] + 1e-12).all()


def test_hours_add_up_to_days():
    """Under steady weather short steps give what daily ones give, within a few percent."""
    model = HBV()
    parameter = draw_parameters(model, cells=40, seed=3)
    weather = {"precipitation": 6.0, "temperature": 8.0, "potential_evaporation": 2.0}

    def daily(steps_a_day: int) -> dict[str, torch.Tensor]:
        forcing = {
            name: torch.full((200 * steps_a_day, 40), value, dtype=torch.float64)
            for name, value in weather.items()
        }
        outputs, _ = run(model, forcing, parameter, 1 / steps_a_day)
        return {k: v.reshape(200, steps_a_day, 40).mean(1)[-1] for k, v in outputs.items()}

    day, hour = daily(1), daily(12)
    for name in ("streamflow", "evapotranspiration"):
        torch.testing.assert_close(day[name], hour[name], rtol=0.03, atol=0.1)


def test_snow_covered_ground_hardly_evaporates():
    model = HBV()
    parameter = draw_parameters(model, cells=2, where="middle")
    forcing = {
        "precipitation": torch.zeros(1, 2, dtype=torch.float64),
        "temperature": torch.full((1, 2), -5.0, dtype=torch.float64),
        "potential_evaporation": torch.full((1, 2), 2.0, dtype=torch.float64),
    }
    pack = {"snowpack": torch.tensor([[0.0], [90.0]], dtype=torch.float64)}
    outputs, _ = run(model, forcing, parameter, state={**model.initial_state(parameter), **pack})
    bare, covered = outputs["evapotranspiration"][0]
    torch.testing.assert_close(covered, 0.1 * bare, rtol=0.05, atol=0)


def test_days_warmer_than_the_last_month_evaporate_more():
    model = HBV()
    parameter = draw_parameters(model, cells=3, where="middle")
    parameter["evaporation_sensitivity"] = torch.full((3, 1), 0.1, dtype=torch.float64)
    state = model.initial_state(parameter)
    wet = {**state, "soil": parameter["field_capacity"].clone()}
    forcing = {
        "precipitation": torch.zeros(1, 3, dtype=torch.float64),
        # as the last month, 5 K above, and so much that twice the usual is reached
        "temperature": 10.0 + torch.tensor([[0.0, 5.0, 50.0]], dtype=torch.float64) * 30 / 29,
        "potential_evaporation": torch.full((1, 3), 0.2, dtype=torch.float64),
    }
    outputs, end = run(model, forcing, parameter, state=wet)
    usual, warm, hot = outputs["evapotranspiration"][0]
    torch.testing.assert_close(warm, 1.5 * usual, rtol=0.01, atol=0)
    torch.testing.assert_close(hot, 2.0 * usual, rtol=0.01, atol=0)
    assert end["mean_temperature"][0] == 10.0 < end["mean_temperature"][1]


def test_it_has_seventeen_parameters_and_two_of_routing():
    assert sum(not p.shared for p in HBV().parameters.values()) == 17
    assert [k for k, p in HBV().parameters.items() if p.shared] == [
        "unit_hydrograph_shape",
        "unit_hydrograph_scale",
    ]


@pytest.mark.parametrize("name", ["temperature", "threshold_temperature"])
def test_runs_are_continuous_in_temperature(name):
    model = HBV()
    parameter = draw_parameters(model, cells=1, where="middle")
    forcing = draw_weather(model, cells=6, steps=400)
    forcing = {k: v[:, 5:] for k, v in forcing.items()}

    def flow(shift: float) -> torch.Tensor:
        moved = {k: v + (shift if k == name else 0) for k, v in forcing.items()}
        changed = {k: v + (shift if k == name else 0) for k, v in parameter.items()}
        return run(model, moved, changed)[0]["streamflow"]

    assert (flow(1e-6) - flow(0.0)).abs().max() < 1e-3


def test_capillary_rise_wets_the_soil_from_below():
    dry, wet = HBV(capillary_rise=False), HBV()
    assert set(wet.parameters) - set(dry.parameters) == {"capillary_rate"}
    assert wet.options == {"capillary_rise": True}
    parameter = draw_parameters(wet, cells=6, where="middle")
    forcing = {
        "precipitation": torch.zeros(60, 6, dtype=torch.float64),
        "temperature": torch.full((60, 6), 15.0, dtype=torch.float64),
        "potential_evaporation": torch.full((60, 6), 4.0, dtype=torch.float64),
    }
    below = {"lower_zone": torch.full((6, 1), 300.0, dtype=torch.float64)}
    moist = run(wet, forcing, parameter, state={**wet.initial_state(parameter), **below})[0]
    del parameter["capillary_rate"]
    plain = run(dry, forcing, parameter, state={**dry.initial_state(parameter), **below})[0]
    assert (moist["soil_moisture"][-1] > plain["soil_moisture"][-1] + 1).all()
    assert (moist["evapotranspiration"].sum(0) > plain["evapotranspiration"].sum(0)).all()


def test_routing_delays_streamflow_alone_and_keeps_its_sum():
    model = HBV(capillary_rise=False)
    forcing = draw_weather(model, cells=8, steps=300)
    forcing["precipitation"][250:] = 0.0
    parameter = draw_parameters(model, cells=8, seed=5)
    parameter["unit_hydrograph_shape"] = torch.full((8,), 3.0, dtype=torch.float64)
    parameter["unit_hydrograph_scale"] = torch.full((8,), 1.0, dtype=torch.float64)
    loop, _ = run(model, forcing, parameter)
    routed, _ = model.simulate(forcing, parameter, engine="eager")
    for name in loop:
        if name != "streamflow":
            torch.testing.assert_close(routed[name], loop[name])
    unrouted, flow = loop["streamflow"], routed["streamflow"]
    assert not torch.allclose(flow, unrouted)
    torch.testing.assert_close(flow[:280].sum(0), unrouted[:280].sum(0), rtol=0.05, atol=1.0)
    only, _ = model.simulate(forcing, parameter, outputs=["soil_moisture"], engine="eager")
    assert list(only) == ["soil_moisture"]


def test_initial_state_follows_dynamic_parameters():
    parameter = {name: torch.ones(7, 3, 2) for name in HBV().parameters}
    assert HBV().initial_state(parameter)["soil"].shape == (3, 2)


@pytest.mark.parametrize(
    "extreme",
    [
        {"precipitation": 0.0},
        {"precipitation": 300.0},
        {"temperature": -50.0},
        {"potential_evaporation": 0.0},
        {"precipitation": 0.0, "potential_evaporation": 20.0, "temperature": 45.0},
    ],
)
@pytest.mark.parametrize("where", ["within", "at bounds"])
def test_gradients_are_finite_after_years_of_extremes(extreme, where):
    model = HBV()
    weather = {"precipitation": 3.0, "temperature": 5.0, "potential_evaporation": 2.0, **extreme}
    forcing = {k: torch.full((800, 12), v) for k, v in weather.items()}
    parameter = {
        k: v.float().requires_grad_()
        for k, v in draw_parameters(model, cells=12, where=where).items()
    }
    outputs, _ = model.simulate(forcing, parameter)
    total = sum(value.square().mean() for value in outputs.values())
    for gradient in torch.autograd.grad(total, list(parameter.values())):
        assert gradient.isfinite().all()
