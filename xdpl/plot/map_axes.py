"""Where things are on the axes of a map, and how axes and units are labelled."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import RasterError
from ..spatial import crs_of, is_latitude, is_longitude
from ..spatial.axes import LATITUDE, LONGITUDE

__all__ = [
    "aspect",
    "axis_scale",
    "basin_positions",
    "edges",
    "place_along",
    "pretty",
    "shape_of",
    "stretch",
]


def shape_of(ds: xr.Dataset, space: tuple[Hashable, Hashable] | None) -> float:
    """Return height over width of the maps, kept within what looks well."""
    if space is None:
        return 0.6
    spans = [float(np.ptp(edges(ds, dim))) for dim in space]
    ratio = spans[0] * aspect(ds, space) / spans[1] if spans[1] else 1.0
    return float(np.clip(ratio, 0.4, 1.6))


def aspect(ds: xr.Dataset, space: tuple[Hashable, Hashable]) -> float:
    """Return how much longer a unit of y is drawn than one of x."""
    crs = crs_of(ds)
    if crs is None or not crs.is_geographic or space[0] not in ds.coords:
        return 1.0
    return stretch(ds[space[0]].values)


def stretch(latitude: NDArray[Any]) -> float:
    """Return how much longer a degree of latitude is than one of longitude."""
    middle = float(np.nanmean(latitude))
    return 1 / max(float(np.cos(np.radians(middle))), 0.2)


def place_along(ds: xr.Dataset | xr.DataArray, dim: Hashable) -> NDArray[np.float64]:
    """Return the centres of cells; numbers where there is no coordinate."""
    return ds[dim].values.astype(float) if dim in ds.coords else np.arange(ds.sizes[dim] + 0.0)


def edges(ds: xr.Dataset | xr.DataArray, dim: Hashable) -> NDArray[np.float64]:
    """Return the edges of cells, halfway between their centres."""
    centre = place_along(ds, dim)
    if centre.size == 1:
        return np.array([centre[0] - 0.5, centre[0] + 0.5])
    inner = (centre[1:] + centre[:-1]) / 2
    first, last = centre[0] - (inner[0] - centre[0]), centre[-1] + (centre[-1] - inner[-1])
    return np.concatenate([[first], inner, [last]])


def basin_positions(
    ds: xr.Dataset, basin: Hashable
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the longitudes and latitudes of basins."""
    latitude, longitude = (
        [n for n in [*ds.coords, *ds.data_vars] if ds[n].dims == (basin,) and fits(ds, n)]
        for fits in (is_latitude, is_longitude)
    )
    for found, what in ((longitude, LONGITUDE), (latitude, LATITUDE)):
        if not found:
            raise RasterError(
                f"basins can't be drawn without {what}. Add a coordinate with standard_name "
                f"{what!r}, or give geometries=, the outlines of the basins."
            )
    return ds[longitude[0]].values.astype(float), ds[latitude[0]].values.astype(float)


def pretty(units: Any) -> str:
    """Return units as they are printed: exponents raised, nothing for the unit 1."""
    if units is None or str(units) in ("", "1"):
        return "dimensionless" if units is not None else ""
    text = re.sub(r"(?<=[A-Za-z])(-?\d+)", r"$^{\1}$", str(units))
    return text.replace("degC", "°C").replace("percent", "%")


def axis_scale(ds: xr.Dataset, space: tuple[Hashable, Hashable]) -> float:
    """Return 1000 where metres are better read as kilometres."""
    metres = all(d in ds.coords and ds[d].attrs.get("units") in ("m", "metre") for d in space)
    return 1000.0 if metres and max(np.ptp(edges(ds, d)) for d in space) > 5000 else 1.0
