"""What the values of a static variable are like: range, missing ones, classes, whole numbers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .bands import Band, own_values
from .quality import SHORT_FILLS, looks_filled
from .records import AttributeRole
from .sample import UNREAD, load, tiles

__all__ = ["Look", "class_codes", "look_at", "sparse"]

SPARSE = 0.1
"""Share of the cells that must have all attributes; one that leaves fewer is left out."""
_SOME = 40
"""Different values up to which they are kept."""


@dataclass
class Look:
    """What was seen of one attribute.

    Parameters
    ----------
    low, high : float
        Of finite values that aren't fill values; low > high where there is none.
    infinite : bool
        Whether any value is infinite.
    fills : tuple of float
        Fill values of this variable besides the usual ones.
    found : set of float or str
        Different values, where they are few or classes.
    few : bool
        Whether ``found`` is complete.
    there : array of uint8
        One bit a value: whether it is there. In the variable's own order of dimensions.
    """

    low: float = np.inf
    high: float = -np.inf
    infinite: bool = False
    fills: tuple[float, ...] = ()
    found: set[float | str] = field(default_factory=set)
    few: bool = True
    there: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    @property
    def empty(self) -> bool:
        """Whether there is no value."""
        return self.low > self.high and not self.found


def look_at(ds: xr.Dataset, band: Band, most: int = _SOME) -> Look:
    """Look at all values of an attribute, tile by tile; at none of one that isn't to be read.

    Parameters
    ----------
    ds : Dataset
        That holds it.
    band : Band
        The variable, and the place along its further dimension.
    most : int
        Different values that are kept.
    """
    variable = own_values(ds[band.variable].variable, band.dim, band.item)
    there = np.zeros(variable.shape, bool)
    if band.variable in UNREAD.get():
        there[...] = True
        flags = np.atleast_1d(variable.attrs.get("flag_values", []))
        look = Look(low=0.0, high=1.0, found=set(flags.tolist()), few=False)
    elif variable.dtype.kind in "fiub":
        look = _numbers(variable, band, there, most)
    else:
        look = Look()
        for tile in tiles(variable, ""):
            raw = load(variable.isel(tile), band.variable)
            given = np.array([not _missing_text(v) for v in raw.ravel()], bool).reshape(raw.shape)
            there[_place(variable, tile)] = given
            if look.few:
                look.found.update(str(v) for v in raw[given])
                look.few = len(look.found) <= most
    look.there = np.packbits(there)
    return look


def _numbers(variable: xr.Variable, band: Band, there: NDArray[np.bool_], most: int) -> Look:
    look, shorts = Look(), set()
    highest = float(np.iinfo(variable.dtype).max) if variable.dtype.kind in "iu" else np.inf
    tops = False
    for tile in tiles(variable, ""):
        values = np.asarray(load(variable.isel(tile), band.variable), dtype=float)
        look.infinite |= bool(np.isinf(values).any())
        given = np.isfinite(values) & ~looks_filled(values)
        short = looks_filled(values, SHORT_FILLS) & given
        shorts |= set(values[short].tolist())
        top = values == highest
        tops |= bool(top.any())
        there[_place(variable, tile)] = given
        rest = values[given & ~short & ~top]
        if rest.size:
            look.low, look.high = min(look.low, rest.min()), max(look.high, rest.max())
            if look.few:
                look.found.update(np.unique(rest).tolist())
                look.few = len(look.found) <= most
    _judge_fills(look, shorts, highest if tops else None)
    if look.fills and (shorts or tops):
        for tile in tiles(variable, ""):
            values = np.asarray(load(variable.isel(tile), band.variable), dtype=float)
            there[_place(variable, tile)] &= ~looks_filled(values, look.fills)
    return look


def _judge_fills(look: Look, shorts: set[float], top: float | None) -> None:
    """Decide what -99 and its like are, and the largest integer of the type."""
    fills: tuple[float, ...] = ()
    if look.low >= 0 and not look.empty:
        fills = SHORT_FILLS
    values = set() if fills else set(shorts)
    if top is not None:
        if not look.empty and look.high < top / 2:
            fills += (top,)
        else:
            values.add(top)
    look.fills = fills
    if values:
        look.low, look.high = min(look.low, *values), max(look.high, *values)
        look.found |= values


def _place(variable: xr.Variable, tile: Mapping[Hashable, slice]) -> tuple[slice, ...]:
    return tuple(tile[dim] for dim in variable.dims)


def _missing_text(value: object) -> bool:
    return value is None or value == "" or value != value


def sparse(ds: xr.Dataset, space: Sequence[str], looks: Iterable[tuple[Band, Look]]) -> list[Band]:
    """Attributes that would leave hardly any cell with all of them, the emptiest first.

    Parameters
    ----------
    ds : Dataset
        That holds them.
    space : sequence of str
        Dimensions of the cells.
    looks : iterable of (Band, Look)
        What was seen of each.
    """
    given = list(looks)
    shape = {dim: ds.sizes[dim] for dim in space}
    size = int(np.prod(list(shape.values()), dtype=int))

    def cells(band: Band, look: Look) -> NDArray[np.bool_]:
        own = own_values(ds[band.variable].variable, band.dim, band.item)
        count = int(np.prod(own.shape, dtype=int))
        flat = np.unpackbits(look.there, count=count).astype(bool).reshape(own.shape)
        return np.asarray(xr.Variable(own.dims, flat).set_dims(shape).transpose(*space).values)

    share = [int(cells(*one).sum()) for one in given]
    if not given or size < 2:
        return []
    enough = SPARSE * max(share)
    together = np.ones(tuple(shape.values()), bool)
    left_out = []
    for at in np.argsort([-n for n in share], kind="stable"):
        both = together & cells(*given[at])
        if both.sum() < enough:
            left_out.append(given[at][0])
        else:
            together = both
    return left_out[::-1]


def class_codes(
    values: NDArray[np.generic], role: AttributeRole
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Positions among the classes, NaN where missing; and where the class is unknown.

    An unknown class has the position after the last one: a cell is not left out for it, since
    its other attributes still tell where it belongs.
    """
    assert role.classes is not None
    if isinstance(role.classes[0], str):
        given = values.astype(str)
        missing = np.isin(given, ["", "nan", "None"])
    else:
        given = values.astype(np.float64)
        missing = ~np.isfinite(given)
    classes = np.asarray(role.classes)
    position = np.clip(np.searchsorted(classes, given), 0, classes.size - 1)
    known = (classes[position] == given) & ~missing
    codes = np.where(known, position, float(classes.size))
    return np.where(missing, np.nan, codes), ~known & ~missing
