"""Maps out: CF metadata, GeoTIFF, polygons and rasters of basins."""

from .cf import SCORES, dress, score
from .geotiff import to_geotiff
from .vector import rasterize, to_geopackage

__all__ = ["SCORES", "dress", "rasterize", "score", "to_geopackage", "to_geotiff"]
