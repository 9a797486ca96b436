"""What is drawn: one panel for each layer of each variable, with its flags."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import RasterError
from ..rasters.quality import without_fill
from ..rasters.quality_flags import ancillary_names, quality_flags
from ..spatial import find_basin, find_grid, varies_in_time

__all__ = ["Panel", "chosen", "panels_of", "thinned"]

_MOST_CELLS = 800
"""Cells along an axis that are drawn at most."""

_MOST_LAYERS = 48
"""Maps of one variable in a figure at most."""


@dataclass(frozen=True)
class Panel:
    """One map.

    Parameters
    ----------
    title : str
    values : DataArray
        Of numbers, over space; of classes their places in ``classes``.
    attrs : dict
        Of the variable.
    flagged : ndarray of bool, optional
        Cells that call for caution.
    missing : ndarray of bool
        Cells without a value that have one in another map; all others without lie outside.
    classes : tuple of str
        Names of the classes that occur; empty for numbers.
    """

    title: str
    values: xr.DataArray
    attrs: dict[Hashable, Any]
    missing: NDArray[np.bool_]
    flagged: NDArray[np.bool_] | None = None
    classes: tuple[str, ...] = ()


def chosen(ds: xr.Dataset, variables: str | Sequence[str] | None) -> list[Hashable]:
    """Names of what is to be drawn: without names all maps but the layers beside others."""
    if variables is not None:
        wanted = [variables] if isinstance(variables, str) else list(variables)
        unknown = [name for name in wanted if name not in ds.data_vars]
        if unknown:
            raise RasterError(
                f"no variable {', '.join(map(repr, unknown))} to plot. "
                f"There are {', '.join(map(str, ds.data_vars))}."
            )
        return list(wanted)
    space = find_grid(ds) or (find_basin(ds),)
    beside = ancillary_names(ds)
    found = [
        name
        for name, v in ds.data_vars.items()
        if name not in beside
        and set(space) <= set(v.dims)
        and v.dtype.kind in "fiub"
        and not any(varies_in_time(ds, dim) for dim in v.dims)
    ]
    if not found:
        raise RasterError(
            "nothing to plot: no variable of numbers has a place (y, x or basin) and no time. "
            "Take one time with .isel(time=...) or a mean with .mean('time') first."
        )
    return found


def panels_of(ds: xr.Dataset, names: list[Hashable]) -> list[Panel]:
    """Compute what is drawn, and the layers that tell which cells are flagged."""
    space = find_grid(ds) or (find_basin(ds),)
    _check_layers(ds, names, space)
    beside = [name for name in ancillary_names(ds[names]) if name in ds.data_vars]
    computed = ds[list(dict.fromkeys([*names, *beside]))].compute()  # what maps share: once
    flags = quality_flags(computed) if beside else xr.Dataset()
    known = _known_somewhere(computed[names], space)
    panels = []
    for name in names:
        variable = without_fill(computed[name])
        layers = _layers(variable, space)
        flagged = dict(_layers(flags[name], space)) if name in flags else {}
        for label, values in layers:
            mask = flagged[label].values == 1 if label in flagged else None
            drawn, classes = _classified(values)
            missing = known & np.isnan(drawn.values)
            panels.append(
                Panel(f"{name}{label}", drawn, computed[name].attrs, missing, mask, classes)
            )
    return panels


def thinned(ds: xr.Dataset) -> xr.Dataset:
    """Every n-th row and column of a large grid: more are finer than the picture."""
    space = find_grid(ds) or ()
    return ds.isel({d: slice(None, None, -(-ds.sizes[d] // _MOST_CELLS)) for d in space})


def _check_layers(ds: xr.Dataset, names: list[Hashable], space: tuple[Hashable, ...]) -> None:
    """Raise RasterError for what is no map, or very many."""
    for name in names:
        if not set(space) <= set(ds[name].dims) or ds[name].dtype.kind not in "fiub":
            raise RasterError(
                f"{name!r} is no map: it has the dimensions ({', '.join(map(str, ds[name].dims))}) "
                f"and the type {ds[name].dtype}, and numbers over "
                f"({', '.join(map(str, space))}) are wanted. Choose another variable."
            )
        others = [dim for dim in ds[name].dims if dim not in space]
        count = math.prod(ds.sizes[dim] for dim in others)
        if count > _MOST_LAYERS:
            raise RasterError(
                f"{name!r} has {count} maps, one for each {' and '.join(map(str, others))}. Take "
                f"one, such as ds.isel({others[0]}=0), or a mean, ds.mean({others[0]!r}), first."
            )


def _known_somewhere(ds: xr.Dataset, space: tuple[Hashable, ...]) -> NDArray[np.bool_]:
    """Cells that have a value in some map: others, such as those of the sea, lie outside."""
    known = xr.DataArray(False)
    for variable in ds.data_vars.values():
        if set(space) <= set(variable.dims) and variable.dtype.kind in "fiub":
            there = without_fill(variable).notnull()
            known = known | there.any([dim for dim in there.dims if dim not in space])
    return np.asarray(known.transpose(*space).values)


def _classified(values: xr.DataArray) -> tuple[xr.DataArray, tuple[str, ...]]:
    """Numbers as they are; classes as places among the names of those that occur."""
    if values.dtype.kind == "b":
        return values.astype(float), ("false", "true")
    known = np.ravel(values.attrs.get("flag_values", ()))
    words = str(values.attrs.get("flag_meanings", "")).split()
    if not len(known) or len(known) != len(words):
        return values.astype(float), ()
    present = [i for i, value in enumerate(known) if bool((values == value).any())]
    found = xr.full_like(values, np.nan, dtype=float)
    for place, i in enumerate(present):
        found = found.where(values != known[i], place)
    return found, tuple(words[i] for i in present)


def _layers(variable: xr.DataArray, space: tuple[Hashable, ...]) -> list[tuple[str, xr.DataArray]]:
    """The maps of a variable, over space alone, each with its label."""
    values = variable.transpose(..., *space)
    others = values.dims[: values.ndim - len(space)]
    stacked = values.stack(_layer=others) if others else values.expand_dims("_layer")
    return [
        (
            _layer_label(stacked, others, layer),
            stacked.isel(_layer=layer, drop=True).transpose(*space),
        )
        for layer in range(stacked.sizes["_layer"])
    ]


def _layer_label(stacked: xr.DataArray, others: tuple[Hashable, ...], layer: int) -> str:
    parts = [str(stacked[dim].values[layer]) for dim in others]
    return (
        f" ({', '.join(f'{d} {v}' for d, v in zip(others, parts, strict=True))})" if parts else ""
    )
