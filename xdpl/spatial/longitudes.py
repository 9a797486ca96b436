"""Longitudes of 0 to 360 rolled to -180 to 180, where that keeps a map in one piece."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import xarray as xr

__all__ = ["rolled"]


def rolled(ds: xr.Dataset, x: Hashable) -> xr.Dataset:
    """Maps with longitudes of -180 to 180; a region across the 180th meridian as it is.

    Parameters
    ----------
    ds : Dataset
        Maps, numpy or dask.
    x : hashable
        The dimension of longitudes, in degrees, rising.
    """
    values = ds[x].values
    if values.size == 0 or not values.max() > 180:
        return ds
    wrapped = np.where(values > 180, values - 360, values)
    order = np.argsort(wrapped, kind="stable")
    steps = np.diff(wrapped[order])
    # A region such as 170..190 would be torn apart at the edges of the map.
    if steps.size and steps.max() > 2 * np.median(np.abs(np.diff(values))):
        return ds
    attrs, first = ds[x].attrs, int(order[0])
    moved = ds.assign_coords({x: wrapped})
    if first:  # two slices, not a list of positions: dask keeps its chunks
        halves = [moved.isel({x: slice(first, None)}), moved.isel({x: slice(None, first)})]
        fixed = [name for name, v in moved.data_vars.items() if x not in v.dims]
        halves = [half.drop_vars(fixed) for half in halves]
        moved = xr.concat(halves, dim=x, coords="minimal", compat="override", join="override")
        moved = moved.assign({name: ds[name] for name in fixed})
    moved[x].attrs.update(attrs)
    return moved
