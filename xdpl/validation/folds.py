"""Which cells and which times are held back: folds in space, splits in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import DataError, DeclarationError, LayoutError
from ..layout import Layout, labels
from ..layout.periods import resolve_period
from ..spatial import blocks, positions

__all__ = ["Split", "number_folds", "split_time"]

NONE = -1
"""Fold of the cells that are in none."""


@dataclass(frozen=True)
class Split:
    """One pair of periods, as labels of the first and last time, both included."""

    train: slice
    test: slice

    @staticmethod
    def _text(span: slice) -> str:
        return f"{str(span.start)[:10]}/{str(span.stop)[:10]}"

    @property
    def trained(self) -> str:
        """The training period, such as "2000-01-01/2000-12-31"."""
        return self._text(self.train)

    @property
    def tested(self) -> str:
        """The period tested."""
        return self._text(self.test)


def _labelled(ds: xr.Dataset, time: str, span: slice) -> slice:
    index = ds.indexes[time]
    return slice(index[span.start], index[span.stop - 1])


def split_time(ds: xr.Dataset, time: str, wanted: object, period: object) -> list[Split]:
    """Pairs of training and test periods.

    Parameters
    ----------
    ds : Dataset
        With the dimension ``time``.
    wanted : None, int or sequence of (train, test)
        None: train and test over ``period``. A number: the period is cut into that many parts and
        one more, and each part but the first is tested once after training on all before it.
    period : slice or None
        The part of the record that is used.
    """
    whole = resolve_period(ds, time, period)
    if wanted is None:
        both = _labelled(ds, time, whole)
        return [Split(both, both)]
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return _forward(ds, time, wanted, whole)
    if period is not None:
        raise DeclarationError(
            "period= and the pairs of time= both say when to train. Leave period out."
        )
    if isinstance(wanted, str) or not isinstance(wanted, Sequence) or not len(wanted):
        raise _no_pairs(wanted)
    splits = []
    for pair in wanted:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise _no_pairs(wanted)
        train, test = (resolve_period(ds, time, span) for span in pair)
        split = Split(_labelled(ds, time, train), _labelled(ds, time, test))
        if train.start < test.stop and test.start < train.stop:
            raise DataError(
                f"the test period {split.tested} overlaps the training period {split.trained}. "
                "Test on times that are not trained on."
            )
        splits.append(split)
    return splits


def _no_pairs(wanted: object) -> DeclarationError:
    return DeclarationError(
        f"time={wanted!r} can't be used. Give a number of splits, or pairs: "
        "[(slice('2015-04-01', '2016-03-31'), slice('2016-04-01', '2017-03-31'))]."
    )


def _forward(ds: xr.Dataset, time: str, count: int, whole: slice) -> list[Split]:
    steps = whole.stop - whole.start
    if not 1 <= count < steps:
        raise DeclarationError(
            f"time={count} can't be used. Give a number of splits from 1 to {steps - 1}."
        )
    edges = whole.start + np.round(np.linspace(0, steps, count + 2)).astype(int)
    return [
        Split(
            _labelled(ds, time, slice(whole.start, int(edges[i]))),
            _labelled(ds, time, slice(int(edges[i]), int(edges[i + 1]))),
        )
        for i in range(1, count + 1)
    ]


def number_folds(
    ds: xr.Dataset, layout: Layout, observed: NDArray[np.bool_], space: object, folds: int
) -> NDArray[np.intp]:
    """Number of the fold of each cell (cell,), in stack order; -1 where nothing is observed.

    Parameters
    ----------
    ds : Dataset
        Which ``layout`` describes.
    observed : ndarray of bool (cell,)
        Cells that are dealt out.
    space : {"random", "regions"}, name of a variable, or DataArray
        Random cells, contiguous blocks, or the regions that a variable labels.
    folds : int
        Folds wanted; a variable has as many as labels.

    Notes
    -----
    Random folds depend on the cells' labels only: neither on their order, nor on a seed.
    """
    number = np.full(len(observed), NONE, np.intp)
    there = np.flatnonzero(observed)
    if isinstance(space, xr.DataArray) or space not in ("random", "regions"):
        number[there] = _by_label(ds, layout, space)[there]
        return _at_least_two(number, space)
    place = None
    if space == "regions":
        place = positions(ds, layout.space, layout.labels)
        there = there[np.isfinite(place[there]).all(1)]
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= len(there):
        raise DeclarationError(
            f"folds={folds!r} can't be used with {len(there)} observed cells. "
            f"Give a number from 2 to {len(there)}."
        )
    if place is not None:
        number[there] = blocks(place[there], folds)
        return number
    label = labels(ds, layout)[there]
    dealt = np.random.default_rng(0).permutation(len(there)) % folds
    number[there[np.argsort(label, kind="stable")]] = dealt
    return number


def _by_label(ds: xr.Dataset, layout: Layout, space: object) -> NDArray[np.intp]:
    if isinstance(space, str):
        if space not in ds.variables:
            raise LayoutError(
                f"space={space!r} is neither 'random' nor 'regions', nor a variable of the "
                "Dataset. Use one of these, or a variable that labels regions."
            )
        space = ds[space]
    if not isinstance(space, xr.DataArray) or set(space.dims) != set(layout.space):
        found = f"dimensions {space.dims}" if isinstance(space, xr.DataArray) else repr(space)
        raise LayoutError(
            f"the labels of regions are given as {found}. Give 'random', 'regions' or a variable "
            f"with the dimensions {layout.space}."
        )
    values = space.transpose(*layout.space).values.ravel()
    number, _ = pd.factorize(values, sort=True)
    return np.asarray(number, np.intp)


def _at_least_two(number: NDArray[np.intp], space: object) -> NDArray[np.intp]:
    found = np.unique(number[number != NONE])
    if len(found) < 2:
        name = space.name if isinstance(space, xr.DataArray) else space
        raise DataError(
            f"{name!r} labels {len(found)} region with observations; one is held back at a time. "
            "Give labels of at least 2 regions."
        )
    again = np.searchsorted(found, number)
    return np.where(number == NONE, NONE, again)
