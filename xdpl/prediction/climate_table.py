"""The climate of cells that a network reads: kept by label, and computed for cells not kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..batches import blocks_of
from ..batches.reading import in_order, read_block
from ..errors import XdplError, warn
from ..layout import Findings, Layout, match, read
from ..layout.cell_index import find_cells
from ..layout.periods import covered
from ..layout.stacking import labels
from ..parameters.climate_statistics import climate_statistics
from .blockwise import Values, by_block
from .selection import needed

__all__ = ["ClimateTable", "attach_climate", "known_climate", "read_climate"]

CLIMATE = "_xdpl_climate"
_STATISTIC = "_xdpl_climate_statistic"


@dataclass(frozen=True, eq=False)
class ClimateTable:
    """Climate over the training period of all cells of the Dataset that a fit learned from.

    Cells that were not trained on are among them, so maps of these cells stay the same whatever
    window of the Dataset they are asked for with.

    Attributes
    ----------
    label : ndarray of str (cell,)
        Sorted.
    value : Tensor (cell, statistic)
        As of `climate_statistics`.
    """

    label: NDArray[np.str_]
    value: Tensor

    def rows(self, label: NDArray[np.str_]) -> Tensor:
        """Climate (cell, statistic) of some cells by label; NaN where it is not known."""
        if not len(self.label):
            return torch.full((len(label), self.value.shape[1]), torch.nan)
        at = torch.from_numpy(find_cells(self.label, label))
        return torch.where(at[:, None] >= 0, self.value[at.clamp(min=0)], torch.nan)


def read_climate(ds: xr.Dataset, layout: Layout, span: slice) -> ClimateTable:
    """Compute the climate of all cells of a Dataset over some steps, block by block.

    Cells without forcings are left out.
    """
    source = needed(ds, layout, observed=False).isel({layout.time: span})
    found = list(in_order(partial(_of_block, source, layout), blocks_of(source, layout)))
    label = np.concatenate([name for name, _ in found])
    value = torch.cat([rows for _, rows in found])
    order = np.argsort(label, kind="stable")
    return ClimateTable(label[order], value[torch.from_numpy(order)])


def _of_block(
    source: xr.Dataset, layout: Layout, block: dict[str, slice]
) -> tuple[NDArray[np.str_], Tensor]:
    cells = read_block(source, layout, block, observed=False, attribute=False)
    rows = climate_statistics({k: torch.from_numpy(v) for k, v in cells.forcing.items()})
    there = torch.isfinite(rows).all(1)
    return cells.label[there.numpy()], rows[there]


def attach_climate(
    table: ClimateTable | None,
    layout: Layout,
    period: tuple[str, str],
    ds: xr.Dataset,
    source: xr.Dataset,
    reported: set[str],
) -> xr.Dataset:
    """Add the climate of cells that are not in the table to what a block reads.

    It is that of the training period where the Dataset has it, else that of its whole record.

    Parameters
    ----------
    table : ClimateTable, optional
        None where the network reads no climate: nothing is added.
    layout : Layout
        Of the fit.
    period : (str, str)
        First and last day of the training period.
    ds, source : Dataset
        What was given, and the part of it that blocks read.
    reported : set of str
        Warnings given before; receives new ones.
    """
    if table is None:
        return source
    names = labels(ds, match(ds, layout, forcing=False, observed=False))
    unknown = int((find_cells(table.label, names) < 0).sum())
    if not unknown:
        return source
    try:
        driven = match(ds, layout, forcing=True, observed=False)
    except XdplError:
        _report(
            f"{unknown} of {len(names)} cells are new to the fit, and the Dataset has no forcings "
            "to compute their climate from: the network takes the mean climate of its training "
            "cells there. Add the forcings of the training period, "
            f"{period[0]} to {period[1]}, to the Dataset.",
            reported,
        )
        return source
    times = ds.indexes[driven.time]
    span = covered(times, *period)
    if span is None:
        span = slice(0, len(times))
        _report(
            f"{unknown} of {len(names)} cells are new to the fit: their climate is that of "
            f"{str(times[span.start])[:10]} to {str(times[span.stop - 1])[:10]}, since the Dataset "
            f"lacks the training period, {period[0]} to {period[1]}. Their maps change with these "
            "times.",
            reported,
        )
    part = needed(ds, driven, observed=False).isel({driven.time: span})
    width = table.value.shape[1]
    maps = by_block(
        partial(_climate_block, driven), part, driven,
        {CLIMATE: (_STATISTIC,)}, {_STATISTIC: width}, set(),
    )  # fmt: skip
    return source.assign({CLIMATE: maps[CLIMATE].variable})


def _report(message: str, reported: set[str]) -> None:
    if message not in reported:
        warn(message)
        reported.add(message)


def _climate_block(layout: Layout, block: xr.Dataset) -> tuple[Values, Findings]:
    cells = read(block, layout, observed=False, attribute=False)
    rows = climate_statistics({k: torch.from_numpy(v) for k, v in cells.forcing.items()})
    return {CLIMATE: rows.T.numpy()}, Findings()


def known_climate(
    table: ClimateTable | None, block: xr.Dataset, layout: Layout, label: NDArray[np.str_]
) -> Tensor | None:
    """Climate of a block's cells: as stored, else as computed from the Dataset; else NaN.

    None where the network reads none.
    """
    if table is None:
        return None
    stored = table.rows(label)
    if CLIMATE in block:
        given = block[CLIMATE].transpose(*layout.space, _STATISTIC).values
        other = torch.from_numpy(np.ascontiguousarray(given).reshape(len(label), -1))
        stored = torch.where(torch.isnan(stored), other.to(stored.dtype), stored)
    return stored.double()
