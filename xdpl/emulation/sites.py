"""Where the true model is run: the cells of a Dataset, their forcings and times."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..blackbox import BlackBox, Job, times_before
from ..errors import DataError
from ..fitting.settings import resolve_cells
from ..layout import Layout, check_dataset, read, recognise
from ..layout.periods import YEAR_DAYS, resolve_period
from ..prediction.selection import needed

__all__ = ["Sites", "find_sites"]

Single = NDArray[np.float32]


@dataclass(frozen=True)
class Sites:
    """Cells with their forcings, over the spin-up and the period of all runs.

    Attributes
    ----------
    series : ndarray (time, cell, forcing)
        In the units of the box and in its order; a year of spin-up, then the period.
    names : tuple of str
        Of the forcings.
    label : ndarray of str (cell,)
        Sorted.
    time : Index
        Of each step; continuous.
    dt : float
        Length of a step in days.
    spin_up : int
        Steps ahead of the period.
    layout : Layout
        Roles of the variables.
    """

    series: Single
    names: tuple[str, ...]
    label: NDArray[np.str_]
    time: pd.Index
    dt: float
    spin_up: int
    layout: Layout

    def __len__(self) -> int:
        return len(self.label)

    @property
    def forcing(self) -> dict[str, Single]:
        """Each forcing, (time, cell); views."""
        return {name: self.series[..., i] for i, name in enumerate(self.names)}

    @property
    def fingerprint(self) -> str:
        """Of labels, times and forcings: runs of other ones can't be mistaken for these."""
        digest = hashlib.sha256("\n".join(self.label).encode())
        digest.update(f"{self.time[0]} {self.time[-1]} {len(self.time)}".encode())
        for _, values in sorted(self.forcing.items()):
            for row in values:
                digest.update(row.tobytes())
        return digest.hexdigest()

    def job(self, number: int, cell: int, parameter: Mapping[str, float]) -> Job:
        """One run in one of the cells."""
        forcing = {name: series[:, cell] for name, series in self.forcing.items()}
        return Job(number, forcing, parameter, self.time, self.dt, str(self.label[cell]))


def find_sites(
    ds: xr.Dataset,
    box: BlackBox,
    *,
    forcings: Mapping[str, str | tuple[str, ...]] | None = None,
    period: object = None,
    cells: object = None,
) -> Sites:
    """Read the forcings of all cells that have them.

    Raises
    ------
    LayoutError, UnitsError, DataError
        As `xdpl.fit`, or no cell has complete forcings.
    """
    check_dataset(ds)
    layout = recognise(ds, box, forcings=forcings, period=period, attribute=False)
    span = resolve_period(ds, layout.time, period)
    wanted = resolve_cells(cells, ds, layout.space)
    year = max(1, min(span.stop - span.start, round(YEAR_DAYS / layout.dt)))
    before = min(year, span.start)
    source = needed(ds, layout, observed=False).isel(
        {layout.time: slice(span.start - before, span.stop)}
    )
    found = read(source, layout, observed=False, attribute=False)
    found.findings.warn()
    there = found.has_forcing.copy()
    if wanted is not None:
        there &= np.asarray(wanted.transpose(*layout.space)).ravel()
    if not there.any():
        raise DataError(
            "no cell has complete forcings in the period, so the model can be run nowhere. Check "
            "period=, cells= and the gaps of the forcings."
        )
    index = np.flatnonzero(there)
    index = index[np.argsort(found.label[index], kind="stable")]
    repeated = year - before
    steps = np.r_[np.arange(repeated) + before, np.arange(len(source[layout.time]))]
    names = tuple(box.forcings)
    series = np.empty((len(steps), len(index), len(names)), np.float32)
    for i, name in enumerate(names):  # one at a time: that is what they need beside what was read
        series[..., i] = found.forcing[name][np.ix_(steps, index)]
    return Sites(
        series=series,
        names=names,
        label=found.label[index],
        time=times_before(source.indexes[layout.time], repeated),
        dt=layout.dt,
        spin_up=year,
        layout=layout,
    )
