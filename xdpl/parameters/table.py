"""`Table`: parameters that were found for each cell by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..networks import Dynamic
from .cell_inputs import CellInputs
from .transforms import ParameterTransform

__all__ = ["Table"]


class Table(nn.Module):
    """A parameter field with a row for each calibrated cell; NaN in all other cells.

    Parameters
    ----------
    transform : ParameterTransform
        From unbounded numbers to parameters.
    raw : Tensor (cell, size)
        Unbounded parameters, in the order of the calibrated cells' labels.
    """

    raw: Tensor

    def __init__(self, transform: ParameterTransform, raw: Tensor) -> None:
        super().__init__()
        self.transform = transform
        self.register_buffer("raw", raw.detach().clone())

    @property
    def reads_forcings(self) -> bool:
        """Whether a climatology is needed: never."""
        return False

    @property
    def dynamic(self) -> Dynamic | None:
        """Parameters with one value per time step: none."""
        return None

    @property
    def deviations(self) -> Sequence[Tensor]:
        """Deviations from a network: none, for lack of a network."""
        return ()

    def parameters_of(self, inputs: CellInputs) -> dict[str, Tensor]:
        """Parameters of the cells with an ``index``; see `ParameterField.parameters_of`."""
        raw = self.elsewhere(inputs.attribute).to(self.raw.dtype)
        if inputs.index is not None:
            own = self.raw[inputs.index.clamp(min=0)]
            raw = torch.where(inputs.index[:, None] >= 0, own, raw)
        return self.transform(raw)

    def each(self, inputs: CellInputs) -> list[dict[str, Tensor]]:
        """The one set of parameters; see `ParameterField.each`."""
        return [self.parameters_of(inputs)]

    def elsewhere(self, attribute: Tensor) -> Tensor:
        """Unbounded parameters (cell, size) of cells that have no row."""
        return torch.full((len(attribute), self.transform.size), torch.nan)
