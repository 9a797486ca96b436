"""Recognition of forcings: which variable, or which several, give what the model wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import LayoutError, XdplError
from ..units import convertible
from .context import Context
from .quantities import QUANTITIES, Declared, quantity_of
from .records import ForcingRole, Source

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["candidates", "describe", "recognise_forcing"]

_MAXIMA = ("tasmax", "tmax", "t_max", "tx", "mx2t", "t2m_max", "temperature_max", "tairmax")
_MINIMA = ("tasmin", "tmin", "t_min", "tn", "mn2t", "t2m_min", "temperature_min", "tairmin")
_TEMPERATURE = "air temperature"
_EVAPORATION = "potential evaporation"
Explicit = str | Sequence[str]
"""The variable that a user names for a forcing; two for a temperature."""
METHODS = {"priestley-taylor": "Priestley-Taylor", "hargreaves": "Hargreaves"}


def candidates(ctx: Context, name: str, declared: Declared) -> list[str]:
    """Variables that could be a forcing: by standard name if any is, else by usual names."""
    quantity = quantity_of(name, declared)
    known = QUANTITIES[quantity] if quantity else None
    standard = [declared.standard_name] if declared.standard_name else []
    found = ctx.by_standard_name([*standard, *(known.standard_names if known else ())])
    if quantity == _TEMPERATURE and found:
        # extremes are no means; where there are only extremes, `_temperature` takes the mean
        return [v for v in found if _extreme(ctx.ds[v]) is None]
    usual = [name, *declared.names, *(known.names if known else ())]
    if quantity == "precipitation":  # rain alone is no precipitation: `_rain_and_snow` adds snow
        usual = [n for n in usual if n.lower() not in QUANTITIES["rainfall"].names]
    return found or ctx.by_name(usual)


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
    if quantity == _EVAPORATION and prefer in METHODS:
        computed = _computed(ctx, name, declared, done or {}, [])
        if computed is not None:
            return computed
    found = _narrow(ctx, candidates(ctx, name, declared), declared.units)
    if len(found) > 1:
        raise LayoutError(_several(ctx, name, found))
    if len(found) == 1:
        role = _direct(ctx, name, declared, quantity, found[0])
        return _with_fallback(ctx, role, done or {})
    return _derived(ctx, name, declared, quantity, done or {})


def _narrow(ctx: Context, found: list[str], units: str) -> list[str]:
    """Of several candidates, those whose units and dimensions can be meant."""
    if len(found) < 2:
        return found
    dims = {name: set(ctx.ds[name].dims) for name in found}
    # air temperature at many levels besides that near the ground
    flat = [
        name for name in found if not any({ctx.time} < dims[other] < dims[name] for other in found)
    ]
    given = {name: ctx.ds[name].attrs.get("units") for name in flat}
    fitting = [
        name
        for name, u in given.items()
        if u is None or convertible(u, units) or convertible(u, units, step=ctx.dt)
    ]
    return fitting or flat


def _role(
    name: str, declared: Declared, quantity: str | None, method: str, sources: Mapping[str, Source]
) -> ForcingRole:
    return ForcingRole(
        name,
        declared.units,
        method,
        dict(sources),
        quantity,
        declared.standard_name,
        tuple(declared.names),
    )


def _named_extremes(
    ctx: Context, name: str, declared: Declared, quantity: str | None, given: tuple[str, ...]
) -> ForcingRole:
    if quantity != _TEMPERATURE or len(given) != 2:
        raise LayoutError(
            f"forcings[{name!r}] is {given!r}. Give one variable; only a temperature may have "
            "two, its daily maximum and minimum."
        )
    found = {}
    for part, variable in zip(("maximum", "minimum"), given, strict=True):
        found[part] = _direct(ctx, name, declared, quantity, variable).sources["value"]
    return _role(name, declared, quantity, "mean", found)


def _direct(
    ctx: Context, name: str, declared: Declared, quantity: str | None, variable: str
) -> ForcingRole:
    if variable not in ctx.ds.data_vars:
        raise LayoutError(
            f"forcings[{name!r}] is {variable!r}, which is no data variable of the Dataset. "
            f"{ctx.suggest(variable)}It has {', '.join(map(str, ctx.ds.data_vars))}."
        )
    if ctx.time not in ctx.ds[variable].dims:
        raise LayoutError(
            f"forcings[{name!r}] is {variable!r}, which has no time dimension {ctx.time!r}. "
            f"Choose one of {', '.join(ctx.with_time(map(str, ctx.ds.data_vars)))}."
        )
    source = ctx.source(variable, declared.units, quantity)
    return _role(name, declared, quantity, "variable", {"value": source})


def _several(ctx: Context, name: str, found: list[str], remedy: str | None = None) -> str:
    listed = "; ".join(
        f"{v} ({ctx.ds[v].attrs.get('long_name', ctx.ds[v].attrs.get('standard_name', '?'))})"
        for v in found
    )
    remedy = remedy or f'Say which: forcings={{"{name}": "{found[0]}"}}.'
    return f"several variables could be {name!r}: {listed}. {remedy}"


def _drop(found: list[str]) -> str:
    """Remedy where the variable has no name of its own among the model's forcings."""
    return f'Keep one: ds = ds.drop_vars("{found[-1]}").'


def _derived(
    ctx: Context,
    name: str,
    declared: Declared,
    quantity: str | None,
    done: Mapping[str, ForcingRole],
) -> ForcingRole:
    lacking: list[str] = []
    role = None
    if quantity == _TEMPERATURE:
        role = _mean_temperature(ctx, name, declared)
    elif quantity == "precipitation":
        role = _rain_and_snow(ctx, name, declared)
    elif quantity == _EVAPORATION:
        role = _computed(ctx, name, declared, done, lacking)
    if role is not None:
        return role
    if lacking:
        raise LayoutError(
            f"the Dataset has no {name!r} and it can't be computed: {'; '.join(lacking)}. Add one "
            f'of these, or say which variable it is: forcings={{"{name}": "..."}}.'
        )
    standard = f"standard_name {declared.standard_name!r} or " if declared.standard_name else ""
    there = ", ".join(ctx.with_time(map(str, ctx.ds.data_vars))) or "none"
    raise LayoutError(
        f"no variable was found for the forcing {name!r}: none along {ctx.time!r} has "
        f"{standard}a usual name ({', '.join((name, *declared.names)[:4])}). Say which it is: "
        f'forcings={{"{name}": "..."}}. Variables along time: {there}.'
    )


def _extreme(array: xr.DataArray) -> str | None:
    """Whether a variable is a "maximum" or a "minimum", as cell methods or the name tell."""
    methods = str(array.attrs.get("cell_methods", "")).replace(" ", "")
    for part, names in (("maximum", _MAXIMA), ("minimum", _MINIMA)):
        if f":{part}" in methods:
            return part
        if "mean" not in methods and str(array.name).lower() in names:
            return part
    return None


def _extremes(ctx: Context) -> dict[str, str] | None:
    """Variables of daily maximum and minimum temperature, if there is one of each."""
    found = ctx.by_standard_name(QUANTITIES[_TEMPERATURE].standard_names)
    parts = {}
    for part, names in (("maximum", _MAXIMA), ("minimum", _MINIMA)):
        these = [v for v in found if _extreme(ctx.ds[v]) == part] or ctx.by_name(names)
        if len(these) > 1:
            raise LayoutError(_several(ctx, f"{part} temperature", these, _drop(these)))
        if not these:
            return None
        parts[part] = these[0]
    return parts


def _mean_temperature(ctx: Context, name: str, declared: Declared) -> ForcingRole | None:
    parts = _extremes(ctx)
    if parts is None:
        return None
    sources = {k: ctx.source(v, declared.units, _TEMPERATURE) for k, v in parts.items()}
    return _role(name, declared, _TEMPERATURE, "mean", sources)


def _rain_and_snow(ctx: Context, name: str, declared: Declared) -> ForcingRole | None:
    found = {}
    for part, key in (("rain", "rainfall"), ("snow", "snowfall")):
        known = QUANTITIES[key]
        these = ctx.by_standard_name(known.standard_names) or ctx.by_name(known.names)
        if len(these) > 1:
            raise LayoutError(_several(ctx, key, these, _drop(these)))
        if these:
            found[part] = these[0]
    if "rain" not in found:
        return None
    if "snow" not in found:
        return _direct(ctx, name, declared, "precipitation", found["rain"])
    sources = {
        part: ctx.source(v, declared.units, "rainfall" if part == "rain" else "snowfall")
        for part, v in found.items()
    }
    return _role(name, declared, "precipitation", "sum", sources)


def _with_fallback(ctx: Context, role: ForcingRole, done: Mapping[str, ForcingRole]) -> ForcingRole:
    """Let potential evaporation be computed where the variable has no value."""
    if role.quantity != _EVAPORATION:
        return role
    try:
        fallback = _computed(ctx, role.name, role, done, [])
    except XdplError:  # what the fallback lacks is no fault of the data
        fallback = None
    return ForcingRole(**{**vars(role), "fallback": fallback})


def _computed(
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
        return _role(name, declared, _EVAPORATION, "priestley-taylor", sources)
    parts = _extremes(ctx)
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
    found = {part: ctx.source(v, "degC", _TEMPERATURE) for part, v in parts.items()}
    return _role(name, declared, _EVAPORATION, "hargreaves", found)


def _temperature_parts(ctx: Context, done: Mapping[str, ForcingRole]) -> dict[str, str] | None:
    """Variables of the mean temperature: the model's own where it has one."""
    for role in done.values():
        if role.quantity == _TEMPERATURE:
            part = {"value": "temperature"}
            return {part.get(key, key): s.variable for key, s in role.sources.items()}
    found = ctx.by_standard_name(QUANTITIES[_TEMPERATURE].standard_names)
    found = [v for v in found if _extreme(ctx.ds[v]) is None]
    found = found or ctx.by_name(QUANTITIES[_TEMPERATURE].names)
    if len(found) > 1:
        raise LayoutError(_several(ctx, "temperature", found, _drop(found)))
    return {"temperature": found[0]} if found else _extremes(ctx)


def _radiation(
    ctx: Context, temperature: dict[str, str] | None, lacking: list[str]
) -> dict[str, Source] | None:
    """Sources of Priestley-Taylor; what is missing for it goes to ``lacking``."""
    found: dict[str, str] = {}
    for part in ("net", "shortwave", "longwave"):
        known = QUANTITIES[f"{part} radiation"]
        these = ctx.by_standard_name(known.standard_names) or ctx.by_name(known.names)
        if len(these) > 1:
            raise LayoutError(_several(ctx, f"{part} radiation", these, _drop(these)))
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
    sources |= {k: ctx.source(v, "degC", _TEMPERATURE) for k, v in temperature.items()}
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


def describe(role: ForcingRole) -> str:
    """A sentence on where a forcing comes from."""
    names = [source.variable for source in role.sources.values()]
    if role.method == "variable":
        text = names[0] + _converted(role.sources["value"])
    elif role.method in METHODS:
        text = f"computed by {METHODS[role.method]} from {', '.join(names)}"
    else:
        joined = " and ".join(names)
        text = ("mean of " if role.method == "mean" else "sum of ") + joined
        text += _converted(next(iter(role.sources.values())))
    if role.fallback is not None:
        text += f"; where missing, {describe(role.fallback).split(': ', 1)[1][:-1]}"
    return f"{role.name}: {text}."


def _converted(source: Source) -> str:
    if source.scale == 1.0 and source.offset == 0.0:
        return f" ({source.target})"
    return f" ({source.units} converted to {source.target})"
