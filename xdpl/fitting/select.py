"""The part of a Dataset that is needed, so that nothing else is read, sent or chunked."""

from __future__ import annotations

import xarray as xr

from ..errors import XdplError
from ..layout import Layout, match

__all__ = ["existing", "needed"]


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
    return part.drop_vars([name for name in part.coords if name not in kept])


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
                return there.drop_vars([c for c in there.coords if c not in full.space])
    return None
