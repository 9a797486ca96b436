"""Where a cell lies, in one room: axes, coordinate reference systems, positions, neighbours."""

from .axes import (
    direction,
    find_basin,
    find_grid,
    is_geometry,
    is_latitude,
    is_longitude,
    is_time,
    ordered,
    varies_in_time,
)
from .crs import GRID_MAPPING, crs_of, find_grid_mapping, is_geographic, stated_crs
from .neighbours import blocks, grid_pairs, nearest
from .positions import find_latitude, find_positions, geographic_positions, positions

__all__ = [
    "GRID_MAPPING",
    "blocks",
    "crs_of",
    "direction",
    "find_basin",
    "find_grid",
    "find_grid_mapping",
    "find_latitude",
    "find_positions",
    "geographic_positions",
    "grid_pairs",
    "is_geographic",
    "is_geometry",
    "is_latitude",
    "is_longitude",
    "is_time",
    "nearest",
    "ordered",
    "positions",
    "stated_crs",
    "varies_in_time",
]
