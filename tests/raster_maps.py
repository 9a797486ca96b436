"""Maps for the tests of rasters: dressed ones in metres, bare ones in degrees."""

from __future__ import annotations

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

from xdpl.rasters import dress
from xdpl.variables import Parameter

DECLARED = {
    "melt_factor": Parameter("mm K-1 day-1", bounds=(1, 8), long_name="melt"),
    "porosity": Parameter("1", bounds=(0.2, 0.7)),
}


def grid(rows: int = 4, columns: int = 5, **extra) -> xr.Dataset:
    """Return two dressed maps in EPSG:3035."""
    x, y = 4.1e6 + 1e4 * np.arange(columns), 2.8e6 - 1e4 * np.arange(rows)
    values = np.arange(rows * columns, dtype="f4").reshape(rows, columns)
    values[0, 1] = np.nan
    maps = xr.Dataset(
        {"melt_factor": (("y", "x"), values), "porosity": (("y", "x"), values / 100)},
        coords={"y": y, "x": x},
    )
    source = maps.rio.write_crs("EPSG:3035")
    provenance = {"model": "HBV", "observation": "SMAP", "seed": 0, "scores": {"rmse": 0.04}}
    return dress(maps, source, DECLARED, provenance | extra)


def degrees(lat, lon, **attrs) -> xr.Dataset:
    values = np.arange(len(lat) * len(lon), dtype="f4").reshape(len(lat), len(lon))
    coords = {
        "lat": ("lat", lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": ("lon", lon, {"standard_name": "longitude", "units": "degrees_east"}),
    }
    return xr.Dataset({"a": (("lat", "lon"), values)}, coords=coords)
