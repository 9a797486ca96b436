"""Layers beside the parameters that show how far a map can be trusted, cell by cell.

Which of them can be had depends on the Fit (members, training attributes) and on the Dataset
(forcings and observations of the training period); what can't be had is named, with the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..batches import spin_up_index
from ..errors import XdplError, warn
from ..layout import CellBlock, Layout, match
from ..layout.periods import YEAR_DAYS, resolve_period
from ..parameters.cell_inputs import CellInputs
from ..parameters.learner import AttributeEncoder
from ..parameters.transforms import share_of
from ..rasters import dress
from ..rasters.quality import FLAG_DTYPE, Quality, standard_error_of
from .applicability import MEANINGS, NOTHING
from .blockwise import Values
from .fit_state import FitState
from .identifiability import evidence
from .summary import provenance

__all__ = ["AT_BOUND", "Layers"]

AT_BOUND = 0.02
"""Share of its range within which a parameter counts as at a bound."""

VALUES = 4_000_000
"""Slopes (parameter x time x cell) held in memory at a time."""

COUNT, DISSIMILARITY, EXTRAPOLATION = "number_of_observations", "dissimilarity", "extrapolation"

InputsOf = Callable[[NDArray[np.intp], Mapping[str, Tensor]], CellInputs]
"""From some cells of a block and their forcings to what their parameters follow from."""


@dataclass(frozen=True)
class Layers:
    """The layers that a Fit can give for a Dataset.

    Attributes
    ----------
    fit : Fit
        Whose parameters they are about.
    sets : bool
        Each parallel set is mapped, not their centre.
    period : slice or None
        Steps of the Dataset with the observations of the training period; None: no evidence.
    first : int
        Step from which the record is read: where the spin-up of the period begins.
    offset : int
        Steps that were cut off from the Dataset ahead of the blocks.
    absent : dict of str to str
        Layers that can't be had, and why.
    """

    fit: FitState
    sets: bool
    period: slice | None
    first: int = 0
    offset: int = 0
    absent: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fit: FitState, ds: xr.Dataset, sets: bool) -> Layers:
        """Find out which layers can be had; nothing is read."""
        absent: dict[str, str] = {}
        if len(fit.members) < 2:
            absent["standard_error"] = "the fit has one member; fit with ensemble=5"
        if fit.domain is None:
            reason = f"{fit.network} was not trained on attributes"
            absent[f"{DISSIMILARITY} and {EXTRAPOLATION}"] = reason
        if fit.count is None:
            absent[COUNT] = "the fit did not keep them"
        period, why = _training_period(fit, ds)
        if period is None:
            absent["sensitivity and identifiability"] = why
            return cls(fit, sets, None, absent=absent)
        warm = round(fit.settings.warmup_days / fit.layout.dt)
        return cls(fit, sets, period, max(0, period.start - warm), absent=absent)

    @property
    def evidence(self) -> bool:
        """Whether there are layers that need forcings and observations."""
        return self.period is not None

    def cut(self, source: xr.Dataset) -> tuple[xr.Dataset, Layers]:
        """Leave out the times that no layer needs, so that they are not read."""
        assert self.period is not None
        wanted = {self.fit.layout.time: slice(self.first, self.period.stop)}
        return source.isel(wanted), replace(self, offset=self.first)

    @property
    def reason(self) -> str:
        """Which layers are absent and why, in a sentence; empty where all are there."""
        return "; ".join(f"no {name}: {why}" for name, why in self.absent.items())

    def declared(self) -> dict[str, Quality]:
        """Declaration of every layer, in the order in which they are to appear."""
        found: dict[str, Quality] = {}
        many = len(self.fit.members)
        for name, parameter in self.fit.model.parameters.items():
            of = parameter.long_name or name.replace("_", " ")
            if many > 1:
                title = f"standard deviation over {many} members of an ensemble: {of}"
                found[f"{name}_standard_error"] = standard_error_of(name, parameter, title)
            title = f"share of the ensemble's members at a bound: {of}"
            found[f"{name}_at_bound"] = Quality("1", long_name=title, of=name)
            if self.evidence:
                title = f"relative change of the loss if moved by a twentieth of the range: {of}"
                found[f"{name}_sensitivity"] = Quality("1", long_name=title, of=name)
                title = f"share by which the observations narrow the range: {of}"
                found[f"{name}_identifiability"] = Quality("1", long_name=title, of=name)
        return found | self._about_all()

    def _about_all(self) -> dict[str, Quality]:
        found: dict[str, Quality] = {}
        if self.fit.count is not None:
            title = "number of observations that were trained on"
            found[COUNT] = Quality("1", standard_name=COUNT, long_name=title)
        if self.fit.domain is not None:
            title = "distance to the nearest training cell's attributes, relative to the mean one"
            found[DISSIMILARITY] = Quality("1", long_name=title)
            title = "whether the parameters are extrapolated"
            found[EXTRAPOLATION] = Quality(
                "", standard_name="quality_flag", long_name=title, meanings=MEANINGS
            )
        return found

    def spread_dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions besides space of the layers that the members give."""
        layers = ("at_bound", "standard_error") if len(self.fit.members) > 1 else ("at_bound",)
        return {
            f"{name}_{what}": ("component",) if self.sets and not parameter.shared else ()
            for name, parameter in self.fit.model.parameters.items()
            for what in layers
        }

    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of every layer besides those of space."""
        return dict.fromkeys(self.declared(), ()) | self.spread_dims()

    def dtypes(self) -> dict[str, str]:
        """Types of the layers that are not of single precision."""
        return {name: FLAG_DTYPE.str for name in self.declared() if name == EXTRAPOLATION}

    def dressed(self, maps: xr.Dataset, ds: xr.Dataset) -> xr.Dataset:
        """Maps and layers with CF metadata, in order; a warning names what is absent."""
        declared = self.fit.model.parameters | self.declared()
        facts = provenance(self.fit)
        if self.absent:
            facts["trust_absent"] = self.reason
            warn(f"some trust layers are absent: {self.reason}.")
        return dress(maps[list(declared)], ds, declared, facts)

    def spread(self, members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """What the parameters of all members give: (cell,) or (cell, component)."""
        found = {}
        for name, parameter in self.fit.model.parameters.items():
            stacked = torch.stack([one[name] for one in members])
            share = share_of(stacked, parameter)
            near = (share < AT_BOUND) | (share > 1 - AT_BOUND)
            found[f"{name}_at_bound"] = torch.where(
                torch.isnan(stacked), torch.nan, near.float()
            ).mean(0)
            if len(members) > 1:
                found[f"{name}_standard_error"] = stacked.std(0)
        return found

    def beside(
        self, cells: CellBlock, some: NDArray[np.intp], index: Tensor, inputs_of: InputsOf
    ) -> Values:
        """The layers of a block that the members don't give, (cell,).

        Parameters
        ----------
        cells : CellBlock
            What was read.
        some : ndarray of int (usable,)
            Cells with parameters.
        index : Tensor of int (cell,)
            Position among the training cells; negative for others.
        inputs_of : callable
            Gives the inputs of some cells with their forcings.
        """
        attribute = inputs_of(some, {}).attribute
        values = self._attributes(len(cells.label), attribute, some, index.numpy())
        return values | self._evidence(cells, some, inputs_of) if self.evidence else values

    def _attributes(
        self, count: int, attribute: Tensor, some: NDArray[np.intp], index: NDArray[np.intp]
    ) -> Values:
        """Layers that follow from the attributes, and from which cells were trained on."""
        values: Values = {}
        trained = index >= 0
        if self.fit.count is not None:
            total = torch.stack(list(self.fit.count.values())).sum(0).numpy()
            found = np.where(trained, total[index.clip(min=0)], 0).astype("f4")
            values[COUNT] = np.full(count, np.nan, "f4")
            values[COUNT][some] = found[some]  # no quality where there is no parameter
        if self.fit.domain is not None:
            encoder = self.fit.learner.encoder
            assert isinstance(encoder, AttributeEncoder)
            attribute = attribute[:, : len(encoder.classes)]  # climate, too, but not the past
            near = self.fit.domain.dissimilarity(encoder, attribute)
            flag = np.full(count, NOTHING, FLAG_DTYPE)
            flag[some] = self.fit.domain.flag(encoder, attribute, near, trained[some])
            values[EXTRAPOLATION] = flag
            values[DISSIMILARITY] = np.full(len(flag), np.nan, "f4")
            values[DISSIMILARITY][some] = near
        return values

    def _evidence(self, cells: CellBlock, index: NDArray[np.intp], inputs_of: InputsOf) -> Values:
        names = [
            f"{name}_{what}"
            for what in ("sensitivity", "identifiability")
            for name in self.fit.model.parameters
        ]
        count = len(cells.label)
        values: Values = {name: np.full(count, np.nan, "f4") for name in names}
        seen = np.zeros(count, bool)
        for series in cells.observed.values():
            seen |= np.isfinite(series[self._seen]).any(0)
        usable = index[(seen & cells.has_forcing)[index]]
        learner, weights = self.fit.learner, self.fit.settings.weights
        for some in self._pieces(usable):
            forcing, observed = self._series(cells, some)
            parameter = learner.parameters_of(inputs_of(some, forcing))
            found = evidence(
                self.fit.simulator, learner.transform, forcing, parameter, observed,
                self.fit.losses, dt=self.fit.layout.dt, weights=weights,
            )  # fmt: skip
            for name in self.fit.model.parameters:
                values[f"{name}_sensitivity"][some] = found.sensitivity[name]
                values[f"{name}_identifiability"][some] = found.identifiability[name]
        return values

    def _pieces(self, usable: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        assert self.period is not None
        each = (self.period.stop - self.period.start) * len(self.fit.model.parameters)
        size = max(1, VALUES // each)
        for at in range(0, len(usable), size):
            yield usable[at : at + size]

    def _series(
        self, cells: CellBlock, index: NDArray[np.intp]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Forcings with a spin-up ahead, as in training, and observations, of some cells."""
        assert self.period is not None
        dt = self.fit.layout.dt
        steps = self.period.stop - self.first
        year = max(1, min(steps, round(YEAR_DAYS / dt)))
        warm = round(self.fit.settings.warmup_days / dt)
        times = spin_up_index(self.period.start - self.first, steps, warm, year)
        forcing = {
            k: torch.from_numpy(
                np.ascontiguousarray(v[self.first - self.offset :][times][:, index])
            )
            for k, v in cells.forcing.items()
        }
        observed = {
            k: torch.from_numpy(np.ascontiguousarray(v[self._seen][:, index]))
            for k, v in cells.observed.items()
        }
        return forcing, observed

    @property
    def _seen(self) -> slice:
        """Steps of a block with the observations that count."""
        assert self.period is not None
        return slice(self.period.start - self.offset, self.period.stop - self.offset)


def _training_period(fit: FitState, ds: xr.Dataset) -> tuple[slice | None, str]:
    """Steps of the training period in a Dataset with forcings and observations; or why none."""
    try:
        layout: Layout = match(ds, fit.layout, forcing=True, observed=True)
        return resolve_period(ds, layout.time, slice(*fit.settings.period)), ""
    except XdplError as problem:
        first = str(problem).split(". ")[0]
        return None, f"they need forcings and observations of the training period ({first})"
