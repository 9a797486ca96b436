"""Small models and inputs for the tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xdpl.process import StepModel
from xdpl.variables import Forcing, Output, Parameter, State


@dataclass(frozen=True)
class Bucket(StepModel):
    """A linear reservoir."""

    precipitation = Forcing("mm day-1")
    recession = Parameter("day-1", bounds=(0.01, 0.9))
    storage = State("mm")
    runoff = Output("mm day-1")
    level = Output("mm")

    def step(self, forcing, state, parameter, dt):
        storage = state.storage + forcing.precipitation * dt
        runoff = parameter.recession * storage
        storage = storage - runoff * dt
        return {"storage": storage}, {"runoff": runoff, "level": storage}


@dataclass(frozen=True)
class Hydrograph(StepModel):
    """A triangle-free unit hydrograph: water waits in a queue of four days."""

    precipitation = Forcing("mm day-1")
    delay = Parameter("day", bounds=(0.5, 4.0))
    queue = State("mm", size=4)
    runoff = Output("mm day-1")

    def step(self, forcing, state, parameter, dt):
        day = torch.arange(1, 5, dtype=forcing.precipitation.dtype)
        share = (day / parameter.delay.unsqueeze(-1)).clamp(max=1.0) ** 2.5
        share = torch.cat([share[..., :1], share[..., 1:] - share[..., :-1]], dim=-1)
        queue = state.queue + forcing.precipitation.unsqueeze(-1) * share / share.sum(
            dim=-1, keepdim=True
        )
        runoff = queue[..., 0]
        queue = torch.cat([queue[..., 1:], torch.zeros_like(queue[..., :1])], dim=-1)
        return {"queue": queue}, {"runoff": runoff}


@dataclass(frozen=True)
class Snowy(StepModel):
    """Degree-day snow, a soil with a power law, two reservoirs: HBV-like, all kinds of kinks."""

    precipitation = Forcing("mm day-1")
    temperature = Forcing("degC")
    demand = Forcing("mm day-1")
    threshold = Parameter("degC", bounds=(-2.5, 2.5))
    melt_factor = Parameter("mm K-1 day-1", bounds=(0.5, 10.0))
    capacity = Parameter("mm", bounds=(50.0, 1000.0))
    shape = Parameter("1", bounds=(1.0, 6.0))
    fast = Parameter("day-1", bounds=(0.05, 0.9))
    slow = Parameter("day-1", bounds=(0.001, 0.2))
    percolation = Parameter("mm day-1", bounds=(0.0, 10.0))
    snowpack = State("mm")
    moisture = State("mm", initial=60.0)
    upper = State("mm", initial=5.0)
    lower = State("mm", initial=10.0)
    runoff = Output("mm day-1")
    evaporation = Output("mm day-1")
    swe = Output("mm")

    def step(self, forcing, state, parameter, dt):
        warm = forcing.temperature >= parameter.threshold
        rain = torch.where(warm, forcing.precipitation, 0.0)
        snowpack = state.snowpack + (forcing.precipitation - rain) * dt
        excess = torch.clamp(forcing.temperature - parameter.threshold, min=0.0)
        melt = torch.minimum(parameter.melt_factor * excess, snowpack)
        snowpack = snowpack - melt
        water = rain + melt
        wet = torch.clamp((state.moisture / parameter.capacity) ** parameter.shape, 0.0, 1.0)
        recharge = water * wet
        moisture = state.moisture + water - recharge
        over = torch.clamp(moisture - parameter.capacity, min=0.0)
        moisture = moisture - over
        evaporation = torch.minimum(moisture, forcing.demand * torch.sigmoid(wet * 3 - 1))
        moisture = torch.clamp(moisture - evaporation, min=1e-5)
        upper = state.upper + recharge + over
        seep = torch.minimum(upper, parameter.percolation)
        upper = upper - seep
        quick = parameter.fast * upper
        upper = upper - quick
        lower = state.lower + seep
        base = parameter.slow * lower
        return (
            {"snowpack": snowpack, "moisture": moisture, "upper": upper, "lower": lower - base},
            {"runoff": quick + base, "evaporation": evaporation, "swe": snowpack},
        )


def inputs(
    model: StepModel,
    *,
    cells: int = 3,
    components: int = 2,
    time: int = 4,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    grad: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Random forcings, parameters within their bounds, and states above zero."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random, dtype=torch.float64)

    forcing = {name: 10 * draw(time, cells) for name in model.forcings}
    if "temperature" in forcing:
        forcing["temperature"] = 3 * forcing["temperature"] - 15
    parameter = {}
    for name, p in model.parameters.items():
        low, high = p.bounds
        if not p.shared:
            parameter[name] = low + (high - low) * (0.05 + 0.9 * draw(cells, components))
    state = {}
    for name, s in model.states.items():
        shape = (cells, components, s.size) if s.size > 1 else (cells, components)
        state[name] = s.initial + 5 * draw(*shape)
    groups = (forcing, parameter, state)
    return tuple(
        {name: value.to(dtype).requires_grad_(grad) for name, value in group.items()}
        for group in groups
    )
