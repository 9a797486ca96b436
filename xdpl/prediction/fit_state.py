"""`FitState`: all that a fit consists of, as typed and frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..layout import Layout
from ..layout.cell_index import find_cells
from ..losses import Loss
from ..networks import Network
from ..parameters.ensemble import Ensemble
from ..parameters.learner import Learner
from ..parameters.simulator import Simulator
from ..parameters.table import Table
from ..process import ProcessModel
from .applicability import Domain
from .climate_table import ClimateTable
from .fit_record import FitSettings, TrainingRecord
from .selection import Reported

__all__ = ["FitState"]


@dataclass(frozen=True, eq=False, repr=False)
class FitState:
    """What was learned, and from what; no reference to the Dataset it was learned from.

    Functions of this room take it and a Dataset; `Fit` shows them as methods.

    Attributes
    ----------
    model : ProcessModel
        The process model.
    network : Network
        Declaration of g.
    losses : dict of str to Loss
        By model output.
    layout : Layout
        Which variable plays which role.
    learner : Learner, Ensemble or Table
        Network, statistics and model, as torch modules; several where ``ensemble`` was given.
    settings : FitSettings
        Every choice made: period, seed, epochs, batch_size, learning_rate, warmup.
    record : TrainingRecord
        What happened: cells trained and left out, seconds, loss of each epoch, versions.
    scores : dict of str to dict
        Median of each score over the training cells, in the training period, by output.
    label, cycle : ndarray of str (cell,), Tensor (season, cell, forcing)
        Labels of the training cells, sorted; and the mean annual cycle of their forcings, for
        networks that read it.
    count : dict of str to Tensor (cell,)
        Number of observations of each training cell, by output.
    domain : Domain
        What the training cells cover of the space of attributes.
    past : Tensor (cell, statistic)
        Statistics of past observations of the training cells, for a gZ.
    climate : ClimateTable
        Climate of all cells of the Dataset over the training period, where the network reads it.
    reported : dict
        Warnings given before, which are not repeated for the same cells; not saved.
    simulator : Simulator
        Runs the model.
    """

    model: ProcessModel
    network: Network
    losses: Mapping[str, Loss]
    layout: Layout
    learner: Learner | Ensemble | Table
    settings: FitSettings
    record: TrainingRecord = field(default_factory=TrainingRecord)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    label: NDArray[np.str_] | None = None
    cycle: Tensor | None = None
    count: Mapping[str, Tensor] | None = None
    domain: Domain | None = None
    past: Tensor | None = None
    climate: ClimateTable | None = None
    reported: Reported = field(default_factory=dict)
    simulator: Simulator = field(kw_only=True)

    def __post_init__(self) -> None:
        # a plain mapping is taken as well, such as {**fit.settings, "seed": 5}
        object.__setattr__(self, "settings", FitSettings.of(self.settings))
        object.__setattr__(self, "record", TrainingRecord.of(self.record))

    @property
    def components(self) -> int:
        """Parallel parameter sets per cell."""
        return self.learner.transform.components

    @property
    def shows_sets(self) -> bool:
        """Maps show every parallel set, not their centre: where several were asked for."""
        return self.components > 1 and self.settings.components is not None

    @property
    def kind(self) -> Literal["gA", "gZ"]:
        """Inputs of the network: attributes ("gA"), or past observations as well ("gZ")."""
        return "gA" if self.past is None else "gZ"

    @property
    def dynamic(self) -> tuple[str, ...]:
        """Parameters with one value per time step."""
        return self.learner.dynamic.parameters if self.learner.dynamic else ()

    @property
    def members(self) -> tuple[Learner | Table, ...]:
        """The learner trained with each seed: one, or those of an ensemble."""
        if isinstance(self.learner, Ensemble):
            return self.learner.learners()
        return (self.learner,)

    def index_of(self, label: NDArray[np.str_]) -> Tensor:
        """Position of each cell among the training cells, by label; -1 for others; (cell,)."""
        if self.label is None:
            return torch.full((len(label),), -1)
        return torch.from_numpy(find_cells(self.label, label))

    def _lasting(self) -> dict[str, object]:
        """All that decides the results; not what happened on the way."""
        passing = ("record", "scores", "reported")
        return {name: value for name, value in vars(self).items() if name not in passing}
