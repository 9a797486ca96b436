"""Regionalization: parameters calibrated cell by cell, carried to cells without observations."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ..errors import DeclarationError
from ..layout import Layout, labels, match
from ..prediction import Fit
from ..process import ProcessModel
from .gradient import calibrate
from .places import nearest, positions
from .tables import Baseline, Constant, Table

__all__ = ["Donors", "Regionalization", "regionalize"]

METHODS = ("similarity", "distance", "regression")
RIDGE = 1.0
LARGEST = 4.0
"""Beyond this unbounded parameters lie within 2 % of a bound: all the same to a regression."""


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
    if not isinstance(own, Table) or isinstance(own, _Transferred):
        raise DeclarationError(
            f"calibrated has parameters by {calibrated.network}, not cell by cell. Give what "
            "xdpl.validation.calibrate or sce_ua returned."
        )
    known = calibrated.label
    assert known is not None
    attribute = _attributes(ds, calibrated)
    donors = 1 if by == "regression" else min(donors, len(known))
    classes = [len(role.classes or ()) for role in calibrated.layout.attributes]
    learner = _Transferred(
        calibrated.model, classes, calibrated.components, own.engine, own.table, donors
    )
    learner.learn_donors(attribute)
    if by == "regression":
        learner.regress()
    learner.eval()
    result = Regionalization(
        calibrated.model, Donors(by=by, count=donors), calibrated.losses, calibrated.layout,
        learner, calibrated.settings, dict(calibrated.record), calibrated.scores, known,
    )  # fmt: skip
    if by == "distance":
        place = positions(ds, calibrated.layout.space, calibrated.layout.labels)
        result.position = place[_rows(labels(ds, calibrated.layout), known)]
    result.record["seconds"] = result.record["seconds"] + time.perf_counter() - began
    return result


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


class _Transferred(Table):
    """A table whose parameters are carried to other cells.

    Parameters
    ----------
    components : int
        Of each donor: the learner has that many for each of its donors.
    donors : int
        Donors of each cell.
    """

    inputs: Tensor
    own: Tensor
    weight: Tensor

    def __init__(
        self,
        model: ProcessModel,
        classes: Sequence[int],
        components: int,
        engine: str,
        table: Tensor,
        donors: int,
    ) -> None:
        super().__init__(model, classes, components * donors, engine, table)
        self.donors = donors
        every = torch.arange(len(table))[:, None].expand(-1, donors)
        self.register_buffer("own", table.detach().clone())
        self.widths = [(1 if p.shared else components, p.shared) for p in model.parameters.values()]
        self.table = self._joined(every)
        self.register_buffer("weight", torch.empty(0))

    def _joined(self, which: Tensor) -> Tensor:
        """Sets of donors (cell, donor) side by side: (cell, size); the mean of shared ones."""
        columns, at = [], 0
        for width, shared in self.widths:
            part = self.own[which][..., at : at + width]  # (cell, donor, component)
            columns.append(part.mean(1) if shared else part.flatten(1))
            at += width
        return torch.cat(columns, dim=1)

    def learn_donors(self, attribute: Tensor) -> None:
        """Keep the attributes of the calibrated cells (cell, attribute)."""
        self.learn_statistics(attribute, None)
        self.register_buffer("inputs", self.encoder(attribute))

    def regress(self) -> None:
        """Fit a ridge regression of unbounded parameters onto the attributes."""
        x = torch.cat([self.inputs, torch.ones(len(self.inputs), 1)], dim=1).double()
        hold = RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
        hold[-1, -1] = 0.0  # the mean is free
        y = self.own.double().clamp(-LARGEST, LARGEST)
        self.weight = torch.linalg.lstsq(x.T @ x + hold, x.T @ y).solution.float()

    def elsewhere(self, attribute: Tensor) -> Tensor:
        inputs = self.encoder(attribute)
        if len(self.weight):
            return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1) @ self.weight
        found = nearest(inputs.double().numpy(), self.inputs.double().numpy(), self.donors)
        return self._joined(torch.from_numpy(found))


@dataclass(eq=False, repr=False)
class Regionalization(Baseline):
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
        assert isinstance(own, _Transferred) and self.label is not None
        layout = self._layout_of(ds)
        label = labels(ds, layout)
        place = positions(ds, layout.space, layout.labels)
        order = np.argsort(label, kind="stable")
        which = np.zeros((len(label), own.donors), np.intp)
        there = np.isfinite(place).all(1)
        which[there] = nearest(place[there], self.position, own.donors)
        at = np.searchsorted(self.label, label).clip(max=len(self.label) - 1)
        known = self.label[at] == label
        which[known] = at[known, None]  # calibrated cells keep their own
        table = own._joined(torch.from_numpy(which[order]))
        table[torch.from_numpy(~(there | known)[order])] = torch.nan
        classes = [len(role.classes or ()) for role in self.layout.attributes]
        learner = Table(self.model, classes, self.components, own.engine, table).eval()
        return Baseline(
            self.model, self.network, self.losses, self.layout, learner, self.settings,
            self.record, self.scores, label[order],
        )  # fmt: skip

    def _layout_of(self, ds: xr.Dataset) -> Layout:
        return match(ds, self.layout, forcing=False)

    def parameters(
        self, ds: xr.Dataset, *, deviations: bool = True, trust: bool = False
    ) -> xr.Dataset:
        return Fit.parameters(self._at(ds), ds, deviations=deviations, trust=trust)

    def simulate(
        self,
        ds: xr.Dataset,
        period: Any = None,
        outputs: Sequence[str] | None = None,
        *,
        truth: bool = False,
    ) -> xr.Dataset:
        return Fit.simulate(self._at(ds), ds, period, outputs, truth=truth)

    def evaluate(
        self, ds: xr.Dataset, period: Any = None, *, truth: bool | None = None
    ) -> xr.Dataset:
        return Fit.evaluate(self._at(ds), ds, period, truth=truth)
