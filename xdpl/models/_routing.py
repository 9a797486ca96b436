"""Unit hydrographs: water that is on its way from the hillslopes to the outlet."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..engine import convolve as _convolve

__all__ = ["gamma_weights", "convolve", "gr4j_ordinates"]

_POINTS = 8  # quadrature points a lag; enough for 1e-3 of scipy's distribution function


def gamma_weights(shape: Tensor, scale: Tensor, dt: float, length: float = 20.0) -> Tensor:
    """Weights of a gamma unit hydrograph, which sum to one.

    The density t**(a-1) exp(-t/theta) is integrated over every lag by the midpoint rule (the
    distribution function has no derivative with respect to a in torch) and normalised over the
    lags, so that no water is lost where the distribution is longer than ``length``.

    Parameters
    ----------
    shape : Tensor (cell,)
        Shape a of the gamma distribution (1).
    scale : Tensor (cell,)
        Scale theta of the gamma distribution (days).
    dt : float
        Length of a step in days.
    length : float
        Longest lag in days.

    Returns
    -------
    Tensor (lag, cell)
        Share of the water that arrives 0, 1, 2... steps later.

    References
    ----------
    Nash 1957, IAHS Publ. 45; Mizukami et al. 2016, doi:10.5194/gmd-9-2223-2016, eq. 1.
    """
    lags = math.ceil(length / dt)
    points = _POINTS if lags <= 100 else 1
    time = torch.arange(lags * points, dtype=shape.dtype, device=shape.device)
    time = ((time + 0.5) * (dt / points)).unsqueeze(-1)
    logarithm = (shape - 1.0) * torch.log(time) - time / scale
    return torch.softmax(logarithm, 0).reshape(lags, points, -1).sum(1)


def convolve(flow: Tensor, weights: Tensor) -> Tensor:
    """Route flow by a unit hydrograph for every cell.

    Before the first step the flow is taken to have been that of the first step, so that a
    constant flow stays what it is.

    Parameters
    ----------
    flow : Tensor (time, cell)
        Flow into the channel.
    weights : Tensor (lag, cell)
        Shares that arrive 0, 1, 2... steps later.

    Returns
    -------
    Tensor (time, cell)
        Flow at the outlet.
    """
    lags = weights.shape[0]
    padded = torch.cat([flow[:1].expand(lags - 1, -1), flow])
    return _convolve(padded, weights)


def gr4j_ordinates(time_base: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Ordinates of both unit hydrographs of GR4J.

    Perrin et al. 2003, doi:10.1016/S0022-1694(03)00225-7, eqs. 9-17: S-curves with exponent 5/2,
    one over x4 days and one, symmetric, over 2 x4 days.

    Parameters
    ----------
    time_base : Tensor (cell, component)
        x4 in days, at most ``length``.
    length : int
        Days of the first unit hydrograph; the second has twice as many.

    Returns
    -------
    Tensor (cell, component, length), Tensor (cell, component, 2 length)
    """
    inverse = 1.0 / time_base
    # a stack of multiples instead of a range tensor: the time loop can be traced and fused
    relative = torch.stack([inverse * float(day) for day in range(2 * length + 1)], dim=-1)
    rising = torch.clamp(relative, max=1.0) ** 2.5
    falling = torch.clamp(2.0 - relative, 0.0, 1.0) ** 2.5
    short = rising[..., : length + 1]
    # rising is 1 after x4 days and falling is 1 before them: one formula for both halves
    long = 0.5 * rising + 0.5 * (1.0 - falling)
    return short[..., 1:] - short[..., :-1], long[..., 1:] - long[..., :-1]
