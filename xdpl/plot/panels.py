"""What is drawn: one panel for each layer of each variable, and where it is in doubt."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import RasterError
from ..rasters.quality_flags import ancillary_names, quality_flags
from ..spatial import find_basin, find_grid, varies_in_time

__all__ = ["Panel", "chosen", "panels_of"]

_MOST_CELLS = 800
"""Cells along an axis that are drawn at most: more are finer than the picture."""


@dataclass(frozen=True)
class Panel:
    """One map: its title, its values, how they are coloured, and where they are in doubt."""

    title: str
    values: xr.DataArray
    attrs: dict[Any, Any]
    doubt: NDArray[np.bool_] | None = None


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
    """Compute what is drawn, and the layers that tell where it is in doubt."""
    space = find_grid(ds) or (find_basin(ds),)
    beside = [name for name in ancillary_names(ds[names]) if name in ds.data_vars]
    thinned = ds[list(dict.fromkeys([*names, *beside]))].isel(
        {d: slice(None, None, -(-ds.sizes[d] // _MOST_CELLS)) for d in space if len(space) == 2}
    )
    computed = thinned.compute()  # together: what maps share is computed once
    doubts = quality_flags(computed) if beside else xr.Dataset()
    panels = []
    for name in names:
        layers = _layers(computed[name], space)
        doubt = dict(_layers(doubts[name], space)) if name in doubts else {}
        for label, values in layers:
            mask = doubt[label].values == 1 if label in doubt else None
            panels.append(Panel(f"{name}{label}", values, computed[name].attrs, mask))
    return panels


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
