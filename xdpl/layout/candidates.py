"""Candidates for a role: by standard name, else by usual names; daily extremes kept apart."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import LayoutError
from ..units import convertible
from .context import Context
from .inventory import Entry
from .magnitudes import Ranges
from .quantities import QUANTITIES, Declared, quantity_of
from .records import ForcingRole, Source

__all__ = [
    "EVAPORATION",
    "TEMPERATURE",
    "candidates",
    "drop_one",
    "extreme",
    "extremes",
    "mean_temperature",
    "narrow",
    "new_role",
    "several",
]

TEMPERATURE = "air temperature"
EVAPORATION = "potential evaporation"
_EXTREMES = ("maximum", "minimum")


def candidates(ctx: Context, name: str, declared: Declared) -> list[str]:
    """Variables that could be a forcing: by standard name if any is, else by usual names."""
    quantity = quantity_of(name, declared)
    known = QUANTITIES[quantity] if quantity else None
    standard = [declared.standard_name] if declared.standard_name else []
    found = ctx.by_standard_name([*standard, *(known.standard_names if known else ())])
    if quantity == TEMPERATURE:  # an extreme is no mean; the mean of both comes in last
        found = [v for v in found if extreme(ctx.inventory.entries[v]) is None]
    usual = [name, *declared.names, *(known.names if known else ())]
    if quantity == "precipitation":  # rain alone is no precipitation: `_rain_and_snow` adds snow
        usual = [n for n in usual if n.lower() not in QUANTITIES["rainfall"].names]
    return found or ctx.by_name(usual)


def narrow(ctx: Context, found: list[str], units: str) -> list[str]:
    """Of several candidates, those whose units and dimensions can be meant."""
    if len(found) < 2:
        return found
    dims = {name: set(ctx.ds[name].dims) for name in found}
    # air temperature at many levels besides that near the ground
    flat = [
        name for name in found if not any({ctx.time} < dims[other] < dims[name] for other in found)
    ]
    given = {name: ctx.inventory.entries[name].units for name in flat}
    fitting = [
        name
        for name, u in given.items()
        if u is None or convertible(u, units) or convertible(u, units, step=ctx.dt)
    ]
    return fitting or flat


def several(ctx: Context, name: str, found: list[str], remedy: str | None = None) -> str:
    """Message about several variables for one role, which lists them."""
    listed = "; ".join(
        f"{v} ({ctx.ds[v].attrs.get('long_name', ctx.ds[v].attrs.get('standard_name', '?'))})"
        for v in found
    )
    remedy = remedy or f'Say which: forcings={{"{name}": "{found[0]}"}}.'
    return f"several variables could be {name!r}: {listed}. {remedy}"


def drop_one(found: list[str]) -> str:
    """Remedy where the variable has no name of its own among the model's forcings."""
    return f'Keep one: ds = ds.drop_vars("{found[-1]}").'


def extreme(entry: Entry) -> str | None:
    """Whether a variable is a "maximum" or a "minimum", as cell methods or the name tell."""
    for part in _EXTREMES:
        if f":{part}" in entry.cell_methods:
            return part
        names = QUANTITIES[f"{part} temperature"].names
        if "mean" not in entry.cell_methods and entry.name.lower() in names:
            return part
    return None


def extremes(ctx: Context) -> dict[str, str] | None:
    """Variables of daily maximum and minimum temperature, if there is one of each."""
    found = ctx.by_standard_name(QUANTITIES[TEMPERATURE].standard_names)
    parts = {}
    for part in _EXTREMES:
        these = [v for v in found if extreme(ctx.inventory.entries[v]) == part]
        these = these or ctx.by_name(QUANTITIES[f"{part} temperature"].names)
        if len(these) > 1:
            raise LayoutError(several(ctx, f"{part} temperature", these, drop_one(these)))
        if not these:
            return None
        parts[part] = these[0]
    return parts


def mean_temperature(ctx: Context) -> list[str]:
    """Variables of mean air temperature."""
    found = ctx.by_standard_name(QUANTITIES[TEMPERATURE].standard_names)
    found = [v for v in found if extreme(ctx.inventory.entries[v]) is None]
    return found or ctx.by_name(QUANTITIES[TEMPERATURE].names)


def new_role(
    name: str, declared: Declared, quantity: str | None, method: str, sources: Mapping[str, Source]
) -> ForcingRole:
    """The role of a forcing as the model, or the Layout of a fit, declares it."""
    return ForcingRole(
        name,
        declared.units,
        method,
        dict(sources),
        quantity,
        declared.standard_name,
        tuple(declared.names),
        valid_range=Ranges.of(declared).valid,
        typical_range=Ranges.of(declared).typical,
    )
