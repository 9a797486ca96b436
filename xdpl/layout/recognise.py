"""From a Dataset to a Layout, and from the Layout of a fit to that of another Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import xarray as xr

from ..errors import DataError, LayoutError, counted
from .attributes import match_attributes, recognise_attributes
from .axes import (
    check_dataset,
    close,
    extra_dimension,
    find_grid_mapping,
    find_latitude,
    find_space,
    label_variables,
)
from .candidates import candidates
from .choose import choose_output
from .clocks import check_clocks
from .context import Context
from .daylight import with_day_length
from .inventory import Inventory
from .packing_checks import check_packing
from .periods import as_slice
from .problems import Problems
from .quantities import Declared, quantity_of
from .records import AttributeRole, ForcingRole, Layout, ObservedRole
from .roles import Explicit, converted, describe, recognise_forcing
from .stacking import check_labels
from .suspicions import check_observed
from .times import check_step, find_time, time_step

if TYPE_CHECKING:
    from ..variables import Declared as Model

__all__ = ["match", "recognise"]


def recognise(
    ds: xr.Dataset,
    model: Model | type[Model],
    *,
    obs: str | Mapping[str, str | None] | None = None,
    forcings: Mapping[str, Explicit] | None = None,
    attributes: Sequence[str] | None = None,
    categorical: Iterable[str] = (),
    period: object = None,
    attribute: bool = True,
) -> Layout:
    """Decide which variable of a Dataset plays which role.

    Metadata, small samples of the values (to judge units) and the static variables are read.

    Parameters
    ----------
    ds : Dataset
        Forcings and observations along time, and static attributes.
    model : ProcessModel
        Or its class; or a black box.
    obs : str or mapping of str to str, optional
        The observed variable, or several with the output each is held against.
    forcings : mapping of str to str, optional
        Model forcings and their variables; those not named are recognised. Two variables for
        a temperature are its daily maximum and minimum.
    attributes : sequence of str, optional
        Static variables or coordinates; by default all numeric variables without time.
    categorical : iterable of str
        Attributes that are classes although they have no flag_values.
    period : slice or (start, stop), optional
        Labels of the first and last time whose values matter; others are not looked at.
    attribute : bool
        Whether attributes are wanted; a model is run without.

    Returns
    -------
    Layout

    Raises
    ------
    LayoutError, UnitsError, DataError
        With what was found, what was wanted and what to do.
    """
    import cf_xarray  # noqa: F401  registers ds.cf

    check_dataset(ds)
    instance = model() if isinstance(model, type) else model
    explicit = _explicit(forcings, instance)
    chosen = choose_output(ds, obs, [instance]) if obs is not None else {}
    ctx = _context(ds, instance.forcings, explicit, frozenset(chosen))
    ctx = replace(ctx, window=_window(ds, ctx.time, period))
    check_step(ds, ctx.dt, instance.timesteps, instance.name, ctx.time)
    problems = Problems()
    roles = _forcings(ctx, instance.forcings, explicit, problems)
    observed = {}
    for variable, (_, output) in chosen.items():
        with problems.collect():
            observed[output] = _observed(ctx, variable, output, instance.outputs[output])
    problems.raise_any()
    found: tuple[AttributeRole, ...] = ()
    left_out: tuple[str, ...] = ()
    if attribute:
        found, left_out = recognise_attributes(
            ds,
            ctx.time,
            ctx.space,
            names=attributes,
            categorical=categorical,
            exclude=[*chosen, *_tables(ctx, roles)],
            observed=[role.source.quantity or "" for role in observed.values()],
        )
    shortest, longest = instance.timesteps
    layout = _layout(ctx, roles, observed, found, (shortest, longest))
    check_packing(ds, layout.variables())
    return replace(layout, notes=layout.notes + left_out)


def _tables(ctx: Context, roles: Mapping[str, ForcingRole]) -> list[str]:
    """Variables of forcings with a dimension of their own, such as the months of a climatology."""
    names = [name for role in roles.values() for name in role.variables]
    cells = {ctx.time, *ctx.space}
    return [name for name in names if not set(map(str, ctx.ds[name].dims)) <= cells]


def match(
    ds: xr.Dataset, layout: Layout, *, forcing: bool = True, observed: bool | None = None
) -> Layout:
    """The Layout of a fit for another Dataset: other names of axes, other units, another place.

    Parameters
    ----------
    ds : Dataset
        The other Dataset.
    layout : Layout
        Of the fit.
    forcing : bool
        Whether forcings are wanted; False where maps come from attributes alone, which then
        may come without time.
    observed : bool, optional
        Whether observations are wanted; by default they are taken where there are any.

    Raises
    ------
    LayoutError, UnitsError, DataError
        If it lacks a forcing or an attribute of the fit, or has it in units that can't be
        converted.
    """
    import cf_xarray  # noqa: F401  registers ds.cf

    check_dataset(ds)
    if not forcing:
        ctx = _static_context(ds, layout.attributes)
        found = match_attributes(ds, ctx.time, ctx.space, layout.attributes)
        return _layout(ctx, {}, {}, found, layout.timesteps)
    known = {role.variable for role in layout.observed.values()}
    hints = {
        name: hint
        for name, role in layout.forcings.items()
        if (hint := _hint(ds, role)) is not None
    }
    ctx = _context(ds, layout.forcings, hints, frozenset(known))
    check_step(ds, ctx.dt, layout.timesteps, "the model", ctx.time)
    problems = Problems()
    roles = _forcings(ctx, layout.forcings, hints, problems)
    seen = {}
    for output, role in layout.observed.items():
        variable = _observed_again(ctx, role)
        if variable is not None and observed is not False:
            with problems.collect():
                seen[output] = _observed(ctx, variable, output, role, empty=observed is not True)
        elif observed:
            raise LayoutError(
                f"the Dataset has no observations of {output!r}: the fit had "
                f'{role.variable!r}. Name the variable so: ds = ds.rename({{"...": '
                f'"{role.variable}"}}).'
            )
    with problems.collect():
        found = match_attributes(ds, ctx.time, ctx.space, layout.attributes)
    problems.raise_any()
    return _layout(ctx, roles, seen, found, layout.timesteps)


def _window(ds: xr.Dataset, time: str, period: object) -> slice:
    """Places of the steps of a period; all of them where it is none, or no period at all."""
    period = as_slice(period)
    if not isinstance(period, slice):
        return slice(None)
    try:
        found = ds.indexes[time].slice_indexer(period.start, period.stop)
    except (TypeError, ValueError, KeyError):  # told of where the period is used
        return slice(None)
    start, stop, _ = found.indices(ds.sizes[time])
    return slice(start, stop) if stop > start else slice(None)


def _explicit(forcings: Mapping[str, Explicit] | None, model: Model) -> dict[str, Explicit]:
    if forcings is not None and not isinstance(forcings, Mapping):
        raise LayoutError(
            f"forcings is {forcings!r}. Give the variable of each forcing that is not recognised: "
            f'forcings={{"{next(iter(model.forcings))}": "variable"}}.'
        )
    explicit = dict(forcings or {})
    for name in explicit:
        if name not in model.forcings:
            raise LayoutError(
                f"{model.name} has no forcing {name!r}. {close(name, model.forcings)}"
                f"It has {', '.join(model.forcings)}; the variables go on the right: "
                'forcings={"forcing": "variable"}.'
            )
    return explicit


def _names(given: Explicit) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _hint(ds: xr.Dataset, role: ForcingRole) -> Explicit | None:
    """The variables that a forcing came from at the fit, if they are here too."""
    names = tuple(source.variable for source in role.sources.values())
    if role.method not in ("variable", "mean"):
        return None
    if not all(name in ds.data_vars and ds[name].ndim for name in names):
        return None
    return names[0] if role.method == "variable" else names


def _context(
    ds: xr.Dataset,
    declared: Mapping[str, Declared],
    explicit: Mapping[str, Explicit],
    observed: frozenset[str],
) -> Context:
    time = find_time(ds)
    check_clocks(ds, time)
    ctx = Context(ds, time, time_step(ds, time), Inventory.of(ds), observed=observed)
    return _with_space(ctx, *_reference(ctx, declared, explicit))


def _reference(
    ctx: Context, declared: Mapping[str, Declared], explicit: Mapping[str, Explicit]
) -> tuple[str, tuple[str, ...]]:
    """The variable whose dimensions are those of the cells: a forcing, else an observation."""
    given = [v for names in explicit.values() for v in _names(names) if v in ctx.ds.data_vars]
    names = [v for v in given if ctx.time in ctx.ds[v].dims]  # no climatology, with its months
    for name, forcing in declared.items():
        if name not in explicit:
            names += candidates(ctx, name, forcing)
    names += sorted(v for v in ctx.observed if v in ctx.ds.data_vars)
    names += ctx.with_time()
    for name in names:
        dims = tuple(str(d) for d in ctx.ds[name].dims if d != ctx.time)
        if dims:
            return name, dims
    return (names[0] if names else ""), ()


def _static_context(ds: xr.Dataset, roles: Sequence[AttributeRole]) -> Context:
    """Axes of a Dataset of attributes, which may have no time."""
    try:
        time = find_time(ds)
    except LayoutError:
        time = ""
    ctx = Context(ds, time, 0.0, Inventory.of(ds))
    names = [name for role in roles for name in (role.name, role.variable) if name in ds.variables]
    bands = {role.dim for role in roles}
    dims_of = {name: [str(d) for d in ds[name].dims if d not in (time, *bands)] for name in names}
    widest = max(dims_of, key=lambda name: len(dims_of[name]), default="")
    dims = tuple(dims_of.get(widest, ()))
    return _with_space(ctx, widest, dims)


def _with_space(ctx: Context, reference: str, dims: tuple[str, ...]) -> Context:
    space = find_space(ctx.ds, dims, reference)
    return replace(
        ctx,
        space=space,
        latitude=find_latitude(ctx.ds, space),
        grid_mapping=find_grid_mapping(ctx.ds),
    )


def _forcings(
    ctx: Context,
    declared: Mapping[str, Declared],
    explicit: Mapping[str, Explicit],
    problems: Problems,
) -> dict[str, ForcingRole]:
    """All forcings; potential evaporation last, since it may need the temperature."""
    late = [n for n, d in declared.items() if quantity_of(n, d) == "potential evaporation"]
    done: dict[str, ForcingRole] = {}
    for name in sorted(declared, key=lambda n: n in late):
        forcing = declared[name]
        prefer = forcing.method if isinstance(forcing, ForcingRole) else None
        with problems.collect():
            done[name] = recognise_forcing(
                ctx, name, forcing, explicit.get(name), dict(done), prefer=prefer
            )
    return with_day_length(ctx, {name: done[name] for name in declared if name in done})


def _observed(
    ctx: Context, variable: str, output: str, declared: Declared, empty: bool = False
) -> ObservedRole:
    dims = {str(d) for d in ctx.ds[variable].dims}
    wanted = (ctx.time, *ctx.space)
    extra = sorted(dims - set(wanted))
    if dims != set(wanted):
        if extra and set(wanted) <= dims:
            raise LayoutError(extra_dimension(ctx.ds, variable, extra[0]))
        raise LayoutError(
            f"the observed ds[{variable!r}] has the dimensions ({', '.join(sorted(dims))}), and "
            f"({', '.join(wanted)}) are wanted, those of the forcings. Regrid, rename or "
            "aggregate it."
        )
    if ctx.ds[variable].dtype.kind not in "fiu":
        raise LayoutError(
            f"the observed ds[{variable!r}] is of type {ctx.ds[variable].dtype}, not numeric. "
            "Convert it to float, with NaN where nothing was observed."
        )
    quantity = quantity_of(output, declared)
    if isinstance(declared, ObservedRole):
        target, quantity = declared.source.target, declared.source.quantity
    else:
        target = declared.units
    if not empty and ctx.values(variable).size == 0:
        raise DataError(_unobserved(ctx, variable))
    source = ctx.source(variable, target, quantity, empty=empty)
    check_observed(ctx, source)
    return ObservedRole(output, source, declared.standard_name, tuple(declared.names))


def _unobserved(ctx: Context, variable: str) -> str:
    """Message about an observed variable without any value where it is looked at."""
    if ctx.window == slice(None):
        where, remedy = "everywhere", "Check how it was read, and its _FillValue."
    else:
        time = ctx.ds[ctx.time].isel({ctx.time: ctx.window}).values
        where = f"from {str(time[0])[:10]} to {str(time[-1])[:10]}"
        remedy = "Choose another period, or check how it was read."
    return (
        f"the observed ds[{variable!r}] is missing {where}, so there is nothing to hold the model "
        f"against. {remedy}"
    )


def _observed_again(ctx: Context, role: ObservedRole) -> str | None:
    """The observed variable of a fit in another Dataset, if it has one."""
    if role.variable in ctx.ds.data_vars:
        return role.variable
    standard = [role.standard_name] if role.standard_name else []
    found = ctx.by_standard_name(standard) or ctx.by_name([role.output, *role.names])
    return found[0] if len(found) == 1 else None


def _layout(
    ctx: Context,
    forcings: Mapping[str, ForcingRole],
    observed: Mapping[str, ObservedRole],
    attributes: tuple[AttributeRole, ...],
    timesteps: tuple[float, float],
) -> Layout:
    layout = Layout(
        time=ctx.time,
        space=ctx.space,
        dt=ctx.dt,
        labels=label_variables(ctx.ds, ctx.space),
        forcings=dict(forcings),
        observed=dict(observed),
        attributes=attributes,
        latitude=ctx.latitude,
        grid_mapping=ctx.grid_mapping,
        timesteps=timesteps,
    )
    check_labels(ctx.ds, layout)
    return replace(layout, notes=_notes(layout))


def _notes(layout: Layout) -> tuple[str, ...]:
    """Sentences for the summary: who plays which role, and what was converted or computed."""
    notes = [describe(role) for role in layout.forcings.values()]
    for role in layout.observed.values():
        source = role.source
        same = source.scale == 1.0 and source.offset == 0.0
        how = "" if same else converted(source)
        notes.append(f"{role.output}: held against {role.variable}{how}.")
    names = ", ".join(
        role.name + (f" ({len(role.classes)} classes)" if role.classes else "")
        for role in layout.attributes
    )
    notes.append(f"{counted(len(layout.attributes), 'attribute')}: {names}.")
    return tuple(notes)
