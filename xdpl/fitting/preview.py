"""What a fit would recognise in a Dataset: a look at its metadata, without training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ..errors import XdplError, counted, reporting
from ..layout import Layout, choose_output, recognise
from ..layout.sample import UNREAD
from ..models import BUNDLED
from ..prediction.result import Fit
from ..process import ProcessModel
from ..runtime.summary_rows import rows_as_html, rows_as_text
from ..spatial import is_time

__all__ = ["Rows", "html", "preview", "text"]

MOST = 300
"""Cells along each dimension that are looked at, evenly over it."""

Rows = list[tuple[str, str]]
"""A heading and a text for each line."""


def preview(ds: xr.Dataset) -> Rows:
    """Describe what `xdpl.fit` would recognise; never raises, and reads no large data.

    Values that are in memory are checked against their units as in a fit; those of files and of
    dask are not looked at.

    Parameters
    ----------
    ds : Dataset
        Any.

    Returns
    -------
    list of (str, str)
        Model, roles with units and conversions, cells, period, and the call to make; or what is
        missing, with the remedy.
    """
    try:
        with reporting(show=False) as messages:
            rows = list(_rows(ds))
        return rows + [("noticed", text) for text in messages.texts]
    except Exception as problem:  # a look at a Dataset mustn't break a notebook
        return [("problem", f"{type(problem).__name__}: {problem}")]


TITLE = "what a fit would recognise; nothing was trained"


def text(ds: xr.Dataset, fit: Fit | None = None) -> str:
    """The preview as plain text, a line each."""
    return rows_as_text(f"<ds.dpl> {TITLE}", _with_fit(ds, fit))


def html(ds: xr.Dataset, fit: Fit | None = None) -> str:
    """The preview as an HTML table, for notebooks."""
    return rows_as_html("ds.dpl", TITLE, _with_fit(ds, fit))


def _with_fit(ds: xr.Dataset, fit: Fit | None) -> Rows:
    rows = preview(ds)
    return rows if fit is None else [*rows, ("fit", repr(fit).partition("\n")[0])]


def _rows(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    light, unread = _without_values(ds)
    token = UNREAD.set(unread)
    try:
        observed = dict(_observed(light))
        if not observed:
            yield from _nothing_observed(ds)
            return
        problems: dict[str, str] = {}
        for name, model in observed.items():
            try:
                layout = recognise(light, model, obs=name)
            except XdplError as problem:
                problems[name] = str(problem)
                continue
            yield from _described(ds, name, model, layout)
            others = [other for other in observed if other != name]
            if others:
                yield "or", ", ".join(f'ds.dpl.fit(obs="{other}")' for other in others)
            return
        for name, text in problems.items():
            yield "observed", f"{name}, for {observed[name].__name__}"
            yield "missing", text
    finally:
        UNREAD.reset(token)


def _observed(ds: xr.Dataset) -> Iterator[tuple[str, type[ProcessModel]]]:
    """Variables that an output of a bundled model can be held against, and that model."""
    for name in map(str, ds.data_vars):
        try:
            chosen = choose_output(ds, name, BUNDLED)
        except XdplError:
            continue
        model, output = chosen[name]
        if output == next(iter(model().outputs)):
            yield name, model


def _nothing_observed(ds: xr.Dataset) -> Iterator[tuple[str, str]]:
    """What a Dataset without observations is good for."""
    yield "observed", "no variable that a bundled model simulates was recognised"
    if ds.data_vars:
        names = ", ".join(map(str, list(ds.data_vars)[:6])) + ", ..." * (len(ds.data_vars) > 6)
        yield "variables", names
    outputs = ", ".join(f"{next(iter(model().outputs))} ({model.__name__})" for model in BUNDLED)
    yield "known", f'{outputs}. Name yours: ds.dpl.fit(obs={{"variable": "output"}}, model=...)'
    yield "maps", "parameters(fit), to_geotiff(path), plot() need no observations"


def _described(
    ds: xr.Dataset, name: str, model: type[ProcessModel], layout: Layout
) -> Iterator[tuple[str, str]]:
    parameters = len(model().parameters)
    yield "model", f"{model.__name__} ({parameters} parameters)"
    for note in layout.notes:
        yield "recognised", note
    sizes = [ds.sizes[dim] for dim in layout.space]
    cells = " x ".join(f"{dim} {size}" for dim, size in zip(layout.space, sizes, strict=True))
    yield "cells", f"{int(np.prod(sizes, dtype=int))} ({cells or 'a point'})"
    times = ds.indexes[layout.time]
    yield (
        "period",
        f"{str(times[0])[:10]} to {str(times[-1])[:10]}, {counted(len(times), 'step')} of "
        + (f"{counted(layout.dt, 'day')}" if layout.dt >= 1 else f"{24 * layout.dt:g} h"),
    )
    yield "next", f'ds.dpl.fit(obs="{name}")'


def _without_values(ds: xr.Dataset) -> tuple[xr.Dataset, frozenset[str]]:
    """A Dataset in which what isn't in memory has no values, and the names of that."""
    stand_ins: dict[str, tuple[Sequence[object], object, dict[str, object]]] = {}
    for name, array in ds.data_vars.items():
        variable = array.variable
        if variable._in_memory or variable.dtype.kind not in "fiub":
            continue
        values = np.broadcast_to(np.zeros((), variable.dtype), variable.shape)  # takes no memory
        stand_ins[str(name)] = (variable.dims, values, dict(variable.attrs))
    light = ds.assign(stand_ins)
    for dim, size in ds.sizes.items():  # the roles don't depend on how many cells there are
        if dim not in ds.indexes or not is_time(ds[dim]):
            light = light.isel({dim: slice(None, None, 1 + size // MOST)})
    return light, frozenset(stand_ins)
