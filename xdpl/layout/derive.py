"""What a derivation is, and what several of them need: latitude and the sun above."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import LayoutError
from ..units import conversion
from . import evaporation
from .context import Context
from .quantities import Declared
from .records import ForcingRole, Layout, Source

__all__ = ["Array", "Derivation", "latitudes", "top_of_atmosphere"]

Array: TypeAlias = NDArray[np.float64]


class Derivation(ABC):
    """A way to compute a forcing from other variables; an object without state."""

    method: ClassVar[str]
    """Its name in a Layout and in files."""
    quantity: ClassVar[str]
    """Key of ``QUANTITIES``: what it gives."""
    label: ClassVar[str]
    """How summaries call it, before the names of the variables."""
    units: ClassVar[str | None] = None
    """Units that ``compute`` gives; None: those of the model, as its sources have them."""

    @abstractmethod
    def find(
        self, ctx: Context, declared: Declared, done: Mapping[str, ForcingRole], lacking: list[str]
    ) -> dict[str, Source] | None:
        """Sources by the part they play, or None.

        Parameters
        ----------
        ctx : Context
            The Dataset and its axes.
        declared : Forcing or ForcingRole
            What the model wants.
        done : mapping of str to ForcingRole
            Forcings recognised before.
        lacking : list of str
            Gets a sentence on what is missing, for the message if nothing else is possible.
        """

    @abstractmethod
    def compute(
        self, block: xr.Dataset, layout: Layout, role: ForcingRole, parts: Mapping[str, Array]
    ) -> Array:
        """Values, (time, cell), from those of the sources by their parts.

        Parameters
        ----------
        block : Dataset
            In memory: for the day of the year and the latitude.
        layout : Layout
            Which dimension is what.
        role : ForcingRole
            What ``find`` led to.
        parts : mapping of str to array (time, cell), (cell,) or (month, cell)
            In the units of the sources' targets.
        """

    def conversion_to(self, units: str) -> tuple[float, float]:
        """Scale and offset from what ``compute`` gives to the units of the model."""
        return (1.0, 0.0) if self.units is None else conversion(self.units, units)


def top_of_atmosphere(block: xr.Dataset, layout: Layout) -> Array:
    """Radiation at the top of the atmosphere in W m-2, (time, cell)."""
    day = block[layout.time].dt.dayofyear.values
    return evaporation.extraterrestrial_radiation(day, latitudes(block, layout))


def latitudes(block: xr.Dataset, layout: Layout) -> Array:
    """Latitude of every cell in degrees, (cell,), in stack order.

    From a variable where there is one, else from projected coordinates and their coordinate
    reference system.
    """
    shape = {dim: block.sizes[dim] for dim in layout.space}
    if layout.latitude is not None:
        variable = block[layout.latitude].variable.set_dims(shape).transpose(*layout.space)
        return np.asarray(variable.values, dtype=np.float64).reshape(-1)
    if layout.grid_mapping is None or len(layout.space) != 2:
        raise LayoutError(
            "the latitude of the cells is not known, and potential evaporation needs it. Add it: "
            'ds = ds.assign_coords(lat=(dims, values, {"standard_name": "latitude"})).'
        )
    from pyproj import CRS, Transformer  # heavy, and rarely needed

    attrs = block[layout.grid_mapping].attrs
    wkt = attrs.get("crs_wkt") or attrs.get("spatial_ref")
    crs = CRS.from_user_input(wkt) if wkt else CRS.from_cf(attrs)
    y, x = (block[dim].values for dim in layout.space)
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    transformer = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    _, latitude = transformer.transform(grid_x.ravel(), grid_y.ravel())
    return np.asarray(latitude, dtype=np.float64)
