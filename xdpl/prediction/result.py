"""`Fit`: what was learned, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..layout import Layout
from ..losses import Loss
from ..networks import Network
from ..parameters.ensemble import Ensemble
from ..parameters.learner import Learner
from ..parameters.simulator import Simulator
from ..parameters.table import Table
from ..process import ProcessModel
from ..runtime.files import PathLike
from . import fit_files as files
from . import mixed_effects as parts
from . import predict, summary
from .applicability import Domain
from .selection import Said
from .true_model import evaluate, true_fit

__all__ = ["Fit"]


@dataclass(eq=False, repr=False)
class Fit:
    """Parameters learned from observations, for the cells of any Dataset with these attributes.

    Made by `xdpl.fit`. Nothing in it refers to the Dataset it was learned from.

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
    learner : Learner or Ensemble
        Network, statistics and model, as torch modules; several where ``ensemble`` was asked for.
    settings : dict
        Every choice made: period, seed, components, epochs, batch_size, learning_rate, warmup.
    record : dict
        What happened: cells trained and left out, seconds, loss of each epoch, warnings, versions.
    scores : dict of str to dict
        Median of each score over the training cells, in the training period, by output.
    label, cycle : ndarray of str (cell,), Tensor (season, cell, forcing)
        Mean annual cycle of the forcings of the training cells, for networks that read it.
    count : dict of str to Tensor (cell,)
        Number of observations of each training cell, by output.
    domain : Domain
        What the training cells cover of the space of attributes.
    past : Tensor (cell, statistic)
        Statistics of past observations of the training cells, for a gZ.
    simulator : Simulator
        Runs the model.
    said : dict
        Warnings given before, which are not repeated for the same cells; not saved.
    """

    model: ProcessModel
    network: Network
    losses: Mapping[str, Loss]
    layout: Layout
    learner: Learner | Ensemble | Table
    settings: dict[str, Any]
    record: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    label: NDArray[np.str_] | None = None
    cycle: Tensor | None = None
    count: Mapping[str, Tensor] | None = None
    domain: Domain | None = None
    past: Tensor | None = None
    said: Said = field(default_factory=dict)
    simulator: Simulator = field(kw_only=True)

    @property
    def components(self) -> int:
        """Parallel parameter sets per cell."""
        return self.learner.transform.components

    @property
    def kind(self) -> Literal["gA", "gZ"]:
        """What the network reads: attributes ("gA"), or past observations as well ("gZ")."""
        return "gA" if self.past is None else "gZ"

    @property
    def dynamic(self) -> tuple[str, ...]:
        """Parameters with one value per time step."""
        return self.learner.dynamic.parameters if self.learner.dynamic else ()

    @property
    def members(self) -> tuple[Learner | Table, ...]:
        """What was trained with each seed: one learner, or those of an ensemble."""
        if isinstance(self.learner, Ensemble):
            return self.learner.learners()
        return (self.learner,)

    def parameters(
        self, ds: xr.Dataset, *, deviations: bool = True, trust: bool = False
    ) -> xr.Dataset:
        """Map the parameters of the cells of a Dataset.

        Parameters
        ----------
        ds : Dataset
            With the attributes that the fit was trained on; forcings are not needed (but for
            a network that reads them, and dynamic parameters). Any place, any period.
        deviations : bool
            Add their own deviations to the cells that were trained on, recognised by their
            labels. False: what the network alone says of them.
        trust : bool
            Add layers that say how far each value can be trusted, as CF ancillary variables: the
            standard error over the members of an ensemble, the share of members at a bound,
            sensitivity and identifiability by the observations of the cell, their number, and
            whether the network extrapolates. What can't be had is named in a warning and in the
            attribute ``trust_absent``.

        Returns
        -------
        Dataset
            One variable per parameter, in physical units, with dimensions of space and, for
            more than one component, ``component``. CF attributes, bounds as ``valid_range``,
            CRS kept. NaN where a cell lacks an attribute or has no forcing at all. Lazy where
            ``ds`` is. Of dynamic parameters the mean over the times of ``ds``
            (``cell_methods`` says so); `simulate` gives their values day by day.

        Raises
        ------
        LayoutError, UnitsError
            ``ds`` lacks an attribute of the fit, or has it in other units.
        """
        return predict.parameters(self, ds, deviations, trust)

    def parts(self, ds: xr.Dataset) -> xr.Dataset:
        """Map both parts of the parameters: what the network gives, and what is a cell's own.

        Parameters
        ----------
        ds : Dataset
            As of `parameters`.

        Returns
        -------
        Dataset
            Beside each parameter, in physical units and lazy where ``ds`` is: ``..._network``,
            what the network alone gives; ``..._deviation``, the difference from that, 0 in cells
            that were not trained on; and ``..._spread``, the standard deviation of the training
            cells around what the network gives: how far off it may be where nothing was observed.

        Raises
        ------
        DeclarationError
            The fit was made with ``deviations=False``.
        """
        return parts.parts(self, ds)

    def simulate(
        self,
        ds: xr.Dataset,
        period: Any = None,
        outputs: Sequence[str] | None = None,
        *,
        truth: bool = False,
    ) -> xr.Dataset:
        """Run the model with the learned parameters.

        Parameters
        ----------
        ds : Dataset
            With the attributes and forcings of the fit.
        period : slice, optional
            Times to return; all by default. The model is spun up on the times before it, and
            on its own first year where there are none.
        outputs : sequence of str, optional
            Model outputs wanted, and dynamic parameters; all outputs by default.
        truth : bool
            Run the true model instead of its surrogate. Cells of which a run failed are NaN, and
            counted in a warning.

        Returns
        -------
        Dataset
            Dimensions time and space; NaN in cells without forcings or attributes. Lazy where
            ``ds`` is.
        """
        chosen = true_fit(self, ds) if truth else self
        return predict.simulate(chosen, ds, period, outputs)

    def evaluate(
        self, ds: xr.Dataset, period: Any = None, *, truth: bool | None = None
    ) -> xr.Dataset:
        """Score the simulation against the observations, cell by cell.

        Parameters
        ----------
        ds : Dataset
            With attributes, forcings and observations.
        period : slice, optional
            Times that count; all by default. Spin-up as in `simulate`. Times whose observations
            the network reads (``past`` of `xdpl.fit`) can't be among them.
        truth : bool, optional
            Of a surrogate's fit: let the true model be the judge, as it is by default where it is
            at hand. The surrogate's own scores stand beside it (``nse_surrogate``), and the
            difference (``nse_difference``).

        Returns
        -------
        Dataset
            ``bias``, ``rmse``, ``ubrmse``, ``corr``, ``nse``, ``kge`` and ``n``, with dimensions
            of space and, where several variables were observed, ``observation``. Lazy where ``ds``
            is: ``.compute()`` before a median over all cells, which dask can't do.
        """
        return evaluate(self, ds, period, truth)

    def save(self, path: PathLike) -> Path | str:
        """Write the fit to one file (safetensors with a JSON header: no pickle).

        Parameters
        ----------
        path : str or path
            ``~`` is your home folder; or a URL of fsspec, such as ``"s3://bucket/fit.xdpl"``.

        Returns
        -------
        Path or str
            The file written, or its URL.
        """
        return files.save(self, path)

    def _lasting(self) -> dict[str, Any]:
        """All that decides what it answers; not what happened on the way."""
        told = ("record", "scores", "said")
        return {name: value for name, value in vars(self).items() if name not in told}

    def __repr__(self) -> str:
        return summary.text(self)

    def _repr_html_(self) -> str:
        return summary.html(self)
