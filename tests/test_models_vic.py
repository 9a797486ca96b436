"""VIC: water balance, limits, the surface layer, frost, sub-daily steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpl.models import VIC
from xdpl.testing import draw_parameters, draw_weather


def steady(cells: int, steps: int, **values: float) -> dict[str, torch.Tensor]:
    weather = {"precipitation": 2.0, "temperature": 15.0, "potential_evaporation": 3.0, **values}
    return {k: torch.full((steps, cells), v, dtype=torch.float64) for k, v in weather.items()}


def stored(state):
    return torch.stack([state[name] for name in VIC.water_balance["storage"]]).sum(0)[:, 0]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    where=st.sampled_from(["within", "at bounds"]),
    dt=st.sampled_from([1 / 24, 0.25, 1.0]),
)
def test_water_is_neither_made_nor_lost_and_no_layer_overflows(seed, where, dt):
    model = VIC()
    forcing = draw_weather(model, cells=12, steps=60, dt=dt, seed=seed)
    parameter = draw_parameters(model, cells=12, where=where, seed=seed)
    start = model.initial_state(parameter)
    outputs, end = model.simulate(forcing, parameter, dt=dt, state=start, engine="eager")
    came = forcing["precipitation"].sum(0) * dt
    went = (outputs["runoff"] + outputs["evapotranspiration"]).sum(0) * dt
    error = stored(end) - stored(start) - came + went
    assert (error.abs() <= 1e-9 * (1 + came + stored(start))).all()
    p = parameter
    capacity = (p["porosity"] - p["residual_moisture"]) * p["surface_depth"]
    for name, most in (
        ("surface_water", capacity),
        ("root_water", p["root_capacity"]),
        ("deep_water", p["deep_capacity"]),
    ):
        assert (end[name] >= -1e-9).all(), name
        assert (end[name] <= most + 1e-9).all(), name
    moisture = outputs["surface_soil_moisture"]
    assert (moisture <= p["porosity"][:, 0] + 1e-9).all()
    assert (moisture >= p["residual_moisture"][:, 0] - 1e-9).all()


def test_evapotranspiration_of_unit_coefficients_never_exceeds_its_demand():
    model = VIC()
    forcing = draw_weather(model, cells=30, steps=200)
    parameter = draw_parameters(model, cells=30)
    for name in ("vegetation_coefficient", "soil_evaporation_coefficient"):
        parameter[name] = torch.ones(30, 1, dtype=torch.float64)
    outputs, _ = model.simulate(forcing, parameter, engine="eager")
    assert (outputs["evapotranspiration"] <= forcing["potential_evaporation"] + 1e-12).all()


def test_the_surface_dries_to_its_residual_moisture_and_wets_to_its_porosity():
    model = VIC()
    parameter = draw_parameters(model, cells=4, where="middle")
    parameter["surface_equilibrium"] = torch.full((4, 1), 1.0, dtype=torch.float64)
    dry, _ = model.simulate(steady(4, 3000, precipitation=0.0), parameter, engine="eager")
    residual, porosity = parameter["residual_moisture"][0], parameter["porosity"][0]
    assert float(dry["surface_soil_moisture"][-1, 0] - residual) < 0.1
    flood = {"precipitation": 400.0, "potential_evaporation": 0.0}
    wet, _ = model.simulate(steady(4, 300, **flood), parameter, engine="eager")
    assert float(porosity - wet["surface_soil_moisture"][-1, 0]) < 0.1
    assert (dry["surface_soil_moisture"][-1] < wet["surface_soil_moisture"][-1]).all()


def test_frost_hides_water_and_keeps_it():
    model = VIC()
    parameter = draw_parameters(model, cells=4, where="middle")
    warm, _ = model.simulate(steady(4, 200), parameter, engine="eager")
    _, state = model.simulate(steady(4, 200), parameter, engine="eager")
    cold = steady(4, 1, temperature=-20.0, precipitation=0.0)
    frozen, after = model.simulate(cold, parameter, state=state, engine="eager")
    mild, _ = model.simulate(
        steady(4, 1, precipitation=0.0), parameter, state=state, engine="eager"
    )
    assert (frozen["surface_soil_moisture"] < 0.8 * mild["surface_soil_moisture"]).all()
    assert (frozen["evapotranspiration"] < mild["evapotranspiration"]).all()
    assert (after["surface_water"] > 0.8 * state["surface_water"]).all()


def test_the_canopy_follows_the_warmth_of_the_last_month():
    model = VIC()
    parameter = draw_parameters(model, cells=1, where="middle")
    parameter["soil_evaporation_coefficient"] = torch.full((1, 1), 0.2, dtype=torch.float64)
    parameter["vegetation_coefficient"] = torch.full((1, 1), 1.5, dtype=torch.float64)
    parameter["canopy_cover"] = torch.full((1, 1), 1.0, dtype=torch.float64)
    parameter["dormant_cover"] = torch.full((1, 1), 0.0, dtype=torch.float64)
    weather = steady(1, 120, precipitation=8.0, temperature=25.0)
    start = model.initial_state(parameter)
    start["mean_temperature"] = torch.full((1, 1), -5.0, dtype=torch.float64)
    outputs, state = model.simulate(weather, parameter, state=start, engine="eager")
    evaporation = outputs["evapotranspiration"][:, 0]
    assert evaporation[0] < 0.4 * evaporation[-1]
    assert float(state["mean_temperature"]) == pytest.approx(25, abs=1)


def test_hours_add_up_to_days():
    model = VIC()
    parameter = draw_parameters(model, cells=40, seed=3)
    start = model.initial_state(parameter)

    def last(steps_a_day: int) -> dict[str, torch.Tensor]:
        forcing = steady(40, 300 * steps_a_day)
        dt = 1 / steps_a_day
        outputs, _ = model.simulate(forcing, parameter, dt=dt, state=start, engine="eager")
        return {k: v[-1] for k, v in outputs.items()}

    day, hour = last(1), last(12)
    # a day's rain at once fills the surface layer more than a drizzle does
    torch.testing.assert_close(
        day["surface_soil_moisture"], hour["surface_soil_moisture"], atol=0.06, rtol=0
    )
    for name in ("evapotranspiration", "runoff"):
        torch.testing.assert_close(day[name], hour[name], atol=0.4, rtol=0)


def test_initial_state_follows_dynamic_parameters():
    parameter = {name: torch.ones(7, 3, 2) for name in VIC().parameters}
    assert VIC().initial_state(parameter)["surface_water"].shape == (3, 2)


@pytest.mark.parametrize(
    "extreme",
    [
        {"precipitation": 0.0},
        {"precipitation": 300.0},
        {"temperature": -50.0},
        {"potential_evaporation": 0.0},
        {"precipitation": 0.0, "potential_evaporation": 20.0, "temperature": 45.0},
        {"precipitation": 300.0, "potential_evaporation": 0.0},
    ],
)
@pytest.mark.parametrize("where", ["within", "at bounds"])
def test_gradients_are_finite_and_bounded_after_years_of_extremes(extreme, where):
    model = VIC()
    forcing = {k: v.float() for k, v in steady(12, 800, **extreme).items()}
    parameter = {
        k: v.float().requires_grad_()
        for k, v in draw_parameters(model, cells=12, where=where).items()
    }
    outputs, _ = model.simulate(forcing, parameter)
    gradients = torch.autograd.grad(
        outputs["surface_soil_moisture"].mean(), list(parameter.values()), allow_unused=True
    )
    for (name, declared), gradient in zip(model.parameters.items(), gradients, strict=True):
        assert gradient is not None and gradient.isfinite().all(), name
        # per width of the bounds: an infinite slope of the saturation curve would show here
        low, high = declared.bounds
        assert (gradient.abs() * (high - low)).max() < 1e3, name
