"""A few numbers that change with the values of series and with their order."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

__all__ = ["Signature", "same_signature"]

GROUPS = 32
"""Numbers per series; each is of about as many cells."""

TOLERANCE = 1e-5
"""Share of a series' usual size: chunks decide in which blocks it was computed, and so the last
digits of single precision."""


class Signature:
    """Sums of series with random weights of steps and cells, which are the same in every process.

    Unlike means, they change where a series is shifted by a step, reversed, or goes to another
    cell. A single value counts by its share: of one value in a million, a change by about
    a hundredth of the usual size is seen.

    Parameters
    ----------
    cells : int
        Of all series that will be added.
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.sums: dict[str, np.ndarray] = {}
        self.squares: dict[str, float] = {}
        self.count: dict[str, int] = {}

    def add(self, index: np.ndarray, series: Mapping[str, Tensor]) -> None:
        """Take in some cells, by their numbers: series (time, cell), NaN where there is nothing."""
        group = index * GROUPS // max(1, self.cells)
        for name, values in series.items():
            found = values.detach().cpu().double().numpy()
            there = ~np.isnan(found)
            found = np.where(there, found, 0.0)
            step = np.random.default_rng(len(found)).standard_normal(len(found))
            cell = np.array([np.random.default_rng([7, int(i)]).standard_normal() for i in index])
            sums = self.sums.setdefault(name, np.zeros((2, GROUPS)))
            np.add.at(sums[0], group, (step @ found) * cell)
            np.add.at(sums[1], group, (step @ there) * cell)
            self.squares[name] = self.squares.get(name, 0.0) + float((found**2).sum())
            self.count[name] = self.count.get(name, 0) + found.size

    def text(self) -> str:
        """All numbers as JSON, relative to the usual size of each series."""
        found = {}
        for name, (values, there) in sorted(self.sums.items()):
            usual = math.sqrt(self.squares[name] / max(1, self.count[name]))
            spread = math.sqrt(max(1, self.count[name]) / GROUPS)
            numbers = [*(values / (spread * (usual or 1.0))), *(there / spread)]
            found[name] = [usual, *(round(float(number), 9) for number in numbers)]
        return json.dumps(found)


def same_signature(one: str, other: str) -> list[str] | None:
    """Names of the series in which two signatures differ; None where one can't be read."""
    try:
        a, b = json.loads(one), json.loads(other)
        names = sorted({*a, *b})
        return [name for name in names if not _alike(a.get(name), b.get(name))]
    except (ValueError, TypeError, AttributeError):
        return None


def _alike(one: object, other: object) -> bool:
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return False
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    near = np.isclose(a[0], b[0], rtol=TOLERANCE, atol=0.0)
    return bool(near and np.allclose(a[1:], b[1:], rtol=0.0, atol=TOLERANCE))
