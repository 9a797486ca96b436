"""Regionalization: parameters calibrated cell by cell, carried to cells without observations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ..errors import DeclarationError
from ..layout import Layout, labels, match
from ..layout.cell_index import find_cells
from ..parameters.donors import Donors as DonorField
from ..parameters.table import Table
from ..prediction import Fit
from ..prediction.fit_record import Period
from ..public import hands_on, public
from ..spatial import nearest, positions
from .gradient import calibrate
from .tables import CellByCell, Constant

__all__ = ["Donors", "Regionalization", "regionalize"]

METHODS = ("similarity", "distance", "regression")


@dataclass(frozen=True)
class Donors(Constant):
    """No network: cells without observations take what was calibrated elsewhere.

    Parameters
    ----------
    by : {"similarity", "distance", "regression"}
        How.
    count : int
        Donors of each cell.
    """

    by: str = "similarity"
    count: int = 5


@hands_on(calibrate)
def regionalize(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    by: str = "similarity",
    donors: int = 5,
    calibrated: Fit | None = None,
    cells: xr.DataArray | None = None,
    **keywords: Any,
) -> Fit:
    """Calibrate the training cells one by one and carry their parameters to all others.

    The model is run with the whole parameter set of each of several donors and its outputs are
    averaged, which does better than averaged parameters (Oudin et al. 2008,
    doi:10.1029/2007WR006240). The calibrated cells keep their own parameters.

    Parameters
    ----------
    ds, obs, cells, **keywords
        As of `calibrate`.
    by : {"similarity", "distance", "regression"}
        Donors that resemble the cell in their standardised attributes; the nearest ones in space;
        or a linear regression of the unbounded parameters onto the attributes.
    donors : int
        Donors of each cell; a regression has none.
    calibrated : Fit, optional
        From `calibrate` or `sce_ua` on the same Dataset; calibrated by gradient by default. To
        cross-validate donors from SCE-UA, calibrate them in a method of your own.

    Returns
    -------
    Fit
        For donors its parameters have ``donors`` times the components.
    """
    if by not in METHODS:
        raise DeclarationError(f"by={by!r} is unknown to regionalize. Use {', '.join(METHODS)}.")
    if isinstance(donors, bool) or not isinstance(donors, int) or donors < 1:
        raise DeclarationError(f"donors={donors!r} can't be used. Give a whole number above 0.")
    if calibrated is not None and cells is not None:
        raise DeclarationError(
            "calibrated= and cells= both say which cells are donors: those held back in "
            "cross-validation would be among them. Give one of the two."
        )
    began = time.perf_counter()
    if calibrated is None:
        calibrated = calibrate(ds, obs, cells=cells, **keywords)
    own = calibrated.learner
    if not isinstance(calibrated.network, CellByCell) or not isinstance(own, Table):
        raise DeclarationError(
            f"calibrated has parameters by {calibrated.network}, not cell by cell. Give what "
            "xdpl.validation.calibrate or sce_ua returned."
        )
    known = calibrated.label
    assert known is not None
    attribute = _attributes(ds, calibrated)
    donors = 1 if by == "regression" else min(donors, len(known))
    classes = [len(role.classes or ()) for role in calibrated.layout.attributes]
    field = DonorField(
        own, donors, classes, attribute, None if by == "regression" else _most_similar
    ).eval()
    several = field.transform.components if field.transform.components > 1 else None
    result = Regionalization(
        calibrated.model, Donors(by=by, count=donors), calibrated.losses, calibrated.layout,
        field, replace(calibrated.settings, components=several), calibrated.record,
        calibrated.scores, known, simulator=calibrated.simulator,
    )  # fmt: skip
    if by == "distance":
        place = positions(ds, calibrated.layout.space, calibrated.layout.labels)
        rows = _rows(labels(ds, calibrated.layout), known)
        result = replace(result, position=place[rows])
    seconds = result.record.seconds + time.perf_counter() - began
    return replace(result, record=replace(result.record, seconds=seconds))


def _most_similar(wanted: Tensor, among: Tensor, count: int) -> Tensor:
    """Donors whose standardised attributes are the nearest."""
    return torch.from_numpy(nearest(wanted.double().numpy(), among.double().numpy(), count))


def _rows(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Places in ``found`` of the labels ``known``, all of which are among them."""
    order = np.argsort(found, kind="stable")
    return order[np.searchsorted(found, known, sorter=order)]


def _attributes(ds: xr.Dataset, calibrated: Fit) -> Tensor:
    """Attributes of the calibrated cells, in the order of their labels."""
    from ..layout import read

    layout = match(ds, calibrated.layout, forcing=False)
    static = ds.drop_dims(calibrated.layout.time)
    cells = read(static, layout, forcing=False, observed=False)
    assert calibrated.label is not None
    return torch.from_numpy(cells.attribute[_rows(cells.label, calibrated.label)])


@dataclass(frozen=True, eq=False, repr=False)
class Regionalization(Fit):
    """What `regionalize` returns: a Fit whose cells without observations have donors.

    Attributes
    ----------
    position : ndarray (cell, n), optional
        Where the donors lie, if distance decides.
    """

    position: np.ndarray | None = None

    def _at(self, ds: xr.Dataset) -> Fit:
        """The fit that holds for the cells of a Dataset: donors by distance are looked up there."""
        if self.position is None:
            return self
        own = self.learner
        assert isinstance(own, DonorField) and self.label is not None
        layout = self._layout_of(ds)
        label = labels(ds, layout)
        place = positions(ds, layout.space, layout.labels)
        order = np.argsort(label, kind="stable")
        which = np.zeros((len(label), own.count), np.intp)
        there = np.isfinite(place).all(1)
        which[there] = nearest(place[there], self.position, own.count)
        at = find_cells(self.label, label)
        known = at >= 0
        which[known] = at[known, None]  # calibrated cells keep their own
        table = own.lend(torch.from_numpy(which[order]))
        table[torch.from_numpy(~(there | known)[order])] = torch.nan
        return Fit(
            self.model, self.network, self.losses, self.layout, Table(own.transform, table),
            self.settings, self.record, self.scores, label[order], simulator=self.simulator,
        )  # fmt: skip

    def _layout_of(self, ds: xr.Dataset) -> Layout:
        return match(ds, self.layout, forcing=False)

    def parameters(
        self,
        ds: xr.Dataset,
        *,
        deviations: bool = True,
        trust: bool = False,
        sets: bool | None = None,
    ) -> xr.Dataset:
        return Fit.parameters(self._at(ds), ds, deviations=deviations, trust=trust, sets=sets)

    @public(truth="true_model")
    def simulate(
        self,
        ds: xr.Dataset,
        period: Period = None,
        outputs: Sequence[str] | None = None,
        *,
        true_model: bool = False,
    ) -> xr.Dataset:
        return Fit.simulate(self._at(ds), ds, period, outputs, true_model=true_model)

    @public(truth="true_model")
    def evaluate(
        self,
        ds: xr.Dataset,
        period: Period = None,
        *,
        true_model: bool | None = None,
    ) -> xr.Dataset:
        return Fit.evaluate(self._at(ds), ds, period, true_model=true_model)
