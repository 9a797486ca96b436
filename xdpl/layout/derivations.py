"""Forcings that are derived from other variables: every way to do it, in order of preference.

A derivation is one object: what it needs of a Dataset, what it lacks, and how it computes. Those of
potential evaporation stand in `potential`; a new one is a class and an entry in `DERIVATIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from ..errors import LayoutError
from .candidates import TEMPERATURE, drop_one, extremes, new_role, several
from .context import Context
from .derive import Array, Derivation
from .potential import Climatology, Hargreaves, Oudin, PriestleyTaylor
from .quantities import Declared
from .records import ForcingRole, Layout, Source

__all__ = ["DERIVATIONS", "BY_METHOD", "derive", "derived"]


class MeanOfExtremes(Derivation):
    """Daily mean temperature as the mean of the daily maximum and minimum."""

    method, quantity, label = "mean", TEMPERATURE, "mean of"

    def find(
        self, ctx: Context, declared: Declared, done: Mapping[str, ForcingRole], lacking: list[str]
    ) -> dict[str, Source] | None:
        """Sources: daily maximum and minimum, in the units of the model."""
        found = extremes(ctx)
        return None if found is None else ctx.sources(found, declared.units, TEMPERATURE)

    def compute(
        self, block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
    ) -> Array:
        """Mean of both, (time, cell)."""
        return (parts["maximum"] + parts["minimum"]) / 2


class RainAndSnow(Derivation):
    """Precipitation as the sum of rainfall and snowfall."""

    method, quantity, label = "sum", "precipitation", "sum of"

    def find(
        self, ctx: Context, declared: Declared, done: Mapping[str, ForcingRole], lacking: list[str]
    ) -> dict[str, Source] | None:
        """Sources: rain and snow; rain alone where there is no snow (then as it is)."""
        found: dict[str, str] = {}
        for part, key in (("rain", "rainfall"), ("snow", "snowfall")):
            these = ctx.of_quantity(key)
            if len(these) > 1:
                raise LayoutError(several(ctx, key, these, drop_one(these)))
            if these:
                found[part] = these[0]
        if "rain" not in found:
            return None
        if "snow" not in found:
            return {"value": ctx.source(found["rain"], declared.units, "precipitation")}
        keys = {"rain": "rainfall", "snow": "snowfall"}
        return ctx.sources(found, declared.units, keys)

    def compute(
        self, block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
    ) -> Array:
        """Sum of both, (time, cell)."""
        return parts["rain"] + parts["snow"]


DERIVATIONS: tuple[Derivation, ...] = (
    MeanOfExtremes(),
    RainAndSnow(),
    PriestleyTaylor(),
    Hargreaves(),
    Oudin(),
    Climatology(),
)
"""Of two for one quantity, the first is taken that has all it needs."""

BY_METHOD: Mapping[str, Derivation] = {one.method: one for one in DERIVATIONS}


def derived(
    ctx: Context,
    name: str,
    declared: Declared,
    quantity: str | None,
    done: Mapping[str, ForcingRole],
    lacking: list[str],
    only: str | None = None,
) -> ForcingRole | None:
    """The role of a forcing that is computed from others; what is missing goes to ``lacking``.

    ``only`` names the one method to try.
    """
    for one in DERIVATIONS:
        if one.quantity != quantity or (only is not None and one.method != only):
            continue
        sources = one.find(ctx, declared, done, lacking)
        if sources is not None:
            method = "variable" if set(sources) == {"value"} else one.method
            return new_role(name, declared, quantity, method, sources)
    return None


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
    parts : mapping of str to array (time, cell), (cell,) or (month, cell)
        By the part they play, in the units of the sources' targets.
    """
    if role.method == "variable":
        return parts["value"]
    one = BY_METHOD[role.method]
    values = one.compute(block, layout, role, parts)
    scale, offset = one.conversion_to(role.units)
    return values if (scale, offset) == (1.0, 0.0) else values * scale + offset
