"""A block in memory whose variables are had with their cells in one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .bands import own_values
from .inventory import plain
from .packing import unpack
from .precision import round_series
from .quality import LONGEST_GAP, looks_filled, mask_impossible
from .records import Layout, Source

__all__ = ["StackedCells"]

Array: TypeAlias = NDArray[np.float64]


class StackedCells:
    """A block in memory, each of whose variables can be had as (time, cell) or (cell,)."""

    def __init__(self, block: xr.Dataset, layout: Layout) -> None:
        self.block = block
        self.layout = layout
        self.size = int(np.prod([block.sizes[dim] for dim in layout.space], dtype=int))
        self.exists = np.zeros(self.size, dtype=bool)
        self.impossible: dict[str, NDArray[np.intp]] = {}
        self.spread = any(
            set(block[name].dims) & set(layout.space)
            for role in layout.forcings.values()
            for name in role.variables
            if name in block.variables
        )

    @property
    def steps(self) -> int:
        return int(self.block.sizes[self.layout.time])

    @property
    def longest_gap(self) -> int:
        return int(LONGEST_GAP / self.layout.dt + 1e-6)

    def series(self, source: Source) -> Array:
        """Values of a variable as a new float64 array (time, cell); a common series is repeated."""
        name, scale, offset = source.variable, source.scale, source.offset
        layout = self.layout
        values = self._stacked(name, (layout.time, *layout.space)).reshape(self.steps, self.size)
        result = np.array(values, dtype=np.float64, order="C")
        if source.quantity is None:  # no limits of its own tell a fill value
            result[looks_filled(result)] = np.inf
        if scale != 1.0:
            result *= scale
        if offset != 0.0:
            result += offset
        if source.area is not None:
            area = self.static(source.area).astype(np.float64)
            result /= np.where(np.isfinite(area) & (area > 0), area, np.nan)
        round_series(result, source.target)
        return result

    def witness(self, name: str, values: Array) -> None:
        """Cells with any value of a forcing exist; a series common to all cells says nothing."""
        if set(self.block[name].dims) & set(self.layout.space) or not self.spread:
            self.exists = self.exists | np.isfinite(values).any(axis=0)

    def mask(self, source: Source, values: Array) -> None:
        """Set impossible values to missing; they count where a cell exists."""
        self.impossible[source.variable] = mask_impossible(
            values, source.quantity, source.target, source.valid_range
        )

    def monthly(self, source: Source) -> Array:
        """A climatology, (month, cell), in the units wanted."""
        months = range(self.block.sizes[source.dim])
        values = np.array(
            [self.static(source.variable, source.dim, k).astype(np.float64) for k in months]
        )
        values[looks_filled(values)] = np.nan
        values = values * source.scale + source.offset
        self.mask(source, values)
        self.witness(source.variable, values)
        return values

    def static(self, name: str, dim: str = "", item: int = 0) -> NDArray[Any]:
        """Values of a variable without time, (cell,), at one place of a further dimension."""
        return self._stacked(name, self.layout.space, dim, item).reshape(self.size)

    def _stacked(
        self, name: str, dims: Sequence[str], dim: str = "", item: int = 0
    ) -> NDArray[np.generic]:
        raw = own_values(plain(self.block[name].variable), dim, item)
        variable = raw.copy(data=unpack(raw.values, raw.attrs, name))
        shape = {dim: self.block.sizes[dim] for dim in dims}
        return np.asarray(variable.set_dims(shape).transpose(*dims).values)
