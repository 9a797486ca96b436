"""Recognition of forcings: which variable, or which several, give what the model wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..errors import LayoutError, XdplError
from .candidates import EVAPORATION, TEMPERATURE, candidates, narrow, new_role, several
from .context import Context
from .derivations import BY_METHOD, derived
from .magnitudes import Ranges
from .quantities import Declared, quantity_of
from .records import ForcingRole, Source

__all__ = ["Explicit", "converted", "describe", "recognise_forcing"]

Explicit = str | Sequence[str]
"""The variable that a user names for a forcing; two for a temperature."""


def recognise_forcing(
    ctx: Context,
    name: str,
    declared: Declared,
    explicit: Explicit | None = None,
    done: Mapping[str, ForcingRole] | None = None,
    prefer: str | None = None,
) -> ForcingRole:
    """Find how one forcing of the model is had from the Dataset.

    Parameters
    ----------
    ctx : Context
        The Dataset and its axes.
    name : str
        Name of the forcing in the model.
    declared : Forcing or ForcingRole
        Its units, standard name and usual names.
    explicit : str or (str, str), optional
        The variable to take, whatever its name; or daily maximum and minimum temperature.
    done : mapping of str to ForcingRole, optional
        Forcings recognised before: potential evaporation is computed from the same temperature.
    prefer : str, optional
        The method by which another Dataset had it, taken again where it can be.

    Raises
    ------
    LayoutError
        If nothing or too much fits, with what to do.
    """
    quantity = quantity_of(name, declared)
    if explicit is not None and not isinstance(explicit, str):
        return _named_extremes(ctx, name, declared, quantity, tuple(explicit))
    if explicit is not None:
        role = _direct(ctx, name, declared, quantity, explicit)
        return _with_fallback(ctx, role, done or {})
    if quantity == EVAPORATION and prefer in BY_METHOD:
        again = derived(ctx, name, declared, quantity, done or {}, [], prefer)
        if again is not None:
            return again
    found = narrow(ctx, candidates(ctx, name, declared), declared.units)
    if len(found) > 1:
        raise LayoutError(several(ctx, name, found))
    if len(found) == 1:
        role = _direct(ctx, name, declared, quantity, found[0])
        return _with_fallback(ctx, role, done or {})
    return _derived(ctx, name, declared, quantity, done or {})


def _named_extremes(
    ctx: Context, name: str, declared: Declared, quantity: str | None, given: tuple[str, ...]
) -> ForcingRole:
    if quantity != TEMPERATURE or len(given) != 2:
        raise LayoutError(
            f"forcings[{name!r}] is {given!r}. Give one variable; only a temperature may have "
            "two, its daily maximum and minimum."
        )
    found = {}
    for part, variable in zip(("maximum", "minimum"), given, strict=True):
        found[part] = _direct(ctx, name, declared, quantity, variable).sources["value"]
    return new_role(name, declared, quantity, "mean", found)


def _direct(
    ctx: Context, name: str, declared: Declared, quantity: str | None, variable: str
) -> ForcingRole:
    if variable in ctx.ds.data_vars and quantity == EVAPORATION and ctx.month_dimension(variable):
        monthly = {"climatology": ctx.monthly_source(variable, "mm day-1", EVAPORATION)}
        return new_role(name, declared, quantity, "climatology", monthly)
    if variable not in ctx.ds.data_vars:
        raise LayoutError(
            f"forcings[{name!r}] is {variable!r}, which is no data variable of the Dataset. "
            f"{ctx.suggest(variable)}It has {', '.join(map(str, ctx.ds.data_vars))}."
        )
    if ctx.ds[variable].dtype.kind not in "fiub":
        raise LayoutError(_not_numeric(ctx, name, variable))
    if ctx.time not in ctx.ds[variable].dims:
        raise LayoutError(
            f"forcings[{name!r}] is {variable!r}, which has no time dimension {ctx.time!r}. "
            f"Choose one of {', '.join(ctx.with_time())}."
        )
    source = ctx.source(variable, declared.units, quantity, ranges=Ranges.of(declared))
    return new_role(name, declared, quantity, "variable", {"value": source})


def _not_numeric(ctx: Context, name: str, variable: str) -> str:
    """Message about a variable that would be a forcing if it held numbers."""
    return (
        f'ds["{variable}"] is of type {ctx.ds[variable].dtype}, not numeric, so it can\'t be the '
        f'forcing {name!r}. Convert it: ds["{variable}"] = ds["{variable}"].astype(float), with '
        "NaN where it is missing."
    )


def _derived(
    ctx: Context,
    name: str,
    declared: Declared,
    quantity: str | None,
    done: Mapping[str, ForcingRole],
) -> ForcingRole:
    text = candidates(replace(ctx, kinds="OUSTb"), name, declared)
    if text:
        raise LayoutError(_not_numeric(ctx, name, text[0]))
    lacking: list[str] = []
    role = derived(ctx, name, declared, quantity, done, lacking)
    if role is not None:
        return role
    if lacking:
        raise LayoutError(
            f"the Dataset has no {name!r} and it can't be computed: {'; '.join(lacking)}. Add one "
            f'of these, or say which variable it is: forcings={{"{name}": "..."}}.'
        )
    standard = f"standard_name {declared.standard_name!r} or " if declared.standard_name else ""
    there = ", ".join(ctx.with_time()) or "none"
    usual = ", ".join(list(dict.fromkeys((name, *declared.names)))[:4])
    raise LayoutError(
        f"no variable was found for the forcing {name!r}: none along {ctx.time!r} has "
        f"{standard}a usual name ({usual}). Say which it is: "
        f'forcings={{"{name}": "..."}}. Variables along time: {there}.'
    )


def _with_fallback(ctx: Context, role: ForcingRole, done: Mapping[str, ForcingRole]) -> ForcingRole:
    """Let potential evaporation be computed where the variable has no value."""
    if role.quantity != EVAPORATION or role.method != "variable":
        return role
    try:
        fallback = derived(ctx, role.name, role, role.quantity, done, [])
    except XdplError:  # what the fallback lacks is no fault of the data
        fallback = None
    return ForcingRole(**{**vars(role), "fallback": fallback})


def describe(role: ForcingRole) -> str:
    """A sentence on where a forcing comes from."""
    names = [source.variable for source in role.sources.values()]
    if role.method == "variable":
        text = names[0] + converted(role.sources["value"])
    else:
        one = BY_METHOD[role.method]
        joined = (" and " if one.units is None else ", ").join(names)
        text = f"{one.label} {joined}"
        if one.units is None:
            text += converted(next(iter(role.sources.values())))
    if role.fallback is not None:
        text += f"; where missing, {describe(role.fallback).split(': ', 1)[1][:-1]}"
    return f"{role.name}: {text}."


def converted(source: Source) -> str:
    """The units of a variable, and how they were converted, in brackets."""
    if source.scale == 1.0 and source.offset == 0.0:
        return f" ({source.target})"
    by = "" if source.area is None else f" by the area {source.area}"
    return f" ({source.units} converted to {source.target}{by})"
