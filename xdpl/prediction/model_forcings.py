"""The forcings that a fit's model reads: converted, checked, filled and derived."""

from __future__ import annotations

from functools import partial

import xarray as xr

from ..layout import Findings, ForcingRole, Layout, match, read
from ..layout.periods import resolve_period
from ..rasters import dress
from ..variables import Forcing, Output
from .blockwise import Values, by_block
from .fit_record import Period
from .fit_state import FitState
from .selection import needed, reported_of

__all__ = ["forcings"]


def forcings(fit: FitState, ds: xr.Dataset, period: Period = None) -> xr.Dataset:
    """Return the forcings that the model reads; see `Fit.forcings`."""
    layout = match(ds, fit.layout, forcing=True, observed=False)
    span = resolve_period(ds, layout.time, period)
    source = needed(ds, layout, forcing=True, observed=False, attribute=False)
    names = tuple(layout.forcings)
    series = by_block(
        partial(_forcing_block, layout, span),
        source.isel({layout.time: slice(span.stop)}),
        layout,
        dict.fromkeys(names, (layout.time,)),
        {layout.time: span.stop - span.start},
        reported_of(fit.reported, ds, layout),
    )
    series = series.assign_coords({layout.time: ds[layout.time].isel({layout.time: span})})
    declared = {name: _as_output(fit.model.forcings[name]) for name in names}
    dressed = dress(series, ds, declared, {"model": fit.model.name})
    for name, role in layout.forcings.items():
        dressed[name].attrs |= {"source": ", ".join(role.variables), "method": _method(role)}
    return dressed


def _as_output(forcing: Forcing) -> Output:
    return Output(forcing.units, forcing.standard_name, forcing.long_name)


def _method(role: ForcingRole) -> str:
    if role.fallback is None:
        return role.method
    return f"{role.method}; gaps by {_method(role.fallback)}"


def _forcing_block(layout: Layout, span: slice, block: xr.Dataset) -> tuple[Values, Findings]:
    cells = read(block, layout, observed=False, attribute=False)
    return {name: series[span] for name, series in cells.forcing.items()}, cells.findings
