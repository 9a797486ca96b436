"""Maps out: CF metadata, GeoTIFF, polygons and rasters of basins."""

from .cf import dress, score
from .geotiff import to_geotiff
from .vector import rasterize, to_geopackage
from .writers import Writer, write
from .zarr import to_zarr

__all__ = [
    "Writer",
    "dress",
    "rasterize",
    "score",
    "to_geopackage",
    "to_geotiff",
    "to_zarr",
    "write",
]


def __dir__() -> list[str]:
    return sorted(__all__)
