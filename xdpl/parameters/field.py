"""`ParameterField`: whatever gives the parameters of a process model, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from ..networks import Dynamic
from .cell_inputs import CellInputs
from .transforms import ParameterTransform

__all__ = ["ParameterField"]


@runtime_checkable
class ParameterField(Protocol):
    """Gives the parameters of a process model from what is known of cells.

    A network with or without deviations of single cells (`Learner`), several of them
    (`Ensemble`), a table with a row for each calibrated cell (`Table`), and donors that lend other
    cells their parameters (`Donors`) are parameter fields. Maps, simulations and scores ask a
    field for nothing but this.
    """

    @property
    def transform(self) -> ParameterTransform:
        """Declared parameters, their bounds, and the parallel sets of each cell."""

    @property
    def reads_forcings(self) -> bool:
        """Whether `CellInputs.cycle` is needed."""

    @property
    def dynamic(self) -> Dynamic | None:
        """Parameters with one value per time step, which need `CellInputs.forcing`."""

    @property
    def deviations(self) -> Sequence[Tensor]:
        """What single cells deviate by, (cell, size), a table for each member; empty if none."""

    def parameters_of(self, inputs: CellInputs) -> dict[str, Tensor]:
        """Parameters in physical units.

        Shape (cell, component); (cell,) where shared; (time, cell, component) where dynamic. NaN
        in cells for which the field has no parameters.
        """

    def each(self, inputs: CellInputs) -> list[dict[str, Tensor]]:
        """Parameters of every member; one set where the field has no members."""
