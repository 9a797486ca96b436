"""Evaporation counted as negative, as where fluxes are positive downwards (ECMWF)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import warn
from .records import Source

__all__ = ["upright"]

_UPWARD = ("potential evaporation", "evaporation")


def upright(source: Source, values: NDArray[np.float64]) -> Source:
    """The source with its sign turned where it holds evaporation and is negative most of the time.

    Parameters
    ----------
    source : Source
        Of a variable.
    values : array
        A sample of its values, as in the file.

    Returns
    -------
    Source
        With a negative scale where the sign was turned; a warning says so.
    """
    if source.quantity not in _UPWARD or source.offset != 0.0:
        return source
    some = values[values != 0] * source.scale
    if not some.size or not (np.median(some) < 0 and some.sum() < 0):  # nor where it is unknown
        return source
    warn(
        f"{source.variable} is negative most of the time: its file counts fluxes as positive "
        "downwards, and evaporation goes up. xdpl turns its sign. To do so yourself: "
        f'ds["{source.variable}"] = -ds["{source.variable}"].'
    )
    return replace(source, scale=-source.scale)
