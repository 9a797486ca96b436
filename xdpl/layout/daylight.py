"""Shortwave radiation given as the mean over daylight, as Daymet and CAMELS give it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import xarray as xr

from ..errors import LayoutError, UnitsError, XdplError, warn
from ..spatial import geographic_positions
from ..units import conversion, convertible
from .context import Context
from .derive import latitudes
from .evaporation import extraterrestrial_radiation
from .quantities import QUANTITIES
from .records import ForcingRole, Layout, Source
from .sample import load, tiles
from .times import find_time

__all__ = ["DAY_LENGTH", "day_length", "with_day_length"]

DAY_LENGTH = "daylength"
"""Name of the source that holds the seconds of daylight."""

SECONDS_A_DAY = 86400.0
_SHORTWAVE = "shortwave radiation"
_NAMES = ("dayl", "daylength", "day_length", "daylight", "daylight_duration")
_WORDS = re.compile(r"day-?\s?light|day-?lit|sunlit|day-?time", re.IGNORECASE)
_MOST_ABOVE, _ANY_ABOVE = 0.05, 0.01
"""Share of days above the top of the atmosphere: more can't be errors of instruments."""
_DARK = 30.0
"""Radiation at the top of the atmosphere in W m-2 below which a day tells nothing."""
_TILES = 8


def with_day_length(ctx: Context, roles: Mapping[str, ForcingRole]) -> dict[str, ForcingRole]:
    """Roles whose radiation over daylight is multiplied by the share of the day that is light.

    A variable of the day length beside the radiation is used where its attributes say "daylight",
    or where it is above the radiation at the top of the atmosphere (Allen et al. 1998, eq. 21).
    Without the day length, a warning says the latter.

    Raises
    ------
    UnitsError
        If its attributes say "daylight", and no variable has the day length.
    """
    if abs(ctx.dt - 1.0) > 1e-6:
        return dict(roles)
    return {name: _corrected(ctx, role) for name, role in roles.items()}


def _corrected(ctx: Context, role: ForcingRole) -> ForcingRole:
    if role.fallback is not None:
        try:
            role = replace(role, fallback=_corrected(ctx, role.fallback))
        except XdplError:  # it only fills gaps of what is there
            role = replace(role, fallback=None)
    shortwave = [s for s in role.sources.values() if s.quantity == _SHORTWAVE]
    if len(shortwave) != 1:
        return role
    source = shortwave[0]
    length = _find_day_length(ctx)
    says = bool(_WORDS.search(_about(ctx.ds[source.variable])))
    above = _share_above(ctx, source)
    if length is not None and (says or above is None or above > _ANY_ABOVE):
        return replace(role, sources={**role.sources, DAY_LENGTH: length})
    if says:
        raise UnitsError(_over_daylight(ctx, source, above, says))
    if (above or 0.0) > _MOST_ABOVE:
        warn(_over_daylight(ctx, source, above, says))
    return role


def _about(array: xr.DataArray) -> str:
    keys = ("long_name", "description", "comment", "cell_methods", "standard_name", "units")
    return " ".join(str(array.attrs.get(key, "")) for key in keys)


def _over_daylight(ctx: Context, source: Source, above: float | None, says: bool) -> str:
    name = source.variable
    found = (
        f'ds["{name}"] is the mean over daylight, as its attributes say'
        if says
        else f'ds["{name}"] is above the radiation at the top of the atmosphere on '
        f"{100 * (above or 0):.0f} % of days, as a mean over daylight is (Daymet, CAMELS)"
    )
    known = above is not None
    remedy = (
        'Give the day length in seconds: ds["dayl"] = xdpl.layout.day_length(ds).'
        if known
        else 'Give the day length in seconds as ds["dayl"], or latitudes of the cells.'
    )
    other = "" if says else f" If it is the mean of 24 hours, correct its units ({source.units!r})."
    return f"{found}; the mean of 24 hours is wanted. {remedy}{other}"


def _find_day_length(ctx: Context) -> Source | None:
    """The variable with the seconds of daylight, if there is one in units of time."""
    for name, array in ctx.ds.data_vars.items():
        dims = set(map(str, array.dims))
        if str(name).lower() not in _NAMES or not dims <= {ctx.time, *ctx.space}:
            continue
        if ctx.time not in dims or array.dtype.kind not in "fiu":
            continue
        units = str(array.attrs.get("units", "s"))
        for target in ("s", "s day-1"):
            if convertible(units, target):
                scale, offset = conversion(units, target)
                return Source(str(name), units, scale, offset, "s")
    return None


def _share_above(ctx: Context, source: Source) -> float | None:
    """Share of days with more than comes from the sun, in samples; None without latitudes."""
    if ctx.time not in ctx.ds[source.variable].dims:
        return None
    array = ctx.ds[source.variable].isel({ctx.time: ctx.window})
    scale, offset = conversion(source.target, QUANTITIES[_SHORTWAVE].units)
    place = Layout(ctx.time, ctx.space, ctx.dt, latitude=ctx.latitude)
    place = replace(place, grid_mapping=ctx.grid_mapping)
    above = days = 0
    for tile in itertools.islice(tiles(array.variable, ctx.time), _TILES):
        here = {dim: tile[dim] for dim in map(str, array.dims) if dim != ctx.time}
        cells = ctx.ds.isel(here)
        try:
            latitude = latitudes(cells, place)
        except LayoutError:
            return None
        part = array.isel(tile)
        top = extraterrestrial_radiation(part[ctx.time].dt.dayofyear.values, latitude)
        spread = {ctx.time: part.sizes[ctx.time], **{d: cells.sizes[d] for d in ctx.space}}
        raw = xr.Variable(part.dims, load(part.variable, source.variable)).set_dims(spread)
        values = raw.transpose(ctx.time, *ctx.space).values.reshape(top.shape)
        values = ((values * source.scale + source.offset) * scale + offset).astype(np.float64)
        light = np.isfinite(values) & np.isfinite(top) & (top > _DARK)
        days += int(light.sum())
        above += int((values[light] > top[light]).sum())
    return above / days if days else 0.0


def day_length(ds: xr.Dataset) -> xr.DataArray:
    """Seconds of daylight of each day and cell, from the latitude.

    Parameters
    ----------
    ds : Dataset
        With times, and latitudes or projected axes with their coordinate reference system.

    Returns
    -------
    DataArray (time, ...)
        Over the dimensions of the latitude, in s. The sun's centre is at the horizon at sunrise
        and sunset (Allen et al. 1998, FAO Irrigation and Drainage Paper 56, eqs. 24, 25 and 34).

    Raises
    ------
    UnitsError
        If no latitude is known.

    Examples
    --------
    >>> import pandas as pd
    >>> time = pd.date_range("2001-03-21", periods=2)
    >>> ds = xr.Dataset(coords={"time": time, "lat": ("lat", [0.0], {"units": "degrees_north"})})
    >>> (day_length(ds) / 3600).round(1).values.ravel().tolist()
    [12.0, 12.0]
    """
    from .axes import find_latitude

    time = find_time(ds)
    space = [dim for dim in ds.dims if dim != time]
    name = find_latitude(ds, space)
    if name is not None:
        latitude = ds[name].reset_coords(drop=True)
    else:
        plane = [dim for dim in space if dim in ds.coords]
        found = geographic_positions(ds, plane)
        if found is None:
            raise UnitsError(
                "the day length needs the latitude of the cells, and the Dataset has none. Add it: "
                'ds = ds.assign_coords(lat=(dims, values, {"standard_name": "latitude"})).'
            )
        shape = tuple(ds.sizes[dim] for dim in plane)
        latitude = xr.DataArray(found[0].reshape(shape), dims=plane)
    angle = 2 * np.pi * ds[time].dt.dayofyear / 365
    declination = 0.409 * np.sin(angle - 1.39)
    cosine = -np.tan(np.deg2rad(latitude)) * np.tan(declination)
    sunset = np.arccos(cosine.clip(-1.0, 1.0))
    seconds = (SECONDS_A_DAY / np.pi * sunset).transpose(time, ...)
    result: xr.DataArray = seconds.assign_coords(ds[time].coords)
    result.attrs = {"units": "s", "long_name": "duration of daylight"}
    return result.rename("dayl")
