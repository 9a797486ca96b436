"""Cells known again by their labels, however a coordinate or an identifier was stored.

A label is text: "108.1 31.0" of a grid, "01013500" of a basin. The same place has another text
where its coordinates were stored in single precision, and the same basin where its identifier was
stored as a number or as bytes. `CellIndex` sees through both; where two cells could be meant, it
takes neither.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spatial.identifiers import identifier

__all__ = ["CellIndex", "find_cells", "shared"]

ABSOLUTE, RELATIVE = 2e-5, 1.2e-7
"""Coordinates this close are the same: about two metres, or the last bit of single precision."""

Positions = NDArray[np.intp]


class CellIndex:
    """Positions of cells among known ones.

    Parameters
    ----------
    known : array of str (cell,)
        Labels, each once.

    Examples
    --------
    >>> CellIndex(np.array(["01013500", "01022500"])).find(np.array(["1022500", "7"])).tolist()
    [1, -1]
    """

    def __init__(self, known: NDArray[np.str_]) -> None:
        self._order = np.argsort(known, kind="stable")
        self._known = known[self._order]
        self._axes: list[_Axis] = []
        self._keys: NDArray[np.generic]
        numbers = _numbers(self._known)
        if numbers is not None and len(known):
            self._axes = [_Axis(column) for column in numbers.T]
            self._keys = self._cell_numbers(numbers)
        else:
            self._keys = _identifiers(self._known)
        self._sorter = np.argsort(self._keys, kind="stable")
        self._sorted = self._keys[self._sorter]
        twice = self._sorted[1:] == self._sorted[:-1]
        self._ambiguous = np.concatenate([twice, [False]]) | np.concatenate([[False], twice])
        if not len(known):
            self._ambiguous = np.zeros(0, bool)

    def find(self, label: NDArray[np.str_]) -> Positions:
        """Position of each label among the known ones, (cell,); -1 where there is none."""
        if not len(self._known) or not len(label):
            return np.full(len(label), -1, np.intp)
        at = np.searchsorted(self._known, label).clip(max=len(self._known) - 1)
        found = np.where(self._known[at] == label, self._order[at], -1)
        rest = np.flatnonzero(found < 0)
        if len(rest):
            found[rest] = self._alike(np.asarray(label)[rest])
        return np.asarray(found, np.intp)

    def _alike(self, label: NDArray[np.str_]) -> Positions:
        """Position of labels that are written differently."""
        if not self._axes:
            return self._looked_up(_identifiers(label))
        numbers = _numbers(label)
        if numbers is None or numbers.shape[1] != len(self._axes):
            return np.full(len(label), -1, np.intp)
        return self._looked_up(self._cell_numbers(numbers))

    def _looked_up(self, keys: NDArray[Any]) -> Positions:
        at = np.searchsorted(self._sorted, keys).clip(max=len(self._sorted) - 1)
        same = (self._sorted[at] == keys) & ~self._ambiguous[at]
        if keys.dtype.kind == "i":
            same &= keys >= 0
        return np.where(same, self._order[self._sorter[at]], -1)

    def _cell_numbers(self, numbers: NDArray[np.float64]) -> Positions:
        """A number for each place, the same for coordinates that are the same; -1 elsewhere."""
        result = np.zeros(len(numbers), np.intp)
        lost = np.zeros(len(numbers), bool)
        for axis, column in zip(self._axes, numbers.T, strict=True):
            place = axis.find(column)
            lost |= place < 0
            result = result * axis.size + place
        return np.where(lost, -1, result)


class _Axis:
    """Values along one axis, those that are the same taken together."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = np.unique(values)
        apart = np.diff(self.values) > 2 * _tolerance(self.values[1:])
        self.group = np.concatenate([[0], np.cumsum(apart)]).astype(np.intp)
        self.size = int(self.group[-1]) + 1

    def find(self, values: NDArray[np.float64]) -> Positions:
        """Number of the group that holds each value, or -1."""
        right = np.searchsorted(self.values, values).clip(max=len(self.values) - 1)
        left = (right - 1).clip(min=0)
        nearer = np.abs(self.values[left] - values) < np.abs(self.values[right] - values)
        at = np.where(nearer, left, right)
        close = np.abs(self.values[at] - values) <= _tolerance(values)
        return np.where(close, self.group[at], -1)


def _tolerance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(ABSOLUTE + RELATIVE * np.abs(values))


def _numbers(label: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """Coordinates in labels, (cell, axis); None if they are identifiers."""
    parts = len(str(label[0]).split()) if len(label) else 0
    try:
        numbers = np.array(" ".join(label.tolist()).split(), dtype=np.float64)
    except ValueError:
        return None
    if numbers.size != len(label) * parts or not np.isfinite(numbers).all():
        return None
    if parts == 1 and (numbers == np.round(numbers)).all():
        return None  # identifiers, stored as floats
    return numbers.reshape(len(label), parts)


def _identifiers(label: NDArray[np.str_]) -> NDArray[np.str_]:
    """Identifiers without what only their storage adds."""
    return np.asarray([identifier(str(one)) for one in label], dtype=str)


KEPT = 4
"""Indices that are kept: a fit knows its training cells and the cells whose climate it has."""

_kept: tuple[tuple[weakref.ref[NDArray[np.str_]], CellIndex], ...] = ()


def find_cells(known: NDArray[np.str_], label: NDArray[np.str_]) -> Positions:
    """`CellIndex.find`, whose index is kept for the next block of the same Dataset.

    Parameters
    ----------
    known : array of str (cell,)
        Labels of a fit.
    label : array of str (other,)
        Labels to look for.

    Returns
    -------
    array of int (other,)
        Positions among the known labels, -1 for cells that are not among them.
    """
    global _kept
    for known_before, index in _kept:
        if known_before() is known:
            return index.find(label)
    index = CellIndex(known)
    _kept = (
        (weakref.ref(known), index),
        *_kept[: KEPT - 1],
    )  # replaced as a whole: threads read it
    return index.find(label)


def shared(known: NDArray[np.str_], column: int, label: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Rows or columns of a grid that the labels of known cells have, too.

    Parameters
    ----------
    known : array of str (cell,)
        Labels of cells, "Y X".
    column : int
        0 for Y, 1 for X.
    label : array of str (row,)
        Values along that axis.

    Returns
    -------
    array of bool (row,)
        True for all where the labels aren't coordinates.
    """
    numbers = _numbers(known)
    try:
        values = label.astype(np.float64)
    except ValueError:
        numbers = None
    if numbers is None or column >= numbers.shape[1]:
        return np.ones(len(label), bool)
    return np.asarray(_Axis(numbers[:, column]).find(values) >= 0)
