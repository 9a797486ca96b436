"""Values held against the units that they claim: a wrong unit is seen by the magnitude."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import DataError
from ..units import conversion, units_error
from .inventory import Entry
from .quantities import QUANTITIES, Quantity
from .records import Source

__all__ = ["Ranges", "check_magnitude"]

_FILL_VALUES = (-9999.0, -999.0, -99.0, -9999.9, -999.9, -99.9, -32768.0, 1e20, 9.96921e36)
YEAR_DAYS = 365.25


@dataclass(frozen=True)
class Ranges:
    """Ranges that a forcing declares, in its units; they take the place of those known.

    Parameters
    ----------
    valid : (float, float), optional
        Values outside are missing.
    typical : (float, float), optional
        Where the middle of many values lies.
    """

    valid: tuple[float, float] | None = None
    typical: tuple[float, float] | None = None

    @classmethod
    def of(cls, declared: object) -> Ranges:
        """Those of a Forcing or ForcingRole; none where it declares none."""
        valid, typical = (getattr(declared, f"{kind}_range", None) for kind in ("valid", "typical"))
        return cls(valid, typical)


def check_magnitude(
    source: Source, values: np.ndarray, ranges: Ranges, areas: np.ndarray | None, entry: Entry
) -> None:
    """Raise UnitsError if the values can't be in the units that their variable claims.

    Parameters
    ----------
    source : Source
        Of the variable.
    values : array
        A sample of its finite values, as in the file.
    ranges : Ranges
        Declared by the model.
    areas : array or None
        A sample of the areas that it is divided by.
    entry : Entry
        Of the variable: with the attribute units_verified, only missing values are an error.

    Raises
    ------
    DataError
        If there is no value at all.
    """
    if values.size == 0:
        raise DataError(
            f'ds["{source.variable}"] has no value at all, only missing ones. '
            "Check how it was read or made, or choose another variable."
        )
    quantity = QUANTITIES[source.quantity] if source.quantity is not None else None
    if entry.verified or (quantity is None and ranges.typical is None):
        return
    if source.scale < 0:  # evaporation whose sign is turned
        values, source = -values, replace(source, scale=-source.scale)
    per_area = 1.0 if areas is None else float(np.median(areas[areas > 0])) if areas.size else 1.0
    scale, offset = source.scale / per_area, source.offset
    skip_zeros = quantity is not None and quantity.skip_zeros
    lower, upper = (middle * scale + offset for middle in _middles(values, skip_zeros))
    low, high = ranges.typical or _usual(quantity, source.target)
    if np.isnan(lower) or (lower >= low and upper <= high):
        return
    middle = _middles(values, skip_zeros)[0 if lower < low else 1]
    raise units_error([_contradiction(source, values, middle, quantity, (low, high))])


def _usual(quantity: Quantity | None, target: str) -> tuple[float, float]:
    assert quantity is not None
    scale, offset = conversion(quantity.units, target)
    low, high = (edge * scale + offset for edge in quantity.usual)
    return low, high


def _middles(values: np.ndarray, skip_zeros: bool) -> tuple[float, float]:
    """Middle to hold against the lowest and the highest usual one.

    Where zeros are skipped, the lower one is that value above which half of the amount falls: many
    reanalyses have drizzle of a thousandth of a millimetre on dry days, which no one would miss.
    """
    chosen = np.sort(values[values > 0]) if skip_zeros else values
    if not chosen.size:
        return float("nan"), float("nan")
    upper = float(np.median(chosen))
    if not skip_zeros:
        return upper, upper
    amount = np.cumsum(chosen)
    return float(chosen[np.searchsorted(amount, amount[-1] / 2)]), upper


def _contradiction(
    source: Source,
    values: np.ndarray,
    middle: float,
    quantity: Quantity | None,
    usual: tuple[float, float],
) -> tuple[str, str]:
    """The problem, and the lines of code of which one is right."""
    ref = f'ds["{source.variable}"]'
    if any(abs(middle - fill) <= 1e-6 * abs(fill) for fill in _FILL_VALUES):
        return (
            f"most values of {ref} are {middle:g}, which looks like a fill value. Set them to "
            "missing:",
            f"{ref} = {ref}.where({ref} != {middle:g})",
        )
    skip_zeros = quantity is not None and quantity.skip_zeros
    of = "values above zero" if skip_zeros else "values"
    text = (
        f"the values of {ref} contradict its units {source.units!r}: the median of its {of} is "
        f"{middle:.4g}, which is no usual {source.quantity or 'value of this forcing'} "
        f"({usual[0]:g} to {usual[1]:g} {source.target})."
    )
    insist = f'{ref}.attrs["units_verified"] = 1  # only if {source.units!r} is right all the same'
    likely = [] if quantity is None else _likely(quantity, values, middle)
    if len(likely) == 1:
        units = likely[0][0]
        return f"{text} If they are {units!r}, set this:", f'{ref}.attrs["units"] = "{units}"'
    if likely:
        listed = " or ".join(f"{units!r}{then}" for units, then in likely)
        return (
            f"{text} If they are {listed}, set it, after a look at where the data come from:",
            f'{ref}.attrs["units"] = "..."  # one of these\n{insist}',
        )
    return f"{text} Correct {ref} or its units attribute:", (
        f'{ref}.attrs["units"] = "..."  # those of its values\n{insist}'
    )


def _likely(quantity: Quantity, values: np.ndarray, middle: float) -> list[tuple[str, str]]:
    """Units in which the values would be usual, and what they would then sum up to in a year."""
    low, high = quantity.usual
    found = []
    for units in quantity.alternatives:
        scale, offset = conversion(units, quantity.units)
        if low <= middle * scale + offset <= high:
            year = float(np.mean(values)) * scale * YEAR_DAYS
            then = f" (then {year:.4g} mm a year)" if quantity.units == "mm day-1" else ""
            found.append((units, then))
    return found
