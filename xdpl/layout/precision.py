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


def round_series(values: NDArray[np.float64], units: str) -> None:
    """Round in place.

    Parameters
    ----------
    values : array of float64
        In ``units``; NaN stays NaN.
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
    fraction, exponent = np.frexp(values)
    fraction *= 2.0**SIGNIFICANT_BITS
    np.rint(fraction, out=fraction)
    np.ldexp(fraction, exponent - SIGNIFICANT_BITS, out=values)
