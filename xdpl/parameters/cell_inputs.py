"""`CellInputs`: what is known of some cells, from which their parameters follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["CellInputs"]


@dataclass(frozen=True)
class CellInputs:
    """All that the parameters of some cells may depend on.

    Parameters
    ----------
    attribute : Tensor (cell, attribute)
        Raw values, and after them climate and statistics of past observations where a network
        reads any.
    cycle : Tensor (season, cell, forcing), optional
        Mean annual cycle of the forcings, for networks that read it.
    index : Tensor of int (cell,), optional
        Position of each cell among the training cells, negative for other cells. Without it no
        cell gets what was learned for it alone.
    forcing : mapping of str to Tensor (time, cell), optional
        The model's forcings in its units, for dynamic parameters.
    dt : float
        Length of a time step of ``forcing`` in days.

    Examples
    --------
    >>> import torch
    >>> CellInputs(torch.zeros(3, 2)).dt
    1.0
    """

    attribute: Tensor
    cycle: Tensor | None = None
    index: Tensor | None = None
    forcing: Mapping[str, Tensor] | None = None
    dt: float = 1.0
