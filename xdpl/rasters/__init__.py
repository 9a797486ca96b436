"""Maps out: CF metadata, GeoTIFF, polygons and rasters of basins."""

from .cf import dress, dress_scores
from .geotiff import to_geotiff
from .vector import rasterize, to_geopackage

__all__ = ["dress", "dress_scores", "rasterize", "to_geopackage", "to_geotiff"]
