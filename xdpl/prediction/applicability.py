"""The part of the space of attributes that training cells cover, and distances from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..parameters.learner import AttributeEncoder
from ..rasters.quality import FLAG_FILL

__all__ = ["BEYOND", "FAR", "INSIDE", "MEANINGS", "NOTHING", "TRAINED", "Domain"]

REFERENCE = 4000
"""Training cells that stand for all of them where there are more."""

PAIRS = 4_000_000
"""Distances held in memory at a time."""

MEANINGS = (
    "trained_cell",
    "like_training",
    "unlike_training",
    "beyond_range_of_training",
)
TRAINED, INSIDE, FAR, BEYOND = range(len(MEANINGS))
NOTHING = FLAG_FILL
"""Of a cell without attributes, such as one of the sea: it has no parameters and no quality."""


@dataclass(frozen=True)
class Domain:
    """The attributes of the training cells, as a measure of where the network was trained.

    Attributes
    ----------
    reference : Tensor (cell, attribute)
        Raw attributes of the training cells, or of a sample of them.
    unit : float
        Mean distance between two of them: the unit of dissimilarity.
    threshold : float
        Dissimilarity from which a cell is unlike all that training saw.

    References
    ----------
    Meyer and Pebesma 2021, doi:10.1111/2041-210X.13650: dissimilarity and area of applicability;
    here each attribute counts alike, and the training cells are left out one by one.
    """

    reference: Tensor
    unit: float
    threshold: float

    @classmethod
    def of(cls, attribute: Tensor, encoder: AttributeEncoder, seed: int = 0) -> Domain:
        """Survey the attributes (cell, attribute) of the training cells."""
        if len(attribute) > REFERENCE:
            draw = np.random.default_rng(seed)
            chosen = np.sort(draw.choice(len(attribute), REFERENCE, replace=False))
            attribute = attribute[torch.from_numpy(chosen)]
        position = _positions(encoder, attribute)
        count = len(position)
        if count < 2:
            return cls(attribute, 1.0, 0.0)
        total, closest = 0.0, []
        for at, distance in _distances(position, position):
            total += float(distance.sum())
            own = torch.arange(len(distance))
            distance[own, at + own] = torch.inf
            closest.append(distance.min(1).values)
        unit = max(total / (count * (count - 1)), 1e-12)
        found = torch.cat(closest) / unit
        low, high = torch.quantile(found, 0.25), torch.quantile(found, 0.75)
        whisker = high + 1.5 * (high - low)
        return cls(attribute, unit, float(found[found <= whisker].max()))

    def dissimilarity(self, encoder: AttributeEncoder, attribute: Tensor) -> NDArray[np.float32]:
        """Distance to the nearest training cell, relative to that between any two; (cell,)."""
        among = _positions(encoder, self.reference)
        near = [d.min(1).values for _, d in _distances(_positions(encoder, attribute), among)]
        nearest = torch.cat(near) if near else attribute.new_zeros(0)
        return (nearest / self.unit).float().numpy()

    def flag(
        self,
        encoder: AttributeEncoder,
        attribute: Tensor,
        dissimilarity: NDArray[np.float32],
        trained: NDArray[np.bool_],
    ) -> NDArray[np.int8]:
        """Flag whether the network extrapolates, cell by cell; see ``MEANINGS``."""
        flag = np.where(dissimilarity > self.threshold * (1 + 1e-6), FAR, INSIDE)
        flag[trained] = TRAINED
        flag[outside(encoder, attribute).numpy()] = BEYOND  # also if its attributes have changed
        return flag.astype(np.int8)


def outside(encoder: AttributeEncoder, attribute: Tensor) -> Tensor:
    """Whether any attribute is beyond the range, or of a class, that training saw; (cell,)."""
    values, beyond = _logged(encoder, attribute), torch.zeros(len(attribute), dtype=torch.bool)
    slack = 1e-6 * (encoder.high - encoder.low)
    at = 0
    for i, classes in enumerate(encoder.classes):
        column = values[:, i]
        if classes:
            known = torch.cat([encoder.known[at : at + classes], encoder.known.new_zeros(1)])
            code = torch.where((column >= 0) & (column < classes), column, float(classes))
            beyond |= known[code.long()] == 0
        else:
            beyond |= (column < encoder.low[i] - slack[i]) | (column > encoder.high[i] + slack[i])
        at += max(1, classes)
    return beyond


def _logged(encoder: AttributeEncoder, attribute: Tensor) -> Tensor:
    values = attribute.double()
    tiny = torch.finfo(torch.float64).tiny
    return torch.where(encoder.log > 0, torch.log(values.clamp(min=tiny)), values)


def _positions(encoder: AttributeEncoder, attribute: Tensor) -> Tensor:
    """Positions (cell, column): standard deviations, not held at the edges as for the network.

    Two classes are as far apart as two numbers at one standard deviation.
    """
    scaled = (_logged(encoder, attribute) - encoder.mean) / encoder.std
    columns = []
    for i, classes in enumerate(encoder.classes):
        if not classes:
            columns.append(scaled[:, i : i + 1])
            continue
        codes = torch.arange(classes, dtype=torch.float64)
        columns.append((attribute[:, i : i + 1].double() == codes).double() / 2**0.5)
    return torch.cat(columns, dim=1) if columns else attribute.double()


def _distances(position: Tensor, among: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Distances (some of the cells, other), with the number of the first of these cells."""
    size = max(1, PAIRS // max(1, len(among)))
    for at in range(0, len(position), size):
        # by differences, not products: a cell is at distance 0 from itself
        mode = "donot_use_mm_for_euclid_dist"
        yield at, torch.cdist(position[at : at + size], among, compute_mode=mode)
