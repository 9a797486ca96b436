"""Fluxes that several process models share, each written once.

All functions are elementwise and pure; rates are in mm day-1, storages in mm, dt in days.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "Snow",
    "arno_baseflow",
    "degree_day_snow",
    "diffusive_exchange",
    "limited_uptake",
    "power_law_outflow",
    "rain_and_snow",
    "smooth_ramp",
    "staged_evaporation",
    "step_fraction",
    "trailing_mean",
    "variable_infiltration",
]

Snow = tuple[Tensor, Tensor, Tensor]
"""Frozen and liquid water of the snow (mm), and the water that left it in the step (mm)."""


def step_fraction(rate: Tensor, dt: float) -> Tensor:
    """Share of a storage that leaves in one step, from the share that leaves in a day.

    The share r of a day compounds: 1 - (1 - r)**dt, so that 24 hourly steps drain as much as
    one daily step.

    Parameters
    ----------
    rate : Tensor
        Share of the storage that leaves within a day, between 0 and 1 (day-1).
    dt : float
        Length of the step in days.
    """
    return rate if dt == 1.0 else 1.0 - (1.0 - rate) ** dt


def trailing_mean(mean: Tensor, value: Tensor, memory: float, dt: float) -> Tensor:
    """Mean of what a series was lately, with exponentially fading weights.

    Parameters
    ----------
    mean, value : Tensor
        The mean before the step, and the value of the step.
    memory : float
        Days after which a value weighs 1/e.
    dt : float
        Length of the step in days.
    """
    return mean + (dt / memory) * (value - mean)


def rain_and_snow(
    precipitation: Tensor, temperature: Tensor, threshold: Tensor, interval: Tensor | float = 2.0
) -> tuple[Tensor, Tensor]:
    """Split precipitation into rain and snow, linearly over an interval of temperature.

    Around the threshold both fall, as in HBV-96 (Lindstrom et al. 1997,
    doi:10.1016/S0022-1694(97)00041-3, parameter TTI). A sharp threshold would make the run
    discontinuous in temperature and its gradient with respect to the threshold zero.

    Parameters
    ----------
    precipitation : Tensor
        Rate or amount; rain and snow come back in the same units.
    temperature, threshold : Tensor
        Air temperature, and the temperature at which half of it falls as snow (degC).
    interval : Tensor or float
        Width of the transition in K.
    """
    share = torch.clamp((threshold - temperature) / interval + 0.5, 0.0, 1.0)
    snow = precipitation * share
    return precipitation - snow, snow


def degree_day_snow(
    snowpack: Tensor,
    liquid: Tensor,
    rain: Tensor,
    snow: Tensor,
    warmth: Tensor,
    melt_factor: Tensor,
    refreezing_factor: Tensor | float,
    holding_capacity: Tensor | float,
    dt: float,
) -> Snow:
    """Accumulate, melt, refreeze and release water from snow (HBV's snow routine).

    Bergstrom 1992 (SMHI RH 4); Seibert and Vis 2012, doi:10.5194/hess-16-3315-2012, eqs. 1-2.

    Parameters
    ----------
    snowpack, liquid : Tensor
        Frozen and liquid water in the snow (mm).
    rain, snow : Tensor
        Rain and snowfall (mm day-1).
    warmth : Tensor
        Air temperature above the melting threshold (K), negative below.
    melt_factor : Tensor
        Melt per degree and day (mm K-1 day-1).
    refreezing_factor : Tensor or float
        Refreezing per degree, as a share of the melt factor (1).
    holding_capacity : Tensor or float
        Liquid water that the snow holds, as a share of its frozen water (1).
    dt : float
        Length of the step in days.

    Returns
    -------
    snowpack, liquid, outflow : Tensor
        Storages and the water that left the snow during the step, rain included (mm).
    """
    potential = (melt_factor * dt) * warmth
    snowpack = snowpack + snow * dt
    melt = torch.minimum(torch.clamp(potential, min=0.0), snowpack)
    snowpack = snowpack - melt
    liquid = liquid + melt + rain * dt
    frozen = torch.minimum(torch.clamp(-potential, min=0.0) * refreezing_factor, liquid)
    snowpack = snowpack + frozen
    liquid = liquid - frozen
    # saturated snow stays exactly so: rounding may not decide whether more would flow out
    held = torch.minimum(liquid, holding_capacity * snowpack)
    return snowpack, held, liquid - held


def power_law_outflow(
    storage: Tensor, capacity: Tensor, rate: Tensor, exponent: Tensor, dt: float
) -> Tensor:
    """Water that leaves a storage in one step by a power law, integrated exactly.

    dW/dt = -rate (W / capacity)**exponent has the solution

        W(dt) = W (1 + (n - 1) rate dt / capacity (W / capacity)**(n - 1))**(-1 / (n - 1)),

    for n > 1, which never overshoots, however fast the storage empties, and whose gradient is
    bounded. An explicit daily step of a thin soil layer would oscillate instead.

    Parameters
    ----------
    storage, capacity : Tensor
        Water, and the most that the storage holds (mm).
    rate : Tensor
        Outflow of the full storage (mm day-1).
    exponent : Tensor
        n, above 1.
    dt : float
        Length of the step in days.

    Returns
    -------
    Tensor
        Amount that leaves (mm), between 0 and the storage.
    """
    less = exponent - 1.0
    # the floor keeps log and its gradient finite in an empty storage; it moves no water
    filling = torch.clamp(storage / capacity, min=1e-6)
    pull = less * (rate * dt) / capacity * torch.exp(less * torch.log(filling))
    # expm1 and log1p would only matter below the rounding of the storage, and cost more
    return storage * (1.0 - torch.exp(-torch.log(1.0 + pull) / less))


def smooth_ramp(x: Tensor) -> Tensor:
    """Rise from 0 at -1/2 to 1 at 1/2, with continuous slope: a cubic, cheaper than a sigmoid."""
    x = torch.clamp(x + 0.5, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def variable_infiltration(water: Tensor, stored: Tensor, capacity: Tensor, shape: Tensor) -> Tensor:
    """Water that infiltrates by the variable infiltration capacity curve (mm).

    Infiltration capacity varies over a cell as i = i_m (1 - (1 - A)**(1/b)), with A the share of
    the area below it. Integrated over the area (Liang et al. 1994, doi:10.1029/94JD00483,
    eqs. 13-14; Wood et al. 1992, doi:10.1029/91JD01786), with the deficit d = 1 - W/W_m,

        infiltration = W_m (d - (d**(1/(1+b)) - P/i_m)**(1+b)),  i_m = (1 + b) W_m.

    Parameters
    ----------
    water, stored, capacity : Tensor
        Water at the surface P, in the soil W, and the most that the soil holds W_m (mm).
    shape : Tensor
        b (1).
    """
    # the deficit's floor bounds the gradient of its power, which is infinite in a full soil
    deficit = torch.clamp(1.0 - stored / capacity, min=1e-5)
    more = 1.0 + shape
    left = torch.exp(torch.log(deficit) / more) - water / (more * capacity)
    left = torch.clamp(left, min=1e-6)
    taken = capacity * (deficit - torch.exp(torch.log(left) * more))
    within = torch.clamp(torch.minimum(taken, water), min=0.0)
    # only rounding crosses these bounds, so it may not choose the slope: on dry days it would
    return within.detach() + (taken - taken.detach())


def diffusive_exchange(
    upper: Tensor,
    lower: Tensor,
    upper_capacity: Tensor,
    lower_capacity: Tensor,
    conductance: Tensor,
    equilibrium: Tensor,
) -> Tensor:
    """Water that diffuses from a lower into an upper layer, negative downwards (mm).

    The flux is in proportion to the difference of saturation from its equilibrium and is solved
    implicitly, so that it never overshoots: Richards' diffusion term between two layers, as in
    Liang et al. 1996, doi:10.1016/0921-8181(95)00046-1.

    Parameters
    ----------
    upper, lower, upper_capacity, lower_capacity : Tensor
        Water, and the most that the layers hold (mm).
    conductance : Tensor
        Exchange of the step per unit difference of saturation (mm).
    equilibrium : Tensor
        Saturation of the upper layer at rest, relative to that of the lower one (1).
    """
    drive = equilibrium * lower / lower_capacity - upper / upper_capacity
    stiffness = equilibrium / lower_capacity + 1.0 / upper_capacity
    gain = conductance * drive / (1.0 + conductance * stiffness)
    # at an equilibrium off one, the layer that gains may fill up
    gain = torch.minimum(gain, upper_capacity - upper)
    return torch.maximum(gain, lower - lower_capacity)


def arno_baseflow(
    storage: Tensor, capacity: Tensor, largest: Tensor, linear: Tensor, threshold: Tensor, dt: float
) -> Tensor:
    """Baseflow of the Arno model: linear, and quadratic above a threshold (mm).

    Franchini and Pacciani 1991, doi:10.1016/0022-1694(91)90096-K, in the notation of
    Liang et al. 1994, doi:10.1029/94JD00483, eq. 21. Both parts are integrated exactly, one after
    the other: where little room is left above the threshold, an explicit daily step oscillates.

    Parameters
    ----------
    storage, capacity : Tensor
        Water, and the most that the layer holds (mm).
    largest : Tensor
        Baseflow of the full layer, D_m (mm day-1).
    linear : Tensor
        D_s, the share of it that is reached linearly at the threshold (1).
    threshold : Tensor
        W_s, the saturation above which baseflow rises quadratically (1).
    dt : float
        Length of the step in days.
    """
    slope = linear / threshold
    room = (1.0 - threshold) * capacity
    above = torch.clamp(storage - threshold * capacity, min=0.0)
    pull = torch.clamp(1.0 - slope, min=0.0) * (largest * dt) * above / (room * room)
    quick = above * pull / (1.0 + pull)
    return quick + (storage - quick) * (1.0 - torch.exp(-slope * (largest * dt) / capacity))


def limited_uptake(available: Tensor, demand: Tensor, full: Tensor) -> Tensor:
    """Water taken by a demand that is met in full above a threshold and linearly below (mm).

    This is the solution of the implicit step x' = x - demand min(x'/full, 1): plants in a thin
    layer on a hot day never overshoot, and the gradient stays bounded.

    Parameters
    ----------
    available : Tensor
        Water above the wilting point, x (mm); below zero counts as none.
    demand : Tensor
        Most that is taken in the step (mm).
    full : Tensor
        Water above the wilting point from which the demand is met in full (mm).
    """
    return demand * torch.clamp(available / (full + demand), 0.0, 1.0)


def staged_evaporation(storage: Tensor, critical: Tensor, demand: Tensor) -> Tensor:
    """Evaporation of bare soil in two stages: as demanded, then falling with its moisture (mm).

    In the second stage it falls with the cube of the storage, near the curve of Lee and Pielke
    1992, doi:10.1175/1520-0450(1992)031<0480:ETSSSH>2.0.CO;2, integrated exactly over the step.

    Parameters
    ----------
    storage : Tensor
        Water of the surface layer (mm).
    critical : Tensor
        Water at which the second stage begins (mm).
    demand : Tensor
        Evaporation of wet soil in the step (mm).
    """
    filling = storage / critical
    second = storage * (1.0 - torch.rsqrt(1.0 + 2.0 * demand / critical * filling * filling))
    return torch.minimum(second, demand)
