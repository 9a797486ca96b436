"""Parameters that are kept cell by cell, and what is said of cells without any of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..networks import Network

__all__ = ["CellByCell", "Constant"]


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
