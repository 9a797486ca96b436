"""`Donors`: parameters of calibrated cells, carried to cells that resemble them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .learner import AttributeEncoder
from .table import Table
from .transforms import ParameterTransform

__all__ = ["Donors", "Nearest", "joined"]

RIDGE = 1.0
LARGEST = 4.0
"""Beyond this unbounded parameters lie within 2 % of a bound: all the same to a regression."""

Nearest = Callable[[Tensor, Tensor, int], Tensor]
"""From points (cell, n), candidates (donor, n) and a count to positions of donors (cell, count)."""


def joined(own: Tensor, which: Tensor, transform: ParameterTransform) -> Tensor:
    """Sets of some donors side by side, (cell, size); the mean of shared parameters.

    Parameters
    ----------
    own : Tensor (donor, size)
        Unbounded parameters of each donor.
    which : Tensor of int (cell, count)
        Donors of each cell.
    transform : ParameterTransform
        Of the donors.
    """
    columns, at = [], 0
    for parameter in transform.parameters.values():
        width = transform.width(parameter)
        part = own[which][..., at : at + width]  # (cell, donor, component)
        columns.append(part.mean(1) if parameter.shared else part.flatten(1))
        at += width
    return torch.cat(columns, dim=1)


class Donors(Table):
    """A table, and parameters of other cells from the calibrated ones.

    Parameters
    ----------
    table : Table
        Parameters of the calibrated cells.
    count : int
        Donors of each cell: it has that many times the components of the table.
    classes : sequence of int
        Classes of each attribute, 0 for a number; see `AttributeEncoder`.
    attribute : Tensor (donor, attribute)
        Of the calibrated cells, in their order.
    nearest : callable, optional
        Finds the donors with the most similar attributes. Without it a linear regression of
        unbounded parameters onto the attributes takes their place.
    """

    inputs: Tensor
    own: Tensor

    def __init__(
        self,
        table: Table,
        count: int,
        classes: Sequence[int],
        attribute: Tensor,
        nearest: Nearest | None,
    ) -> None:
        one = table.transform
        every = torch.arange(len(table.raw))[:, None].expand(-1, count)
        super().__init__(
            ParameterTransform(one.parameters, one.components * count),
            joined(table.raw, every, one),
        )
        self.one, self.count, self.nearest = one, count, nearest
        self.encoder = AttributeEncoder(classes)
        self.encoder.learn_statistics(attribute)
        self.register_buffer("own", table.raw.detach().clone())
        self.register_buffer("inputs", self.encoder(attribute))
        self.weight = None if nearest is not None else self._regression()

    def _regression(self) -> Tensor:
        """Weights (attribute + 1, size) of a ridge regression of unbounded parameters."""
        x = torch.cat([self.inputs, torch.ones(len(self.inputs), 1)], dim=1).double()
        hold = RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
        hold[-1, -1] = 0.0  # the mean is free
        y = self.own.double().clamp(-LARGEST, LARGEST)
        return torch.linalg.lstsq(x.T @ x + hold, x.T @ y).solution.float()

    def lend(self, which: Tensor) -> Tensor:
        """Unbounded parameters (cell, size) of cells with these donors (cell, count)."""
        return joined(self.own, which, self.one)

    def elsewhere(self, attribute: Tensor) -> Tensor:
        inputs = self.encoder(attribute)
        if self.nearest is None:
            assert self.weight is not None
            return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1) @ self.weight
        return self.lend(self.nearest(inputs, self.inputs, self.count))
