"""What is known of the cells of a block: what their parameters follow from, and their forcings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from ..batches import annual_cycle, seasons, spin_up_index
from ..layout import CellBlock, Findings, Layout
from ..layout.periods import YEAR_DAYS
from ..parameters.cell_inputs import CellInputs
from ..training.step_memory import values_at_a_time
from .climate_table import attach_climate, known_climate
from .fit_state import FitState
from .past_observations import attach, known_past

__all__ = ["CHUNK_VALUES", "CellKnowledge", "Piece", "attach_known", "pieces", "year_steps"]

CHUNK_VALUES = 30_000_000
"""Values of one forcing that are simulated at a time, where there is room for them."""


@dataclass(frozen=True)
class CellKnowledge:
    """Inputs of the network for all cells of a block, and which of them were trained on.

    Attributes
    ----------
    attribute : Tensor (cell, attribute)
        Raw values, and after them the climate and statistics of past observations where the
        network reads any.
    cycle : Tensor (season, cell, forcing), optional
        Mean annual cycle of the forcings: the stored one of cells that were trained on.
    index : Tensor of int (cell,)
        Position among the training cells; -1 for others.
    dt : float
        Length of a step in days.
    """

    attribute: Tensor
    cycle: Tensor | None
    index: Tensor
    dt: float

    @classmethod
    def of(
        cls, fit: FitState, layout: Layout, block: xr.Dataset, cells: CellBlock
    ) -> CellKnowledge:
        """Look up what a fit knows of the cells of a block that was read."""
        index = fit.index_of(cells.label)
        attribute = torch.from_numpy(cells.attribute)
        climate = known_climate(fit.climate, block, layout, cells.label)
        past = known_past(fit, block, layout, index)
        beside = [columns for columns in (climate, past) if columns is not None]
        attribute = torch.cat([attribute, *beside], dim=1)
        return cls(attribute, _cycle(fit, layout, block, cells, index), index, fit.layout.dt)

    def inputs(
        self, some: NDArray[np.intp], forcing: Mapping[str, Tensor], deviations: bool = True
    ) -> CellInputs:
        """Inputs of some of the cells; ``forcing`` is read for dynamic parameters alone."""
        columns = torch.from_numpy(some)
        return CellInputs(
            self.attribute[columns],
            None if self.cycle is None else self.cycle[:, columns],
            self.index[columns] if deviations else None,
            forcing,
            self.dt,
        )

    def without_past(self, fit: FitState, usable: NDArray[np.bool_]) -> Findings:
        """Count cells for which a network that reads past observations has none."""
        if fit.past is None:
            return Findings()
        unknown = torch.isnan(self.attribute[:, -fit.past.shape[1] :]).all(1).numpy()
        return Findings({("no past", ""): int((unknown & usable).sum())})


def attach_known(
    fit: FitState, ds: xr.Dataset, source: xr.Dataset, reported: set[str]
) -> xr.Dataset:
    """Add what the network reads of cells, besides attributes, to what a block reads."""
    source = attach(fit, ds, source)
    return attach_climate(fit.climate, fit.layout, fit.settings.period, ds, source, reported)


def _cycle(
    fit: FitState, layout: Layout, block: xr.Dataset, cells: CellBlock, index: Tensor
) -> Tensor | None:
    if not fit.learner.reads_forcings:
        return None
    forcing = {k: torch.from_numpy(v) for k, v in cells.forcing.items()}
    cycle = annual_cycle(forcing, seasons(block[layout.time]))
    if fit.cycle is None:
        return cycle
    stored = fit.cycle[:, index.clamp(min=0)]
    return torch.where(index[None, :, None] >= 0, stored, cycle)


@dataclass(frozen=True)
class Piece:
    """Some usable cells of a block, as many as are run at a time.

    Attributes
    ----------
    index : ndarray of int (usable,)
        Which cells of the block.
    forcing : dict of str to Tensor (spin-up + time, usable)
        Empty where parameters need none.
    """

    index: NDArray[np.intp]
    forcing: dict[str, Tensor]


def pieces(layout: Layout, cells: CellBlock, usable: NDArray[np.bool_]) -> Iterator[Piece]:
    """Cut usable cells into pieces; forcings (year of spin-up + time, cell) on torch."""
    steps = len(next(iter(cells.forcing.values())))
    year = year_steps(layout, steps)
    times = torch.from_numpy(spin_up_index(0, steps, year, year))
    index = np.flatnonzero(usable)
    count = max(1, -(-len(index) * len(times) // values_at_a_time(CHUNK_VALUES)))
    for some in np.array_split(index, count):
        if len(some):
            yield Piece(
                some,
                {
                    k: torch.from_numpy(np.ascontiguousarray(v[:, some]))[times]
                    for k, v in cells.forcing.items()
                },
            )


def year_steps(layout: Layout, steps: int) -> int:
    """Steps of a year of spin-up, or all that there are."""
    return max(1, min(steps, round(YEAR_DAYS / layout.dt)))
