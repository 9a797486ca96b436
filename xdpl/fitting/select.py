"""The part of a Dataset that is needed, so that nothing else is read, sent or chunked."""

from __future__ import annotations

from dataclasses import replace

import xarray as xr

from ..errors import XdplError
from ..layout import Layout, match
from ..layout.stacking import only_coordinates

__all__ = ["Said", "existing", "needed", "said_of"]

Said = dict[tuple[object, ...], set[str]]
"""Warnings given before, by the cells they are about."""


def said_of(said: Said, ds: xr.Dataset, layout: Layout) -> set[str]:
    """What a Fit has warned of these cells before, so that it isn't said at every call.

    Cells are told apart by the sizes and the first and last labels of their dimensions.
    """
    key: list[object] = []
    for dim in layout.space:
        ends = ds.indexes[dim][[0, -1]] if dim in ds.indexes and ds.sizes[dim] else ()
        key += [dim, ds.sizes[dim], *map(str, ends)]
    return said.setdefault(tuple(key), set())


def canonical(layout: Layout) -> Layout:
    """Put the attributes in the order of their names.

    A store may list variables in another order than the file that it was made from; the network
    reads them in one order, so that the same data give the same fit.
    """
    return replace(layout, attributes=tuple(sorted(layout.attributes, key=lambda a: a.name)))


def needed(
    ds: xr.Dataset, layout: Layout, *, forcing: bool = True, observed: bool = True
) -> xr.Dataset:
    """Variables with a role, and the coordinates that name cells; nothing is read.

    Parameters
    ----------
    ds : Dataset
        Which ``layout`` describes.
    layout : Layout
        Roles.
    forcing, observed : bool
        Whether forcings and observations are needed besides attributes.
    """
    names = layout.variables(forcing=forcing, observed=observed)
    extra = [layout.latitude, layout.grid_mapping, *layout.labels]
    wanted = [n for n in dict.fromkeys([*names, *extra]) if n and n in ds.variables]
    part = ds[wanted]
    kept = {*wanted, *layout.space, *([layout.time] if forcing or observed else [])}
    return only_coordinates(part, kept)


def existing(ds: xr.Dataset, layout: Layout) -> xr.DataArray | None:
    """Whether each cell has any forcing at all; None where the Dataset has no forcings.

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
                there = ds[name].notnull().any(full.time)
                return only_coordinates(there, full.space)
    return None
