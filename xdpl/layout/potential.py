"""How potential evaporation can be computed from the other variables of a Dataset."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import LayoutError, XdplError
from .candidates import EVAPORATION, TEMPERATURE, drop_one, extreme, extremes, new_role, several
from .context import Context
from .quantities import QUANTITIES, Declared
from .records import ForcingRole, Source

__all__ = ["METHODS", "computed"]

METHODS = {"priestley-taylor": "Priestley-Taylor", "hargreaves": "Hargreaves"}
"""Methods of computing it and what they are called."""


def computed(
    ctx: Context,
    name: str,
    declared: Declared,
    done: Mapping[str, ForcingRole],
    lacking: list[str],
) -> ForcingRole | None:
    """Potential evaporation from other variables; what is missing for it goes to ``lacking``."""
    temperature = _temperature_parts(ctx, done)
    sources = _radiation(ctx, temperature, lacking)
    if sources is not None:
        return new_role(name, declared, EVAPORATION, "priestley-taylor", sources)
    parts = extremes(ctx)
    needs = []
    if parts is None:
        needs.append("daily maximum and minimum temperature (tasmax, tasmin)")
    if not _has_latitude(ctx):
        needs.append("latitude (a coordinate with standard_name latitude)")
    if abs(ctx.dt - 1.0) > 1e-6:
        needs.append(f"a daily step (it is {ctx.dt:g} days)")
    if needs or parts is None:
        lacking.append("Hargreaves lacks " + " and ".join(needs))
        return None
    found = {part: ctx.source(v, "degC", TEMPERATURE) for part, v in parts.items()}
    return new_role(name, declared, EVAPORATION, "hargreaves", found)


def _temperature_parts(ctx: Context, done: Mapping[str, ForcingRole]) -> dict[str, str] | None:
    """Variables of the mean temperature: the model's own where it has one."""
    for role in done.values():
        if role.quantity == TEMPERATURE:
            part = {"value": "temperature"}
            return {part.get(key, key): s.variable for key, s in role.sources.items()}
    found = ctx.by_standard_name(QUANTITIES[TEMPERATURE].standard_names)
    found = [v for v in found if extreme(ctx.ds[v]) is None]
    found = found or ctx.by_name(QUANTITIES[TEMPERATURE].names)
    if len(found) > 1:
        raise LayoutError(several(ctx, "temperature", found, drop_one(found)))
    return {"temperature": found[0]} if found else extremes(ctx)


def _radiation(
    ctx: Context, temperature: dict[str, str] | None, lacking: list[str]
) -> dict[str, Source] | None:
    """Sources of Priestley-Taylor; what is missing for it goes to ``lacking``."""
    found: dict[str, str] = {}
    for part in ("net", "shortwave", "longwave"):
        known = QUANTITIES[f"{part} radiation"]
        these = ctx.by_standard_name(known.standard_names) or ctx.by_name(known.names)
        if len(these) > 1:
            raise LayoutError(several(ctx, f"{part} radiation", these, drop_one(these)))
        if these:
            found[part] = these[0]
    if "net" in found:
        found = {"net": found["net"]}
    needs = []
    if "net" not in found and "shortwave" not in found:
        needs.append("downwelling shortwave radiation (rsds, with rlds if there is)")
    elif "net" not in found and "longwave" not in found and not _has_top(ctx):
        needs.append("downwelling longwave radiation (rlds), or latitude and a daily step")
    if temperature is None:
        needs.append("air temperature")
    if needs or temperature is None:
        lacking.append("Priestley-Taylor lacks " + " and ".join(needs))
        return None
    sources = {k: ctx.source(v, "W m-2", f"{k} radiation") for k, v in found.items()}
    sources |= {k: ctx.source(v, "degC", TEMPERATURE) for k, v in temperature.items()}
    return sources | _surface(ctx, "net" not in found)


def _surface(ctx: Context, with_albedo: bool) -> dict[str, Source]:
    """Albedo and elevation, where the Dataset has them in units that can be used."""
    sources = {}
    wanted: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]
    wanted = {"elevation": ("m", ("surface_altitude",), ("elevation", "elev", "altitude", "dem"))}
    if with_albedo:
        # by standard name alone: in some files, "albedo" is the scattering albedo of microwaves
        wanted["albedo"] = ("1", ("surface_albedo",), ())
    for part, (units, standard_names, names) in wanted.items():
        variable = ctx.static(standard_names, names)
        if variable is not None:
            try:
                sources[part] = ctx.source(variable, units)
            except XdplError:  # without units it may be anything; the default is safer
                continue
    return sources


def _has_latitude(ctx: Context) -> bool:
    return ctx.latitude is not None or (ctx.grid_mapping is not None and len(ctx.space) == 2)


def _has_top(ctx: Context) -> bool:
    return _has_latitude(ctx) and abs(ctx.dt - 1.0) <= 1e-6
