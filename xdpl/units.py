"""Unit conversion at the border: CF strings in, a scale and an offset out.

pint parses (through the CF registry of cf-xarray); this module adds what hydrology takes for
granted, that 1 kg m-2 of water is 1 mm, and messages that say how to set the units.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from typing import Any

from .errors import UnitsError

__all__ = ["conversion", "convertible", "of_difference"]

LARGEST_AMOUNT = 1000.0
"""Millimetres in the largest unit that water of a time step is measured in, the metre."""

WATER_DENSITY = 1000.0
"""Density of liquid water in kg m-3: what makes 1 kg m-2 the same as 1 mm."""

CELSIUS = ("degC", "degree_Celsius", "degrees_Celsius", "celsius")
"""Units whose zero is not that of their differences."""

# Spellings that are common in files and unknown to the CF registry.
_SPELLINGS = {
    "-": "1",
    "c": "degC",
    "deg c": "degC",
    "deg_c": "degC",
    "degc": "degC",
    "degree c": "degC",
    "degree_c": "degC",
    "degree celsius": "degC",
    "degrees c": "degC",
    "degrees celsius": "degC",
    "degree_celsius": "degC",
    "degrees_celsius": "degC",
    "deg f": "degF",
    "degf": "degF",
    "degree_fahrenheit": "degF",
    "degrees_fahrenheit": "degF",
    "degrees fahrenheit": "degF",
    "fahrenheit": "degF",
    "deg k": "K",
    "degrees_kelvin": "K",
    "fraction": "1",
    "none": "1",
    "unitless": "1",
    "[-]": "1",
    "pct": "percent",
}
_OF_WATER = re.compile(r"\s*(of water equivalent|water equivalent|w\.?\s?e\.?)(?=\W|$)", re.I)
_FACTOR = re.compile(r"^([0-9.]+(?:[eE][-+]?[0-9]+)?)[\s*]+(?=\S)")


def conversion(
    from_units: str | None,
    to_units: str,
    *,
    variable: str | None = None,
    step: float | None = None,
) -> tuple[float, float]:
    """Return the scale and offset that turn values of one unit into another.

    Parameters
    ----------
    from_units : str or None
        Units of the values, as CF and UDUNITS write them; None is an error that says how to
        set them.
    to_units : str
        Units wanted.
    variable : str, optional
        Name of the variable, for the messages.
    step : float, optional
        Length of a time step in days, if the values are amounts gathered over a step rather
        than rates.

    Returns
    -------
    scale, offset : float
        ``wanted = given * scale + offset``.

    Raises
    ------
    UnitsError
        If the units are missing, unknown or can't be converted.
    """
    what = f'ds["{variable}"]' if variable is not None else "the variable"
    assign = f'{what if variable is not None else "variable"}.attrs["units"]'
    if from_units is None:
        raise UnitsError(
            f"{what} has no units, and {to_units!r} is wanted. "
            f'Set them, for example {assign} = "{to_units}".'
        )
    from_units, to_units = str(from_units).strip(), to_units.strip()
    if from_units == to_units and step is None:
        return 1.0, 0.0
    for units in (from_units, to_units):
        if not _known(units):
            raise UnitsError(
                f"{what} has units {units!r}, which are unknown. Write them as CF does "
                f'("mm day-1", "degC", "W m-2", "1"): {assign} = "{to_units}".'
            )
    found = _conversion(from_units, to_units, step)
    if found is None or not all(map(math.isfinite, found)) or found[0] == 0:
        raise UnitsError(
            f"can't convert {from_units!r} to {to_units!r}, as {what} would need. "
            f'{_advice(from_units, to_units)}{assign} = "{to_units}".'
        )
    return found


def convertible(from_units: str | None, to_units: str, *, step: float | None = None) -> bool:
    """Whether values of one unit can be turned into another."""
    if from_units is None:
        return False
    from_units, to_units = str(from_units).strip(), to_units.strip()
    if from_units == to_units and step is None:
        return True
    if not (_known(from_units) and _known(to_units)):
        return False
    return _conversion(from_units, to_units, step) is not None


def of_difference(units: str) -> str:
    """Units of a difference or a spread of values: kelvin for degrees Celsius, else the same."""
    return "K" if units in CELSIUS else units


@functools.cache
def _registry() -> Any:
    # Imported on first use: pint takes longer to import than the rest of xdpl. Without matplotlib,
    # which xdpl can do without, the import warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cf_xarray.units import units

    return units


@functools.cache
def _parse(units: str) -> tuple[float, Any] | None:
    """Factor and pint unit of a string; None if it is not a unit."""
    text = _OF_WATER.sub("", units.strip())
    text = _SPELLINGS.get(text.lower(), text)
    factor = _FACTOR.match(text)
    value = float(factor.group(1)) if factor else 1.0
    text = text[factor.end() :] if factor else text
    for spelling in (text, text.lower()):
        try:
            return value, _registry().parse_units(spelling)
        except Exception:  # noqa: S112  pint raises many kinds, AssertionError among them
            continue
    return None


def _known(units: str) -> bool:
    return _parse(units) is not None


@functools.cache
def _conversion(from_units: str, to_units: str, step: float | None) -> tuple[float, float] | None:
    source, target = _parse(from_units), _parse(to_units)
    if source is None or target is None:
        return None
    registry = _registry()
    water = registry.Quantity(WATER_DENSITY, "kg m-3")
    for through in (1.0, 1.0 / water, water):
        try:
            values = registry.Quantity([0.0, source[0]], source[1]) * through
            if step is not None:
                values = values / registry.Quantity(step, "day")
            low, high = values.to(target[1]).magnitude / target[0]
        except Exception:  # noqa: S112  pint raises many kinds
            continue
        return float(high - low), float(low)
    return None


def _advice(from_units: str, to_units: str) -> str:
    depth = _conversion(from_units, "mm", None)
    per_step = depth is None or depth[0] <= LARGEST_AMOUNT  # nobody measures rain in miles
    if per_step and _conversion(from_units, to_units, 1.0) is not None:
        return (
            "If the values are amounts per time step, say so with the attribute "
            'cell_methods = "time: sum", or divide them by the step in days and set '
        )
    if _conversion(from_units, f"{to_units} m2", None) is not None:
        return "Divide the values by the area of the basin, convert them, and set "
    return "Choose another variable or, if the attribute is wrong, correct it: "
