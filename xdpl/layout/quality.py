"""Impossible values, gaps, and the counts of what was found."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import warn
from .quantities import limits

__all__ = ["LONGEST_GAP", "SHORT_FILLS", "Findings", "fill_gaps", "looks_filled", "mask_impossible"]

LONGEST_GAP = 7.0
"""Gaps up to this many days are interpolated; longer ones leave the cell out."""

HUGE = 1e19
"""No quantity of a landscape is as large; the usual fill values of models and netCDF are larger."""

_FILLS = (-999.0, -999.9, -9999.0, -9999.9, -99999.0, -32768.0)
"""Usual fill values that no attribute takes by chance; -99 is a longitude."""

SHORT_FILLS = (-99.0, -99.9, -99.99, -999.99, -9999.99)
"""Fill values only of what is never negative otherwise."""

_SENTENCES = {
    "impossible": "{n} impossible values of {subject} were treated as missing.",
    "fill": "{n} values of {subject} look like fill values, such as -9999 or 1e20, and were "
    "treated as missing.",
    "filled": "{n} missing values of {subject} were interpolated (gaps up to 7 days).",
    "swapped": "{n} times the minimum temperature exceeds the maximum: {subject} were swapped.",
    "computed": "{n} cells have no or incomplete {subject}: it was computed there.",
    "gap": "{n} cells are left out: {subject} has gaps longer than 7 days there.",
    "absent": "{n} cells are left out: {subject} has no values there.",
    "attribute": "{n} cells have no value of the attribute {subject}.",
    "class": "{n} cells have a class of {subject} that was unknown at the fit; it tells nothing.",
    "no forcing": "{n} of {total} cells are left out: their forcing is incomplete.",
    "no attributes": "{n} of {total} cells are left out: an attribute is missing there.",
    "no past": "{n} of {total} cells have no observations in the past period that the network "
    "reads: their parameters come from their attributes alone.",
    "no observation": "{n} of {total} cells have no observations and are skipped.",
    "balance": "{n} of {total} cells have an impossible water balance. Usual causes are units (m "
    "for mm), the area that discharge was divided by (mi2 for km2) and rain of another place.",
    "answer": "{subject}",
}
_DETAILS = {
    "gap": "no forcing",
    "absent": "no forcing",
    "attribute": "no attributes",
    "imbalance": "balance",
}


@dataclass(frozen=True)
class Findings:
    """Counts of what was left out, filled in or computed; those of two blocks can be added.

    Parameters
    ----------
    counts : dict of (str, str) to int
        By kind and subject: ("impossible", "prcp"), ("filled", "temperature"), ("gap",
        "temperature"), ("absent", ...), ("computed", forcing), ("swapped", "tasmin and tasmax"),
        ("attribute", name), ("fill", name), ("class", name), and, with an empty subject, "cells",
        "no forcing", "no attributes", "no observation", "no past", "balance" (of "balanced" cells;
        "imbalance" says why); ("answer", a sentence).
    """

    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __add__(self, other: Findings) -> Findings:
        both = dict(self.counts)
        for key, n in other.counts.items():
            both[key] = both.get(key, 0) + n
        return Findings(both)

    def __radd__(self, other: object) -> Findings:
        return self  # so that sum() works, which begins with 0

    def count(self, kind: str, subject: str | None = None) -> int:
        """Number found of a kind, of one subject or of all."""
        return sum(n for (k, s), n in self.counts.items() if k == kind and subject in (None, s))

    def messages(self, kinds: Iterable[str] | None = None) -> list[str]:
        """One sentence for each thing found that a user should know."""
        total = self.count("cells")
        found = []
        for kind, sentence in _SENTENCES.items():
            if kinds is not None and kind not in kinds:
                continue
            if kind in _DETAILS and self.count(_DETAILS[kind]):
                continue  # told with the cells that are left out
            for (k, subject), n in self.counts.items():
                if k == kind and n:
                    all_of = self.count("balanced") if kind == "balance" else total
                    text = _singular(sentence.format(n=n, subject=subject, total=all_of))
                    found.append(text[:-1] + self._because(kind) + ".")
        return found

    def _because(self, kind: str) -> str:
        details = [
            f"{subject}: {n}"
            for (k, subject), n in self.counts.items()
            if _DETAILS.get(k) == kind and n
        ]
        return f" ({', '.join(details)})" if details else ""

    def warn(self, kinds: Iterable[str] | None = None, said: Container[str] = ()) -> None:
        """Emit one XdplWarning for each sentence of ``messages`` that is not in ``said``."""
        for message in self.messages(kinds):
            if message not in said:
                warn(message)


def _singular(text: str) -> str:
    """The sentence about one thing, where it begins with the number one."""
    if not text.startswith("1 "):
        return text
    if text.startswith("1 cells"):
        text = text.replace("1 cells", "1 cell", 1)
    for many, one in (
        ("values of", "value of"),
        (
            " look like fill values, such as -9999 or 1e20, and were",
            " looks like a fill value, such as -9999 or 1e20, and was",
        ),
        (" were treated", " was treated"),
        (" were interpolated", " was interpolated"),
        (" have ", " has "),
        (" are left", " is left"),
        (" are skipped", " is skipped"),
        ("1 times", "once"),
    ):
        text = text.replace(many, one, 1)
    return text


def looks_filled(values: NDArray[np.floating], others: Iterable[float] = ()) -> NDArray[np.bool_]:
    """Whether finite values stand for missing ones, though no attribute of the file says so.

    Parameters
    ----------
    values : array
        As in the file, not packed.
    others : iterable of float
        Fill values of this variable besides the usual ones.
    """
    filled = np.isfinite(values) & (np.abs(values) >= HUGE)
    for fill in (*_FILLS, *others):
        filled |= (values == fill) | (values == np.float32(fill))
    return filled


def mask_impossible(
    values: NDArray[np.float64],
    quantity: str | None,
    units: str,
    valid_range: tuple[float, float] | None = None,
) -> NDArray[np.intp]:
    """Set impossible values, (time, cell), to NaN in place; return how many in each cell.

    Infinite values are impossible for any quantity. Values that lie below the lowest possible
    one by no more than rounding are set to it and not counted. A ``valid_range``, which the model
    declares in these units, takes the place of the limits of the quantity.
    """
    impossible = np.isinf(values)
    if quantity is not None or valid_range is not None:
        low, high, rounding = (0.0, 0.0, 0.0) if quantity is None else limits(quantity, units)
        low, high = valid_range or (low, high)
        if rounding:
            np.copyto(values, low, where=(values < low) & (values >= low - rounding))
        slack = 1e-9 * max(abs(low), abs(high))
        impossible |= (values < low - slack) | (values > high + slack)
    values[impossible] = np.nan
    return np.count_nonzero(impossible, axis=0)


def fill_gaps(values: NDArray[np.float64], longest: int) -> int:
    """Interpolate gaps of up to ``longest`` steps in place; return how many values were filled.

    Parameters
    ----------
    values : array (time, cell)
        Inner gaps are interpolated linearly; those at the record's ends take the nearest value.
    longest : int
        Gaps of more steps stay as they are.
    """
    missing = np.isnan(values)
    columns = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
    if columns.size == 0 or longest < 1:
        return 0
    missing = missing[:, columns]
    given = values[:, columns]
    steps = len(values)
    row = np.arange(steps)[:, None]
    before = np.maximum.accumulate(np.where(missing, -1, row), axis=0)
    after = np.minimum.accumulate(np.where(missing, steps, row)[::-1], axis=0)[::-1]
    fill = missing & (after - before - 1 <= longest)
    at, column = np.nonzero(fill)
    first, last = before[at, column], after[at, column]
    # at an end of the record, both neighbours are the one there is
    first, last = np.where(first < 0, last, first), np.where(last >= steps, first, last)
    low, high = given[first, column], given[last, column]
    weight = (at - first) / np.maximum(last - first, 1)
    values[at, columns[column]] = low + (high - low) * weight
    return int(at.size)
