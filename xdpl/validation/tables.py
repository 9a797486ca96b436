"""Parameters that are kept cell by cell, and what is said of cells without any of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import FitFileError
from ..networks import Network
from ..parameters.cell_inputs import CellInputs
from ..parameters.learner import Learner
from ..prediction import Fit
from ..process import ProcessModel

__all__ = ["Baseline", "CellByCell", "Constant", "Table"]


@dataclass(frozen=True)
class Constant(Network):
    """No network: one set of parameters, whatever the attributes."""

    def build(self, attributes: int, forcings: int, outputs: int) -> nn.Module:
        return _One(outputs)


@dataclass(frozen=True)
class CellByCell(Constant):
    """No network: each training cell has parameters of its own, and other cells have none.

    Parameters
    ----------
    by : str
        How they were found.
    """

    by: str = "gradient"


class _One(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        # the small random part tells components apart
        self.value = nn.Parameter(0.1 * torch.randn(outputs))

    def forward(self, attributes: Tensor, cycle: Tensor | None = None) -> Tensor:
        return self.value.expand(len(attributes), -1)


class Table(Learner):
    """Unbounded parameters of each training cell in a table; NaN for all other cells.

    Parameters
    ----------
    model, classes, components, engine
        As of `Learner`.
    table : Tensor (cell, size)
        Unbounded parameters, in the order of the training cells' labels.
    """

    table: Tensor

    def __init__(
        self,
        model: ProcessModel,
        classes: Sequence[int],
        components: int,
        engine: str,
        table: Tensor,
    ) -> None:
        super().__init__(Constant(), model, classes, components, engine)
        self.register_buffer("table", table.detach().clone())

    def elsewhere(self, attribute: Tensor) -> Tensor:
        """Unbounded parameters (cell, size) of cells that are not in the table."""
        return torch.full((len(attribute), self.transform.size), torch.nan)

    def parameters_of(self, inputs: CellInputs) -> dict[str, Tensor]:
        raw, index = self.elsewhere(inputs.attribute).to(self.table.dtype), inputs.index
        if index is not None:
            raw = torch.where(index[:, None] >= 0, self.table[index.clamp(min=0)], raw)
        return self.transform(raw)

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        # comparisons with NaN are false: a step may turn unknown parameters into numbers
        unknown = torch.stack(
            [torch.isnan(v).reshape(len(v), -1).any(1) for v in parameter.values()]
        ).any(0)
        results = super().simulate(forcing, parameter, dt=dt, outputs=outputs)
        return {name: torch.where(unknown, torch.nan, v) for name, v in results.items()}


@dataclass(eq=False, repr=False)
class Baseline(Fit):
    """A Fit whose parameters come from no network: it can be asked all that a Fit can be asked."""

    def save(self, path: str | Path) -> Path:
        raise FitFileError(
            f"parameters by {self.network} can't be written as a fit file. Write the maps: "
            "fit.parameters(ds).to_netcdf(...)."
        )
