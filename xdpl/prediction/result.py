"""`Fit`: the face of a `FitState`, with everything that can be computed from it as a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import xarray as xr

from ..blackbox import BlackBox
from ..losses import Loss
from ..networks import Network
from ..process import ProcessModel
from ..public import public, renamed
from ..runtime.files import PathLike
from . import evaluation, fit_files, maps, mixed_effects, model_forcings, simulation, summary
from .fit_record import Period
from .fit_state import FitState

__all__ = ["Fit", "load"]


@dataclass(frozen=True, eq=False, repr=False)
class Fit(FitState):
    """Parameters learned from observations, for the cells of any Dataset with these attributes.

    Made by `xdpl.fit` and `xdpl.load`. Nothing in it refers to the Dataset it was learned from.

    Attributes
    ----------
    model, network, losses
        The process model, the network, and the loss of each model output.
    layout : Layout
        Which variable plays which role.
    settings : FitSettings
        Every choice made; ``fit.settings.epochs``, or ``fit.settings["epochs"]``.
    record : TrainingRecord
        What happened; ``fit.record.loss``, or ``fit.record["loss"]``.
    scores : dict of str to dict
        Median of each score over the training cells, in the training period, by output.
    label : ndarray of str (cell,)
        Labels of the training cells.
    """

    @classmethod
    def of(cls, state: FitState) -> Self:
        """Show a FitState as a Fit."""
        return cls(**{f.name: getattr(state, f.name) for f in fields(FitState)})

    @property
    def messages(self) -> list[str]:
        """Warnings given during the fit, in their order, each once."""
        return list(self.record.messages)

    @public()
    def parameters(
        self,
        ds: xr.Dataset,
        *,
        deviations: bool = True,
        trust: bool = False,
        sets: bool | None = None,
    ) -> xr.Dataset:
        """Map the parameters of the cells of a Dataset.

        Parameters
        ----------
        ds : Dataset
            With the attributes that the fit was trained on. Any area, any period. Forcings are
            needed by networks that read them, by dynamic parameters, and for the climate of cells
            that the Dataset of the fit did not have.
        deviations : bool
            Add their own deviations to the cells that were trained on, recognised by their
            labels. False: only what the network gives.
        trust : bool
            Add layers that show how far each value can be trusted, as CF ancillary variables: the
            standard error over the members of an ensemble, the share of members at a bound,
            sensitivity and identifiability by the observations of the cell, their number, and
            whether the network extrapolates. A warning and the attribute ``trust_absent`` name
            the layers that can't be computed.
        sets : bool, optional
            Of parallel parameter sets: show each (dimension ``component``), or their centre. By
            default each where `xdpl.fit` was given ``components``, else the centre.

        Returns
        -------
        Dataset
            One variable per parameter, in physical units, with dimensions of space and, where
            each set is shown, ``component``. CF attributes, bounds as ``valid_range``,
            CRS kept. NaN where a cell lacks an attribute or has no forcing at all. Lazy where
            ``ds`` is. Of dynamic parameters the mean over the times of ``ds``
            (``cell_methods`` says so); `simulate` gives their values day by day.

        Raises
        ------
        LayoutError, UnitsError
            ``ds`` lacks an attribute of the fit, or has it in other units.

        Examples
        --------
        >>> maps = fit.parameters(ds)  # doctest: +SKIP
        >>> maps.dpl.to_geotiff("maps/")  # doctest: +SKIP
        """
        return maps.parameters(self, ds, deviations, trust, sets)

    @public()
    def mixed_effects(self, ds: xr.Dataset) -> xr.Dataset:
        """Map what the network gives, and what each cell adds to it by its own observations.

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

        Examples
        --------
        >>> fit.mixed_effects(ds).recession_deviation.plot()  # doctest: +SKIP
        """
        return mixed_effects.mixed_effects(self, ds)

    parts = renamed("Fit.parts", mixed_effects)

    @public()
    def forcings(self, ds: xr.Dataset, period: Period = None) -> xr.Dataset:
        r"""Return the forcings that the model reads, in its units.

        Units are converted, impossible values masked, short gaps filled and missing forcings
        derived, as in `simulate`.

        Parameters
        ----------
        ds : Dataset
            With the forcings of the fit.
        period : slice, optional
            Times to return; all by default.

        Returns
        -------
        Dataset
            One variable (time, \*space) per forcing of the model, with its units. The attribute
            ``source`` names the variables it comes from, and ``method`` how. NaN in cells without
            a value; such cells are not simulated. Lazy where ``ds`` is.

        Raises
        ------
        LayoutError, UnitsError
            ``ds`` lacks a forcing of the fit.

        Examples
        --------
        >>> fit.forcings(ds).potential_evaporation.mean("time").plot()  # doctest: +SKIP
        """
        return model_forcings.forcings(self, ds, period)

    @public(truth="true_model")
    def simulate(
        self,
        ds: xr.Dataset,
        period: Period = None,
        outputs: Sequence[str] | None = None,
        *,
        true_model: bool = False,
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
        true_model : bool
            Run the true model instead of its surrogate. Cells of which a run failed are NaN, and
            counted in a warning.

        Returns
        -------
        Dataset
            Dimensions time and space; NaN in cells without forcings or attributes. Means over
            parallel parameter sets and over the members of an ensemble. Lazy where ``ds`` is.

        Examples
        --------
        >>> fit.simulate(ds, period=slice("2010", "2012")).streamflow  # doctest: +SKIP
        """
        return simulation.simulate(self, ds, period, outputs, true_model)

    @public(truth="true_model")
    def evaluate(
        self,
        ds: xr.Dataset,
        period: Period = None,
        *,
        true_model: bool | None = None,
    ) -> xr.Dataset:
        """Score the simulation against the observations, cell by cell.

        Parameters
        ----------
        ds : Dataset
            With attributes, forcings and observations.
        period : slice, optional
            Times that count; all by default. Spin-up as in `simulate`. Times whose observations
            the network reads (``past`` of `xdpl.fit`) can't be among them.
        true_model : bool, optional
            Of a surrogate's fit: score the true model, as is the default where it is at hand. The
            surrogate's own scores stand beside these (``nse_surrogate``), with the difference
            (``nse_difference``).

        Returns
        -------
        Dataset
            ``bias``, ``rmse``, ``ubrmse``, ``corr``, ``nse``, ``kge`` and ``n``, with dimensions
            of space and, where several variables were observed, ``observation``. Lazy where ``ds``
            is: ``.compute()`` before a median over all cells, which dask can't do.

        Examples
        --------
        >>> float(fit.evaluate(ds).nse.compute().median())  # doctest: +SKIP
        """
        return evaluation.evaluate(self, ds, period, true_model)

    def save(self, path: PathLike) -> Path | str:
        """Write the fit to one file (safetensors with a JSON header: no pickle).

        Parameters
        ----------
        path : str or Path
            The file, or a URL of fsspec such as ``"s3://bucket/fit.xdpl"``.

        Returns
        -------
        Path or str
            The file written, or its URL.

        Examples
        --------
        >>> fit.save("fit.xdpl")  # doctest: +SKIP
        """
        return fit_files.save(self, path)

    def __repr__(self) -> str:
        return summary.text(self)

    def _repr_html_(self) -> str:
        return summary.html(self)


@public()
def load(
    path: PathLike,
    *,
    model: ProcessModel | type[ProcessModel] | BlackBox | None = None,
    network: Network | type[Network] | None = None,
    losses: Sequence[type[Loss]] = (),
) -> Fit:
    """Read a fit from a file that `Fit.save` wrote. A file from a stranger can't run code.

    Parameters
    ----------
    path : str or Path
        The file, or a URL of fsspec such as ``"s3://bucket/fit.xdpl"``.
    model : ProcessModel, optional
        The process model or its class, where it is not one of xdpl's own: a file names it,
        but never says what to import. An instance is used as it is; its options must be those of
        the fit. A class is built with the options in the file. For a fit through a surrogate, the
        external model: the file holds the surrogate, and names the true model.
    network : Network, optional
        The same for a network of your own.
    losses : sequence of Loss or Loss classes, optional
        The same for losses of your own.

    Returns
    -------
    Fit

    Raises
    ------
    FitFileError
        The file is missing, truncated, corrupt, of another kind or of a newer version.

    Examples
    --------
    >>> fit = xdpl.load("fit.xdpl")  # doctest: +SKIP
    """
    return Fit.of(fit_files.read_fit(path, model=model, network=network, losses=losses))
