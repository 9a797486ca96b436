"""The dimensions of a Dataset to be read: which are space, and what labels a cell."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import LayoutError
from ..spatial import direction, find_grid_mapping, find_latitude, is_longitude, is_time, ordered

__all__ = [
    "check_dataset",
    "close",
    "direction",
    "extra_dimension",
    "find_grid_mapping",
    "find_latitude",
    "find_space",
    "is_longitude",
    "label_variables",
]

_TEXT = ("standard_name", "axis", "positive", "cf_role")
"""Attributes by which CF names what a variable is."""


def close(name: Hashable, names: Iterable[Hashable]) -> str:
    """A sentence that suggests names like the one given; empty if there are none."""
    known = [str(n) for n in names]
    lowered = {n.lower(): n for n in known}
    found = difflib.get_close_matches(str(name).lower(), list(lowered), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(lowered[n]) for n in found)}? " if found else ""


def check_dataset(ds: object) -> None:
    """Raise LayoutError for what is no Dataset, and for names that are no text."""
    if isinstance(ds, xr.Dataset):
        _check_names(ds)
        _check_attributes(ds)
        return
    remedy = "Open it: ds = xr.open_dataset(path)."
    if isinstance(ds, xr.DataArray):
        remedy = "Give the Dataset with forcings, attributes and observations, not one variable."
    raise LayoutError(f"ds is a {type(ds).__name__}, not an xarray.Dataset. {remedy}")


def _check_names(ds: xr.Dataset) -> None:
    """Names of variables and dimensions: xarray allows any, files and reports need text."""
    strange = [name for name in {**ds.variables, **ds.sizes} if not isinstance(name, str)]
    if strange:
        new = ", ".join(f'{name!r}: "{_free_name(ds, name)}"' for name in strange)
        raise LayoutError(
            f"{len(strange)} name{'s are' if len(strange) > 1 else ' is'} not text: "
            f"{', '.join(map(repr, strange))}. Rename: ds = ds.rename({{{new}}})."
        )


def _free_name(ds: xr.Dataset, name: Hashable) -> str:
    text = re.sub(r"\W+", "_", str(name)).strip("_") or "unnamed"
    text = f"v{text}" if text[0].isdigit() else text
    while text in ds.variables or text in ds.dims:
        text += "_"
    return text


def _check_attributes(ds: xr.Dataset) -> None:
    for name, variable in ds.variables.items():
        for attribute in _TEXT:
            value = variable.attrs.get(attribute, "")
            if not isinstance(value, str):
                raise LayoutError(
                    f"the {attribute} of {name!r} is a {type(value).__name__}, not text. Correct "
                    f"it, or remove it: del ds[{name!r}].attrs[{attribute!r}]."
                )


def find_space(ds: xr.Dataset, dims: Sequence[str], variable: str) -> tuple[str, ...]:
    """Order the space dimensions of a variable: Y, then X; or the one of basins.

    Raises
    ------
    LayoutError
        If there are more than two or if it is not known which one is Y.
    """
    ways = {dim: direction(ds, dim) for dim in dims}
    if len(dims) <= 1:
        return tuple(dims)
    if len(dims) > 2:
        extra = [dim for dim in dims if ways[dim] is None] or list(dims)
        raise LayoutError(extra_dimension(ds, variable, extra[0]))
    found = ordered(ds, dims)
    if found is not None:
        return str(found[0]), str(found[1])
    # the coordinate of a dimension that has none is made anew at each access: attributes are lost
    say = (
        f'ds["{dims[0]}"].attrs["axis"] = "Y"; ds["{dims[1]}"].attrs["axis"] = "X"'
        if all(dim in ds.coords for dim in dims)
        else f'ds = ds.{_renaming(ds, dims)}({dims[0]}="y", {dims[1]}="x")'
    )
    raise LayoutError(
        f'ds["{variable}"] has the dimensions {" and ".join(dims)}, and it is not known which one '
        f"is Y and which X. Say so: {say}."
    )


def _renaming(ds: xr.Dataset, dims: Sequence[str]) -> str:
    """Method that names dimensions y and x, where coordinates may be called so already."""
    there = all(n in ds.coords and ds[n].dims == (d,) for n, d in zip("yx", dims, strict=True))
    return "swap_dims" if there else "rename_dims"


def extra_dimension(ds: xr.Dataset, variable: str, dim: str) -> str:
    """Message about a dimension that is neither time nor space."""
    if ds.sizes[dim] == 1:
        remedy = f'Remove it: ds = ds.squeeze("{dim}").'
    elif dim == "expver":  # each is missing where the other is
        remedy = (
            "ERA5 has final values in one and preliminary ones in the other. Join them: "
            f'ds = ds.mean("{dim}", keep_attrs=True).'
        )
    else:
        remedy = (
            f"Remove it: choose one, ds = ds.isel({dim}=0), or average, "
            f'ds = ds.mean("{dim}", keep_attrs=True).'
        )
    return (
        f'ds["{variable}"] has the dimension {dim!r} (size {ds.sizes[dim]}) besides time and '
        f"space. {remedy}"
    )


def label_variables(ds: xr.Dataset, space: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the coordinates that label a cell: Y and X, or the identifier of a basin.

    Raises
    ------
    LayoutError
        If a dimension has no coordinate, so that a cell has no name of its own.
    """
    if len(space) == 1 and _stacked(ds, space[0]):
        _check_levels(ds, space[0])
    if not all(dim in ds.coords for dim in space) or (len(space) == 1 and _stacked(ds, space[0])):
        pair = _pair_over(ds, space)
        if pair:
            return pair
    missing = [dim for dim in space if dim not in ds.coords and not _identifier(ds, dim)]
    if missing:
        raise LayoutError(
            f"dimension {missing[0]!r} has no coordinate, so its cells have no names by which "
            f"parameters could be stored. Give it one: ds = ds.assign_coords({missing[0]}=...)."
        )
    if len(space) == 2:
        return space
    if len(space) == 1:
        return _one_dimension(ds, space[0])
    scalars = [str(name) for name, c in ds.coords.items() if c.ndim == 0 and c.size == 1]
    y = [name for name in scalars if direction(ds, name) == "Y"]
    x = [name for name in scalars if direction(ds, name) == "X"]
    if y and x:
        return y[0], x[0]
    texts = [name for name in scalars if ds[name].dtype.kind in "UTO" and not is_time(ds[name])]
    return tuple(texts[:1])


def _one_dimension(ds: xr.Dataset, dim: str) -> tuple[str, ...]:
    """Labels of one dimension: its identifier, or Y and X where the other one is a scalar."""
    way = direction(ds, dim)
    scalars = [str(name) for name, c in ds.coords.items() if c.ndim == 0]
    if way is not None:
        other = [n for n in scalars if direction(ds, n) not in (way, None)]
        if other:
            return (dim, other[0]) if way == "Y" else (other[0], dim)
    outlines = dim in ds.coords and not isinstance(ds[dim].dtype, np.dtype)  # as xvec has them
    if dim in ds.coords and not (outlines and _identifier(ds, dim)):
        return (dim,)
    return (_identifier(ds, dim),)


def _identifier(ds: xr.Dataset, dim: str) -> str:
    """A variable along a dimension that names its items, by cf_role or as text."""
    along = [str(name) for name, v in ds.variables.items() if v.dims == (dim,)]
    roles = [name for name in along if ds[name].attrs.get("cf_role") == "timeseries_id"]
    texts = [name for name in along if name in ds.coords and ds[name].dtype.kind in "UTO"]
    return next(iter(roles + texts), "")


def _stacked(ds: xr.Dataset, dim: str) -> bool:
    """Whether a dimension was made by ds.stack()."""
    return ds[dim].dtype == object and isinstance(ds.indexes.get(dim), pd.MultiIndex)


def _check_levels(ds: xr.Dataset, dim: str) -> None:
    """Raise LayoutError for a MultiIndex of anything but Y and X: a cell needs one name."""
    levels = [str(name) for name in ds.indexes[dim].names]
    if {direction(ds, level) for level in levels} != {"Y", "X"}:
        raise LayoutError(
            f"dimension {dim!r} has a MultiIndex of {', '.join(levels)}, and a cell needs one "
            f"name. Make them plain coordinates and name the cells: "
            f"ds = ds.reset_index({dim!r}).assign_coords({dim}=...)."
        )


def _pair_over(ds: xr.Dataset, space: tuple[str, ...]) -> tuple[str, ...]:
    """Y and X, or latitude and longitude, over the space dimensions, if there are."""
    names: list[list[str]] = [[], []]
    for name, values in ds.coords.items():
        way = direction(ds, str(name)) if set(values.dims) == set(space) else None
        if way is not None:
            names[way == "X"].append(str(name))
    return (names[0][0], names[1][0]) if all(names) else ()
