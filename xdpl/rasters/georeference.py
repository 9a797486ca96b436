"""What GDAL keeps of a CRS: checked where it is written, with the file that GDAL puts beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from pyproj import CRS, Transformer
from rasterio.crs import CRS as RasterioCRS

from ..errors import RasterError
from ..runtime.files import Target
from .grid import Grid

__all__ = ["check_crs", "has_sidecar", "put_sidecar"]

_SIDECAR = ".aux.xml"
"""GDAL writes there what a format can't hold, such as a rotated pole."""

_STALE = (_SIDECAR, ".ovr", ".msk")
"""Files beside a raster that GDAL reads with it: those of an older raster would lie."""

_TOLERANCE = 0.01
"""Cells by which the CRS that is read back may misplace a map."""


def check_crs(draft: Path, grid: Grid, text: str) -> None:
    """Read the CRS back, and see whether it puts the corners of the map where they belong.

    Parameters
    ----------
    draft : Path
        The raster, with its sidecar where it has one.
    grid : Grid
        What was to be written.
    text : str
        Where it is to go, for the message.

    Raises
    ------
    RasterError
        GDAL keeps another CRS, or none.
    """
    with rasterio.open(draft) as raster:
        found = raster.crs
    if found is None or not found.to_wkt():
        raise RasterError(_lost(grid, text, "no CRS is read back"))
    off = _misplaced(grid, found)
    if off > _TOLERANCE:
        raise RasterError(_lost(grid, text, f"what is read back misplaces it by {off:.3g} cells"))


def _lost(grid: Grid, text: str, how: str) -> str:
    return (
        f"the CRS {grid.crs.name!r} can't be kept in the GeoTIFF {text!r}: {how}. Write netCDF, "
        'which keeps it (maps.to_netcdf("maps.nc")), or reproject first: '
        'maps.rio.reproject("EPSG:4326").'
    )


def _misplaced(grid: Grid, found: RasterioCRS) -> float:
    """Distance in cells between the map's places by both CRSs, at most."""
    other = CRS.from_wkt(found.to_wkt(version="WKT2_2019"))
    if other == grid.crs:
        return 0.0
    place = grid.transform
    row, column = (np.linspace(0, size, 5) for size in grid.shape)
    x, y = np.meshgrid(place.c + place.a * column, place.f + place.e * row)
    there = Transformer.from_crs(grid.crs, other, always_xy=True).transform(x, y)
    inside = np.isfinite(there[0]) & np.isfinite(there[1])
    if not inside.any():
        return 0.0  # nothing of the grid lies where either is defined
    right, up = (np.abs(a - b)[inside] for a, b in zip(there, (x, y), strict=True))
    if grid.crs.is_geographic:
        right = np.minimum(right, np.abs(right - 360))
    return float(max(right.max() / abs(place.a), up.max() / abs(place.e)))


def _beside(draft: Path) -> Path:
    return draft.with_name(draft.name + _SIDECAR)


def has_sidecar(draft: Path) -> bool:
    """Whether GDAL put a part of the metadata, such as the CRS, into a file of its own."""
    return _beside(draft).exists()


def put_sidecar(draft: Path, target: Target) -> None:
    """Put the file beside a raster where it belongs, and remove those of an older raster.

    Raises
    ------
    OSError
        It can't be written or removed.
    """
    folder = target.parent
    for suffix in _STALE:
        if suffix == _SIDECAR and has_sidecar(draft):
            folder.child(target.name + suffix).put(_beside(draft))
        else:
            folder.child(target.name + suffix).remove()
