"""The variables of a Dataset that are needed, so that nothing else is read, sent or chunked."""

from __future__ import annotations

import functools
from dataclasses import replace

import xarray as xr

from ..batches.blocks import LARGEST
from ..errors import XdplError
from ..layout import Layout, match
from ..layout.stacking import only_coordinates

__all__ = ["Reported", "existing", "needed", "reported_of"]

Reported = dict[tuple[object, ...], set[str]]
"""Warnings given before, by the cells they are about."""


def reported_of(reported: Reported, ds: xr.Dataset, layout: Layout) -> set[str]:
    """Warnings that a fit has given of these cells before, so that no call repeats them.

    The sizes and the first and last labels of their dimensions distinguish cells.
    """
    key: list[object] = []
    for dim in layout.space:
        ends = ds.indexes[dim][[0, -1]] if dim in ds.indexes and ds.sizes[dim] else ()
        key += [dim, ds.sizes[dim], *map(str, ends)]
    return reported.setdefault(tuple(key), set())


def canonical(layout: Layout) -> Layout:
    """Put the attributes in the order of their names.

    A store may list variables in another order than the file that it was made from; the network
    reads them in one order, so that the same data give the same fit.
    """
    return replace(layout, attributes=tuple(sorted(layout.attributes, key=lambda a: a.name)))


def needed(
    ds: xr.Dataset,
    layout: Layout,
    *,
    forcing: bool = True,
    observed: bool = True,
    attribute: bool = True,
) -> xr.Dataset:
    """Variables with a role, and the coordinates that name cells; nothing is read.

    Parameters
    ----------
    ds : Dataset
        Which ``layout`` describes.
    layout : Layout
        Roles.
    forcing, observed, attribute : bool
        Whether forcings, observations and attributes are needed.
    """
    names = layout.variables(forcing=forcing, observed=observed, attribute=attribute)
    extra = [layout.latitude, layout.grid_mapping, *layout.labels]
    wanted = [n for n in dict.fromkeys([*names, *extra]) if n and n in ds.variables]
    some = ds[wanted]
    kept = {*wanted, *layout.space, *([layout.time] if forcing or observed else [])}
    return only_coordinates(some, kept)


def existing(ds: xr.Dataset, layout: Layout) -> xr.DataArray | None:
    """Mark cells with any forcing at all; None where the Dataset has no forcings.

    Of a file that isn't chunked by dask some steps are read after the others, until every cell with
    attributes has a value: the others don't matter.

    Parameters
    ----------
    ds : Dataset
        Perhaps of attributes alone.
    layout : Layout
        Of the fit.

    Returns
    -------
    DataArray of bool (*space), lazy where the forcing is
    """
    try:
        full = match(ds, layout, forcing=True, observed=False)
    except XdplError:  # attributes alone make maps, wherever there are any
        return None
    for role in full.forcings.values():
        for name in role.variables:
            if set(full.space) <= set(ds[name].dims):
                there = _with_a_value(ds[name], full.time, _described(ds, full))
                return only_coordinates(there, full.space)
    return None


def _with_a_value(series: xr.DataArray, time: str, wanted: xr.DataArray | None) -> xr.DataArray:
    """Whether there is a value at any time; of cells that aren't wanted maybe less than is true."""
    if series.chunks is not None or series.variable._in_memory:
        return series.notnull().any(time)
    stored = series.encoding.get("preferred_chunks", {}).get(time, 1)  # read in one piece anyway
    step = max(1, series.nbytes // max(1, series.sizes[time]))
    steps = stored * max(1, LARGEST // (step * stored))
    there = series.isel({time: slice(0, steps)}).notnull().any(time)
    for start in range(steps, series.sizes[time], steps):
        if bool((there if wanted is None else there | ~wanted).all()):
            break
        there |= series.isel({time: slice(start, start + steps)}).notnull().any(time)
    return there


def _described(ds: xr.Dataset, layout: Layout) -> xr.DataArray | None:
    """Cells with a value of every attribute, or None where that isn't known without reading."""
    named = [ds[role.variable] for role in layout.attributes]
    if any(one.chunks is not None for one in named):
        return None
    return functools.reduce(lambda all_, one: all_ & one.notnull(), named, xr.DataArray(True))
