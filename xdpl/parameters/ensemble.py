"""Several learners that differ by their seed alone, asked as if they were one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import DeclarationError
from ..networks import Dynamic
from ..process import ProcessModel
from .cell_inputs import CellInputs
from .learner import AttributeEncoder, Learner
from .transforms import ParameterTransform, centre, share_of

__all__ = ["Ensemble"]


class Ensemble(nn.Module):
    """Learners trained alike from other seeds: its parameters are the centre of theirs.

    The centre is taken on the scale on which each parameter is learned, between its bounds: the
    arithmetic mean, and the geometric mean where the scale is logarithmic. Not before the sigmoid:
    there a member that is stuck at a bound would outweigh all others.

    Members number their components as they please, so components are matched first.

    Parameters
    ----------
    members : sequence of Learner
        At least two, of the same model, network and attributes.

    References
    ----------
    Lakshminarayanan et al. 2017, arXiv:1612.01474 (ensembles of seeds as an uncertainty).
    """

    order: Tensor

    def __init__(self, members: Sequence[Learner]) -> None:
        super().__init__()
        if len(members) < 2:
            raise DeclarationError(
                f"an Ensemble of {len(members)} members has no spread. Give two or more learners."
            )
        self.members = nn.ModuleList(members)
        components = members[0].transform.components
        self.register_buffer("order", torch.arange(components).repeat(len(members), 1))

    @property
    def _first(self) -> Learner:
        return self.learners()[0]

    @property
    def model(self) -> ProcessModel:
        """The process model, of all members alike."""
        return self._first.model

    @property
    def encoder(self) -> AttributeEncoder:
        """Statistics of the attributes, of all members alike."""
        return self._first.encoder

    @property
    def transform(self) -> ParameterTransform:
        """From unbounded numbers to parameters, of all members alike."""
        return self._first.transform

    @property
    def reads_forcings(self) -> bool:
        """Whether the networks read the forcings."""
        return self._first.reads_forcings

    def learners(self) -> tuple[Learner, ...]:
        """The members, in the order of their seeds."""
        return tuple(m for m in self.members if isinstance(m, Learner))

    @property
    def deviations(self) -> Sequence[Tensor]:
        """The tables of deviations (cell, size) of the members; see `ParameterField`."""
        return [table for member in self.learners() for table in member.deviations]

    def each(self, inputs: CellInputs) -> list[dict[str, Tensor]]:
        """Parameters of every member, in the order of the members; see `Learner.parameters_of`."""
        sets = []
        declared = self.transform.parameters
        for member, order in zip(self.learners(), self.order, strict=True):
            found = member.parameters_of(inputs)
            sets.append({k: v if declared[k].shared else v[..., order] for k, v in found.items()})
        return sets

    def parameters_of(self, inputs: CellInputs) -> dict[str, Tensor]:
        """Centre of the members' parameters; see `Learner.parameters_of`."""
        sets = self.each(inputs)
        return {
            name: centre(torch.stack([one[name] for one in sets]), parameter)
            for name, parameter in self.transform.parameters.items()
        }

    @property
    def dynamic(self) -> Dynamic | None:
        """Parameters with one value per time step, of all members alike."""
        return self._first.dynamic

    @torch.no_grad()
    def match_components(self, attribute: Tensor, cycle: Tensor | None = None) -> None:
        """Number the components of every member so that they are most like the first one's.

        Parameters
        ----------
        attribute, cycle : Tensor
            Of `Learner.raw`, for the cells over which they are compared, without deviations and
            without what moves dynamic parameters.
        """
        first, *others = (one.transform(one.raw(attribute, cycle)) for one in self.learners())
        for number, other in enumerate(others, start=1):
            self.order[number] = _matched(self._cost(first, other))

    def _cost(self, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
        """Squared distance (component, component), summed over cells and parameters."""
        size = self.transform.components
        cost = self.order.new_zeros((size, size), dtype=torch.float64)
        for name, parameter in self.transform.parameters.items():
            if parameter.shared:
                continue
            a, b = (share_of(values[name], parameter).double() for values in (one, other))
            cost += ((a[..., :, None] - b[..., None, :]) ** 2).reshape(-1, size, size).sum(0)
        return cost


def _matched(cost: Tensor) -> Tensor:
    """For each row its column: the closest pair of all first, then the closest of the rest."""
    left = cost.clone()
    found = torch.zeros(len(cost), dtype=torch.long)
    for _ in range(len(cost)):
        row, column = divmod(int(left.argmin()), len(cost))
        found[row] = column
        left[row, :] = torch.inf
        left[:, column] = torch.inf
    return found
