"""Forcings that are derived from several variables: means, sums, potential evaporation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import LayoutError
from ..spatial import geographic_positions
from ..units import conversion
from . import evaporation
from .records import ForcingRole, Layout

__all__ = ["derive", "latitudes"]

Array = NDArray[np.float64]


def derive(
    block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
) -> Array:
    """Values of a forcing, (time, cell) in the model's units, from those of its sources.

    Parameters
    ----------
    block : Dataset
        In memory: for the day of the year and the latitude.
    layout : Layout
        Which dimension is what.
    role : ForcingRole
        Its method says what to do.
    parts : mapping of str to array (time, cell) or (cell,)
        By the part they play, in the units of the sources' targets.
    """
    if role.method == "variable":
        return parts["value"]
    if role.method == "mean":
        return (parts["maximum"] + parts["minimum"]) / 2
    if role.method == "sum":
        return parts["rain"] + parts["snow"]
    scale, offset = conversion("mm day-1", role.units)
    method = _priestley_taylor if role.method == "priestley-taylor" else _hargreaves
    return method(block, layout, parts) * scale + offset


def _hargreaves(block: xr.Dataset, layout: Layout, parts: Mapping[str, Array]) -> Array:
    high = np.maximum(parts["maximum"], parts["minimum"])
    low = np.minimum(parts["maximum"], parts["minimum"])
    return evaporation.hargreaves(high, low, _top(block, layout))


def _priestley_taylor(block: xr.Dataset, layout: Layout, parts: Mapping[str, Array]) -> Array:
    if "temperature" in parts:
        temperature = parts["temperature"]
    else:
        temperature = (parts["maximum"] + parts["minimum"]) / 2
    elevation = np.nan_to_num(parts["elevation"]) if "elevation" in parts else 0.0
    if "net" in parts:
        net = parts["net"]
    else:
        albedo = parts.get("albedo", np.array(np.nan))
        net = evaporation.net_radiation(
            parts["shortwave"],
            temperature,
            longwave=parts.get("longwave"),
            top=None if "longwave" in parts else _top(block, layout),
            albedo=np.where(np.isfinite(albedo), albedo, evaporation.ALBEDO),
            elevation=elevation,
        )
    return evaporation.priestley_taylor(net, temperature, elevation)


def _top(block: xr.Dataset, layout: Layout) -> Array:
    day = block[layout.time].dt.dayofyear.values
    return evaporation.extraterrestrial_radiation(day, latitudes(block, layout))


def latitudes(block: xr.Dataset, layout: Layout) -> Array:
    """Latitude of every cell in degrees, (cell,), in stack order.

    From a variable where there is one, else from projected coordinates and their coordinate
    reference system.
    """
    shape = {dim: block.sizes[dim] for dim in layout.space}
    if layout.latitude is not None:
        variable = block[layout.latitude].variable.set_dims(shape).transpose(*layout.space)
        return np.asarray(variable.values, dtype=np.float64).reshape(-1)
    found = geographic_positions(block, layout.space)
    if found is None:
        raise LayoutError(
            "the latitude of the cells is not known, and potential evaporation needs it. Add it: "
            'ds = ds.assign_coords(lat=(dims, values, {"standard_name": "latitude"})).'
        )
    return found[0]
