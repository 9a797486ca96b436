"""Basins as polygons and as rasters."""

from __future__ import annotations

from typing import Any

import xarray as xr


def rasterize(ds: xr.Dataset, geometries: Any = None, **kw: Any) -> xr.Dataset:
    raise NotImplementedError


def to_geopackage(ds: xr.Dataset, path: Any, geometries: Any = None) -> Any:
    raise NotImplementedError
