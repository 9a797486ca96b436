"""A warning where none of the cells that a fit has deviations of is in a Dataset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import warn
from ..layout import Layout
from ..layout.cell_index import find_cells, shared
from ..layout.stacking import labels
from .fit_state import FitState

__all__ = ["warn_of_strangers"]

FEW = 0.05
"""Share of the cells, of those here or those of the fit, that must be known again."""


def warn_of_strangers(fit: FitState, ds: xr.Dataset, layout: Layout, reported: set[str]) -> None:
    """Warn where cells have deviations, and hardly a cell of the Dataset is one of them.

    Nothing of the data is read but the coordinates that label cells.

    Parameters
    ----------
    fit : FitState
        With or without deviations.
    ds : Dataset
        Which ``layout`` describes.
    layout : Layout
        Roles.
    reported : set of str
        Warnings given before, to which this one is added.
    """
    if fit.label is None or not fit.settings.deviations or not layout.labels:
        return
    total = int(np.prod([ds.sizes[dim] for dim in layout.space], dtype=int))
    here = labels(_candidates(fit.label, ds, layout), layout)
    known = int((find_cells(fit.label, here) >= 0).sum())
    if known >= FEW * min(total, len(fit.label)):
        return
    first = {dim: slice(0, 1) for dim in layout.space}
    example = labels(ds[list(layout.labels)].isel(first), layout)[0]
    none = "none" if known == 0 else f"only {known}"
    text = (
        f"{none} of the {total} cells {'is' if known < 2 else 'are'} among the {len(fit.label)} "
        f"training cells of the fit ({str(example)!r} here, {str(fit.label[0])!r} there), so their "
        "parameters come from the network alone, without the deviations of those cells. If they "
        "are the same cells, label them as at the fit. If they are others, nothing is wrong; "
        "parameters(ds, deviations=False) doesn't warn."
    )
    if text not in reported:
        reported.add(text)
        warn(text)


def _candidates(known: NDArray[np.str_], ds: xr.Dataset, layout: Layout) -> xr.Dataset:
    """The labels alone; of a grid, those rows and columns that the fit has, too."""
    found = ds[list(layout.labels)]
    if len(layout.space) == 2 and layout.labels == layout.space:
        for column, dim in enumerate(layout.space):
            one = replace(layout, space=(dim,), labels=(dim,))
            found = found.isel({dim: shared(known, column, labels(ds[[dim]], one))})
    return found
