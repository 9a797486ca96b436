"""Maps out: CF metadata, GeoTIFF, polygons and rasters of basins."""

from .cf import dress, score
from .geotiff import to_geotiff
from .vector import rasterize, to_geopackage

__all__ = ["dress", "rasterize", "score", "to_geopackage", "to_geotiff"]
