"""Past observations that a network reads (gZ): declared, kept by label, and never tested on."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..batches import blocks_of
from ..errors import DataError, XdplError, warn
from ..layout import Findings, Layout, match, read
from ..layout.cell_index import find_cells
from ..layout.periods import covered, resolve_period
from ..layout.stacking import labels
from ..parameters.past_statistics import statistics
from .blockwise import Values, by_block
from .fit_record import Period
from .fit_state import FitState
from .selection import needed

__all__ = ["attach", "check_apart", "known_past", "masked", "read_past", "settle_past"]

PAST = "_xdpl_past"
_STATISTIC = "_xdpl_statistic"


def settle_past(ds: xr.Dataset, time: str, span: slice, past: Period) -> tuple[slice, slice | None]:
    """Return the steps to train on and those whose observations the network reads.

    Training starts after the past, or ends before it, where the period holds both.

    Raises
    ------
    DataError
        Nothing is left to train on.
    """
    if past is None:
        return span, None
    read_by = resolve_period(ds, time, past, "past")
    start, stop = span.start, span.stop
    if read_by.start <= start:
        start = max(start, read_by.stop)
    if read_by.stop >= stop:
        stop = min(stop, read_by.start)
    if stop <= start:
        raise DataError(
            f"past={_shown(past)} leaves no time to train on: what the network reads carries no "
            "loss. Give a past that is shorter than the period, or lies before it."
        )
    return slice(start, stop), read_by


def _shown(past: Period) -> str:
    return f"slice({past.start!r}, {past.stop!r})" if isinstance(past, slice) else repr(past)


def masked(ds: xr.Dataset, layout: Layout, past: slice) -> xr.Dataset:
    """Take the observations of the past away from what the loss sees."""
    kept = np.ones(ds.sizes[layout.time], bool)
    kept[past] = False
    outside = xr.DataArray(kept, dims=layout.time)
    names = [role.variable for role in layout.observed.values()]
    return ds.assign({name: ds[name].where(outside) for name in names})


def read_past(ds: xr.Dataset, layout: Layout, past: slice, label: NDArray[np.str_]) -> Tensor:
    """Statistics of the past (cell, statistic) of the cells with these labels, which are sorted."""
    source = needed(ds, layout).isel({layout.time: past})
    rows: Tensor | None = None
    for block in blocks_of(source, layout):
        found, name = _block(source.isel(block), layout)
        if rows is None:
            rows = torch.full((len(label), found.shape[1]), torch.nan)
        row = np.searchsorted(label, name).clip(max=len(label) - 1)
        known = label[row] == name
        rows[torch.from_numpy(row[known])] = found[torch.from_numpy(known)]
    assert rows is not None
    if not bool((~torch.isnan(rows)).any()):
        times = source.indexes[layout.time]
        raise DataError(
            f"no training cell was observed in the past period, {str(times[0])[:10]} to "
            f"{str(times[-1])[:10]}. Choose another past, or leave it out."
        )
    return rows


def _block(block: xr.Dataset, layout: Layout) -> tuple[Tensor, NDArray[np.str_]]:
    cells = read(block, layout, attribute=False)
    month = torch.from_numpy(np.asarray(block[layout.time].dt.month).astype("i8"))
    observed, forcing = (
        {name: torch.from_numpy(v) for name, v in series.items()}
        for series in (cells.observed, cells.forcing)
    )
    return statistics(observed, forcing, month).float(), cells.label


def attach(fit: FitState, ds: xr.Dataset, source: xr.Dataset) -> xr.Dataset:
    """Add statistics of the past to what a block reads, where a Dataset holds that period.

    Warns with a count where a lazy Dataset doesn't, as its tasks have nobody to warn.
    """
    if fit.past is None:
        return source
    supplied = _supplied(fit, ds)
    if supplied is None:
        if any(source.chunks):
            _warn_of_unknown(fit, ds)
        return source
    layout, span = supplied
    source_of_past = needed(ds, layout).isel({layout.time: span})
    dims = {PAST: (_STATISTIC,)}
    sizes = {_STATISTIC: fit.past.shape[1]}
    maps = by_block(partial(_past_block, layout), source_of_past, layout, dims, sizes, set())
    return source.assign({PAST: maps[PAST].variable})


def _supplied(fit: FitState, ds: xr.Dataset) -> tuple[Layout, slice] | None:
    """Layout and steps of the past period in a Dataset; None where it does not hold it."""
    try:
        layout = match(ds, fit.layout, forcing=True, observed=True)
    except XdplError:
        return None
    span = covered(ds.indexes[layout.time], *(fit.settings.past or ("", "")))
    return None if span is None else (layout, span)


def _past_block(layout: Layout, block: xr.Dataset) -> tuple[Values, Findings]:
    rows, _ = _block(block, layout)
    return {PAST: rows.T.numpy()}, Findings()


def _warn_of_unknown(fit: FitState, ds: xr.Dataset) -> None:
    layout = match(ds, fit.layout, forcing=False, observed=False)
    names = labels(ds, layout)
    known = names[:0] if fit.label is None else fit.label
    unknown = int((find_cells(known, names) < 0).sum())
    for message in Findings({("no past", ""): unknown, ("cells", ""): len(names)}).messages():
        warn(message)


def known_past(fit: FitState, block: xr.Dataset, layout: Layout, index: Tensor) -> Tensor | None:
    """Statistics of the past of a block's cells: those stored, else those of the Dataset.

    NaN (cell, statistic) where there are none; None where the network reads none.
    """
    if fit.past is None:
        return None
    stored = torch.where(index[:, None] >= 0, fit.past[index.clamp(min=0)], torch.nan)
    if PAST not in block:
        return stored.double()
    given = block[PAST].transpose(*layout.space, _STATISTIC).values
    other = torch.from_numpy(np.ascontiguousarray(given).reshape(len(index), -1))
    return torch.where(torch.isnan(stored).all(1, keepdim=True), other, stored).double()


def check_apart(fit: FitState, times: pd.Index) -> None:
    """Raise DataError where times to test are among those whose observations the network reads."""
    if fit.past is None:
        return
    first, last = fit.settings.past or ("", "")
    inside = times.slice_indexer(first, last)
    start, stop, _ = inside.indices(len(times))
    if stop > start:
        raise DataError(
            f"the period to evaluate, {str(times[0])[:10]} to {str(times[-1])[:10]}, overlaps "
            f"{first} to {last}, whose observations the network reads. Evaluate other times: "
            "fit.evaluate(ds, period=slice(...))."
        )
