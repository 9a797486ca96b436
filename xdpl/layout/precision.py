"""Round series to less than any instrument resolves, so that other units give the same bits.

Precipitation in kg m-2 s-1 and in mm day-1, or temperature in K and in degC, differ in the last
bits of their single-precision numbers. Training amplifies such differences until the maps of two
equal fits differ visibly. Rounded far above these bits and far below what is measured, both are
the same numbers again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["KELVIN_STEPS", "SIGNIFICANT_BITS", "round_series"]

SIGNIFICANT_BITS = 18
"""Bits kept of any series but temperature: five significant digits."""

KELVIN_STEPS = 1024
"""Steps a kelvin kept of temperature, counted from absolute zero."""

_ZERO = 273.15
_ONE = np.uint64(1)
_DROPPED = np.uint64(53 - SIGNIFICANT_BITS)
_HALF = _ONE << (_DROPPED - _ONE)
"""Half of the last bit kept, in the bits of a float64, whose first bit isn't written."""


def round_series(values: NDArray[np.float64], units: str) -> None:
    """Round in place.

    Parameters
    ----------
    values : array of float64
        In ``units``; contiguous. NaN stays NaN, and infinity stays infinity.
    units : str
        Temperatures ("degC", "K") are rounded by absolute steps, all else by significant bits.
    """
    if units in ("degC", "K"):
        zero = _ZERO if units == "degC" else 0.0
        values += zero
        values *= KELVIN_STEPS
        np.rint(values, out=values)
        values /= KELVIN_STEPS
        values -= zero
        return
    np.copyto(values, np.nan, where=np.isnan(values))  # else rounding up could turn one into zero
    bits = values.view(np.uint64)
    odd = bits >> _DROPPED
    odd &= _ONE
    bits += odd  # a tie goes to the even number
    bits += _HALF - _ONE
    bits &= ~(2 * _HALF - _ONE)
