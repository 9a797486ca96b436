"""The climate of cells: what their forcings are like, whatever the window."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["STATISTICS", "climate_statistics"]

STATISTICS = ("mean", "standard deviation")
"""Of each forcing over the training period, in this order."""

AT_A_TIME = 4_000_000
"""Values of a forcing that are held in double precision together."""

STEPS = 2.0**16
"""Steps a factor of two is rounded to: far above what the order of a sum changes."""


def climate_statistics(forcing: Mapping[str, Tensor]) -> Tensor:
    """Describe each cell by the mean and standard deviation of its forcings.

    Soil and vegetation do not tell a network how wet, warm or variable a place is, yet parameters
    follow it.

    Parameters
    ----------
    forcing : mapping of str to Tensor (time, cell)
        The model's forcings in its units; NaN is left out.

    Returns
    -------
    Tensor of float32 (cell, 2 x forcing)
        For each forcing the mean and the standard deviation, in its units.

    Examples
    --------
    >>> import torch
    >>> climate_statistics({"precipitation": torch.tensor([[0.0, 1.0], [4.0, 1.0]])})
    tensor([[2., 2.],
            [1., 0.]])
    """
    return torch.cat([_of_one(series) for series in forcing.values()], dim=1)


def _of_one(series: Tensor) -> Tensor:
    pieces = series.split(max(1, AT_A_TIME // max(1, len(series))), dim=1)
    return torch.cat([_rounded(_moments(piece.double())) for piece in pieces])


def _moments(series: Tensor) -> Tensor:
    mean = torch.nanmean(series, 0)
    spread = torch.nanmean((series - mean) ** 2, 0).sqrt()
    return torch.stack([mean, spread], dim=1)


def _rounded(values: Tensor) -> Tensor:
    """Round, so that blocks of other sizes, which sum in another order, give the same bits."""
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * STEPS).round() / STEPS, exponent).float()
