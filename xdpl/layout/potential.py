"""Potential evaporation from the other variables of a Dataset: four derivations, the best first."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import xarray as xr

from ..errors import LayoutError, XdplError
from . import evaporation
from .candidates import EVAPORATION, TEMPERATURE, drop_one, extremes, mean_temperature, several
from .context import Context
from .derive import Array, Derivation, top_of_atmosphere
from .quantities import Declared
from .records import ForcingRole, Layout, Source

__all__ = ["Climatology", "Hargreaves", "Oudin", "PriestleyTaylor"]

MONTH_DAYS = (31.0, 28.25, 31.0, 30.0, 31.0, 30.0, 31.0, 31.0, 30.0, 31.0, 30.0, 31.0)
_PER_MONTH = re.compile(r"(?:/|\bper\b)\s*mon|\bmon(?:th)?s?\s*(?:\^|\*\*)?\s*-1", re.I)


class PriestleyTaylor(Derivation):
    """Potential evaporation from radiation and temperature."""

    method, quantity, label = "priestley-taylor", EVAPORATION, "computed by Priestley-Taylor from"
    units = "mm day-1"

    def find(
        self, ctx: Context, declared: Declared, done: Mapping[str, ForcingRole], lacking: list[str]
    ) -> dict[str, Source] | None:
        """Sources: net, or shortwave and longwave radiation; temperature; albedo, elevation."""
        temperature = _temperature_parts(ctx, done)
        found: dict[str, str] = {}
        for part in ("net", "shortwave", "longwave"):
            these = ctx.of_quantity(f"{part} radiation")
            if len(these) > 1:
                raise LayoutError(several(ctx, f"{part} radiation", these, drop_one(these)))
            if these:
                found[part] = these[0]
        if "net" in found:
            found = {"net": found["net"]}
        needs = []
        if "net" not in found and "shortwave" not in found:
            needs.append("downwelling shortwave radiation (rsds, with rlds if there is)")
        elif "net" not in found and "longwave" not in found and not (_sun(ctx) and ctx.daily):
            needs.append("downwelling longwave radiation (rlds), or latitude and a daily step")
        if temperature is None:
            needs.append("air temperature")
        if needs or temperature is None:
            lacking.append("Priestley-Taylor lacks " + " and ".join(needs))
            return None
        sources = ctx.sources(found, "W m-2", {part: f"{part} radiation" for part in found})
        sources |= ctx.sources(temperature, "degC", TEMPERATURE)
        return sources | _surface(ctx, "net" not in found)

    def compute(
        self, block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
    ) -> Array:
        """Potential evaporation in mm day-1, (time, cell)."""
        temperature = _temperature(parts)
        elevation = np.nan_to_num(parts["elevation"]) if "elevation" in parts else 0.0
        if "net" in parts:
            net = parts["net"]
        else:
            albedo = parts.get("albedo", np.array([evaporation.ALBEDO]))
            top = None if "longwave" in parts else top_of_atmosphere(block, layout)
            net = evaporation.net_radiation(
                parts["shortwave"],
                temperature,
                longwave=parts.get("longwave"),
                top=top,
                albedo=np.where(np.isfinite(albedo), albedo, evaporation.ALBEDO),
                elevation=elevation,
            )
        return evaporation.priestley_taylor(net, temperature, elevation)


class Hargreaves(Derivation):
    """Potential evaporation from daily extremes of temperature and the latitude."""

    method, quantity, label = "hargreaves", EVAPORATION, "computed by Hargreaves from"
    units = "mm day-1"

    def find(
        self, ctx: Context, declared: Declared, done: Mapping[str, ForcingRole], lacking: list[str]
    ) -> dict[str, Source] | None:
        """Sources: daily maximum and minimum temperature."""
        parts = extremes(ctx)
        needs = []
        if parts is None:
            needs.append("daily maximum and minimum temperature (tasmax, tasmin)")
        needs += _sun_and_day(ctx)
        if needs or parts is None:
            lacking.append("Hargreaves lacks " + " and ".join(needs))
            return None
        return ctx.sources(parts, "degC", TEMPERATURE)

    def compute(
        self, block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
    ) -> Array:
        """Potential evaporation in mm day-1, (time, cell)."""
        high = np.maximum(parts["maximum"], parts["minimum"])
        low = np.minimum(parts["maximum"], parts["minimum"])
        return evaporation.hargreaves(high, low, top_of_atmosphere(block, layout))


class Oudin(Derivation):
    """Potential evaporation from daily mean temperature and the latitude alone."""

    method, quantity, label = "oudin", EVAPORATION, "computed by Oudin from"
    units = "mm day-1"

    def find(
        self, ctx: Context, declared: Declared, done: Mapping[str, ForcingRole], lacking: list[str]
    ) -> dict[str, Source] | None:
        """Sources: the temperature."""
        parts = _temperature_parts(ctx, done)
        needs = ["daily mean temperature (tas)"] if parts is None else []
        needs += _sun_and_day(ctx)
        if needs or parts is None:
            lacking.append("Oudin lacks " + " and ".join(needs))
            return None
        return ctx.sources(parts, "degC", TEMPERATURE)

    def compute(
        self, block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
    ) -> Array:
        """Potential evaporation in mm day-1, (time, cell)."""
        return evaporation.oudin(_temperature(parts), top_of_atmosphere(block, layout))


class Climatology(Derivation):
    """Potential evaporation from the mean of each calendar month: the same in every year.

    Last in preference: it knows neither warm years nor cold days.
    """

    method, quantity, label = "climatology", EVAPORATION, "of each calendar month from"
    units = "mm day-1"

    def find(
        self, ctx: Context, declared: Declared, done: Mapping[str, ForcingRole], lacking: list[str]
    ) -> dict[str, Source] | None:
        """Sources: a variable over the cells and twelve months."""
        found = ctx.climatologies(EVAPORATION, declared)
        if len(found) > 1:
            raise LayoutError(several(ctx, f"climatology of {EVAPORATION}", found, drop_one(found)))
        if not found:
            lacking.append("there is no climatology (basin, month) either")
            return None
        return {"climatology": ctx.monthly_source(found[0], "mm day-1", EVAPORATION)}

    def compute(
        self, block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
    ) -> Array:
        """Values of each step's month in mm day-1, (time, cell)."""
        monthly = parts["climatology"]
        if _PER_MONTH.search(role.sources["climatology"].units):  # of that month, not of a mean one
            monthly = monthly * (365.25 / 12 / np.array(MONTH_DAYS))[:, None]
        return np.asarray(monthly[block[layout.time].dt.month.values - 1])


def _temperature(parts: Mapping[str, Array]) -> Array:
    if "temperature" in parts:
        return parts["temperature"]
    return (parts["maximum"] + parts["minimum"]) / 2


def _temperature_parts(ctx: Context, done: Mapping[str, ForcingRole]) -> dict[str, str] | None:
    """Variables of the mean temperature: the model's own where it has one."""
    for role in done.values():
        if role.quantity == TEMPERATURE:
            part = {"value": "temperature"}
            return {part.get(key, key): s.variable for key, s in role.sources.items()}
    found = mean_temperature(ctx)
    if len(found) > 1:
        raise LayoutError(several(ctx, "temperature", found, drop_one(found)))
    return {"temperature": found[0]} if found else extremes(ctx)


def _surface(ctx: Context, with_albedo: bool) -> dict[str, Source]:
    """Albedo and elevation, where the Dataset has them in units that can be used."""
    sources = {}
    for part, units in (("elevation", "m"), ("albedo", "1")):
        variable = ctx.static(part) if part == "elevation" or with_albedo else None
        if variable is not None:
            try:
                sources[part] = ctx.source(variable, units)
            except XdplError:  # without units it may be anything; the default is safer
                continue
    return sources


def _sun(ctx: Context) -> bool:
    """Whether the latitude of the cells is known, and so the sun above them."""
    return ctx.latitude is not None or (ctx.grid_mapping is not None and len(ctx.space) == 2)


def _sun_and_day(ctx: Context) -> list[str]:
    needs = [] if _sun(ctx) else ["latitude (a coordinate with standard_name latitude)"]
    return needs if ctx.daily else [*needs, f"a daily step (it is {ctx.dt:g} days)"]
