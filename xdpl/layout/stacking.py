"""Cells in one row: their names, and the way back to the grid."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import DataError
from .axes import is_longitude
from .records import Layout

__all__ = ["check_labels", "labels", "only_coordinates", "to_grid"]

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)


def labels(block: xr.Dataset, layout: Layout) -> NDArray[np.str_]:
    """Names of all cells of a block, in stack order."""
    shape = {dim: block.sizes[dim] for dim in layout.space}
    size = int(np.prod(list(shape.values()), dtype=int))
    if not layout.labels:
        return np.full(size, "point")
    joined: NDArray[np.str_] | None = None
    for name in layout.labels:
        text = xr.Variable(block[name].dims, _text(block, name))
        flat = text.set_dims(shape).transpose(*layout.space).values.reshape(size).astype(str)
        joined = flat if joined is None else np.char.add(np.char.add(joined, " "), flat)
    assert joined is not None
    return joined


def _text(block: xr.Dataset, name: str) -> NDArray[np.str_]:
    """Values of a coordinate as canonical text: numbers rounded, longitudes in -180 to 180."""
    values = block[name].values
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind != "f":
        return np.asarray([_plain(v) for v in values.ravel()], dtype=str).reshape(values.shape)
    numbers = values.astype(np.float64)
    if is_longitude(block, name):
        numbers = (numbers + 180.0) % 360.0 - 180.0
    numbers = np.round(numbers, 6) + 0.0  # no -0.0
    if is_longitude(block, name):
        numbers = np.where(numbers == 180.0, -180.0, numbers)  # rounded up to the same meridian
    return np.asarray([repr(float(v)) for v in numbers.ravel()], dtype=str).reshape(values.shape)


def check_labels(ds: xr.Dataset, layout: Layout) -> None:
    """Raise DataError if two cells have the same name."""
    for name in layout.labels:
        if ds[name].ndim == 1 and len(layout.space) == 2:
            one = replace(layout, labels=(name,), space=(str(ds[name].dims[0]),))
            found = labels(ds[[name]], one)
            _check_unique(found, name)
    if len(layout.space) == 1:
        _check_unique(labels(ds, layout), " and ".join(layout.labels))


def _check_unique(found: np.ndarray, name: str) -> None:
    values, counts = np.unique(found, return_counts=True)
    if values.size < found.size:
        twice = values[counts > 1]
        raise DataError(
            f"{twice.size} value{'s' if twice.size > 1 else ''} of {name!r} occur"
            f"{'' if twice.size > 1 else 's'} more than once, the first {str(twice[0])!r}, so "
            f'cells can\'t be told apart. Drop them: ds = ds.drop_duplicates("{name}").'
        )


def _plain(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def only_coordinates(part: Labelled, kept: Iterable[str]) -> Labelled:
    """Drop all coordinates but those kept and the levels of their indexes, which can't go alone."""
    names: set[Hashable] = set(kept)
    for name in [name for name in names if name in part.xindexes]:
        names.update(part.xindexes.get_all_coords(name))
    return part.drop_vars([name for name in part.coords if name not in names])


def to_grid(
    values: NDArray[np.generic], block: xr.Dataset, layout: Layout, dims: Sequence[str] = ()
) -> xr.DataArray:
    """Undo the stacking: (..., cell) to (..., *space), in the block's own order of dimensions.

    Parameters
    ----------
    values : array (..., cell)
        In stack order.
    block : Dataset
        The block that was read.
    dims : sequence of str
        Names of the leading dimensions.
    """
    shape = tuple(block.sizes[dim] for dim in layout.space)
    variable = xr.Variable(
        (*dims, *layout.space), np.asarray(values).reshape((*values.shape[:-1], *shape))
    )
    own = sorted(layout.space, key=_order(block).index)
    kept = {*dims, *layout.space}
    names = [str(name) for name, c in block.coords.items() if set(map(str, c.dims)) <= kept]
    coords = block.coords.to_dataset()[names].coords
    return xr.DataArray(variable.transpose(*dims, *own), coords=coords)


def _order(block: xr.Dataset) -> list[str]:
    widest = max(block.data_vars.values(), key=lambda v: v.ndim, default=None)
    dims = list(widest.dims) if widest is not None else []
    return [str(dim) for dim in [*dims, *block.dims]]
