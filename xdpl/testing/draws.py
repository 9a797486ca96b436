"""Parameters and weather that a model is tried on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..errors import DeclarationError
from ..process import ProcessModel
from ..units import conversion, convertible
from ..variables import Forcing

__all__ = ["draw_parameters", "draw_weather"]

Tensors = dict[str, Tensor]


def draw_parameters(
    model: ProcessModel, *, cells: int, where: str = "within", seed: int = 0
) -> Tensors:
    """Draw parameters, float64: (cell, 1), or (cell,) where shared.

    Parameters
    ----------
    model : ProcessModel
        Declares parameters and bounds.
    cells : int
        Number of cells.
    where : {"within", "middle", "at bounds"}
        Uniform on the scale of the parameter, its middle, or either bound.
    seed : int
        Equal seeds, equal draws.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: Tensors = {}
    for name, declared in model.parameters.items():
        share = torch.rand(cells, generator=generator, dtype=torch.float64)
        if where == "middle":
            share = torch.full_like(share, 0.5)
        elif where == "at bounds":
            share = (share > 0.5).double()
        low, high = declared.bounds
        if declared.scale == "log":
            value = low * torch.exp(math.log(high / low) * share)
        else:
            value = low + (high - low) * share
        value = value.clamp(low, high)
        drawn[name] = value if declared.shared else value.unsqueeze(-1)
    return drawn


def draw_weather(
    model: ProcessModel, *, cells: int = 24, steps: int = 120, dt: float = 1.0, seed: int = 0
) -> Tensors:
    """Draw forcings (time, cell), float64, by their units: many climates and extreme cells.

    Raises
    ------
    DeclarationError
        If a forcing is no flux of water, temperature, radiation or share.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (steps, cells)
    day = torch.arange(steps, dtype=torch.float64).unsqueeze(-1) * dt

    def noise() -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    def climate() -> Tensor:
        return torch.rand(cells, generator=generator, dtype=torch.float64)

    season = torch.sin(2 * math.pi * (day / 365 + climate()))
    rain = torch.where(noise() < 0.35, -torch.log(noise()) * 20 * climate(), 0.0)
    warmth = 30 * climate() - 5 + 15 * season + 8 * (noise() - 0.5)
    demand = torch.clamp(3 + 2.5 * season + 2 * (noise() - 0.5), min=0.0)
    radiation = torch.clamp(180 + 120 * season + 80 * (noise() - 0.5), min=0.0)
    rain[:, 0] = 0.0
    rain[:, 1] = torch.where(noise()[:, 1] < 0.2, 300.0, rain[:, 1])
    warmth[:, 2] = -50.0
    warmth[:, 3], demand[:, 3] = 45.0, 20.0
    demand[:, 4] = 0.0
    series = {"rain": rain, "warmth": warmth, "demand": demand, "radiation": radiation}
    return {
        name: _as_declared(name, declared, series, noise)
        for name, declared in model.forcings.items()
    }


def _as_declared(
    name: str, declared: Forcing, series: Mapping[str, Tensor], noise: Callable[[], Tensor]
) -> Tensor:
    """The drawn series that a forcing means, in its units."""
    words = f"{name} {declared.standard_name} {declared.long_name}".lower()
    if convertible("mm day-1", declared.units):
        evaporates = "evapo" in words or "pet" in name.lower()
        units, values = "mm day-1", series["demand" if evaporates else "rain"]
    elif convertible("degC", declared.units):
        units, values = "degC", series["warmth"]
    elif convertible("W m-2", declared.units):
        units, values = "W m-2", series["radiation"]
    elif convertible("1", declared.units):
        units, values = "1", noise()
    else:
        raise DeclarationError(
            f"no weather can be drawn for forcing {name} in {declared.units}. "
            "Give forcing={name: tensor (time, cell)} for all forcings."
        )
    scale, offset = conversion(units, declared.units)
    return values * scale + offset
