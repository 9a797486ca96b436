"""Stores for ``scale.py``: some years of daily weather and streamflow, in chunks of all times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SIDE = 32
"""Rows and columns of a chunk."""


def write_store(path: Path, rows: int, columns: int, days: int) -> float:
    """Write a store of chunks of all times; return its size in GB, uncompressed."""
    import xarray as xr

    draw = np.random.default_rng(0)
    season = np.sin(2 * np.pi * np.arange(days) / 365.25)
    wet = np.where(draw.random((days, 16)) < 0.3, draw.gamma(1.0, 8.0, (days, 16)), 0.0)
    flow = 0.3 * pd.DataFrame(wet).ewm(alpha=0.05).mean().to_numpy()
    series = {
        "prcp": (wet, "mm day-1"),
        "tas": (10 + 12 * season[:, None] + draw.normal(0, 3, (days, 16)), "degC"),
        "pet": (np.repeat((2.5 + 2 * season)[:, None], 16, 1), "mm day-1"),
        "qobs": (flow, "mm day-1"),
    }
    space = ("time", "y", "x")
    time_axis = pd.date_range("2000-01-01", periods=days)
    coords = {
        "time": time_axis,
        "y": ("y", np.linspace(60, 30, rows), {"units": "degrees_north"}),
        "x": ("x", np.linspace(-120, -70, columns), {"units": "degrees_east"}),
    }
    import dask.array as da

    chunks = (days, SIDE, SIDE)
    ds = xr.Dataset(coords=coords)
    for name, (values, units) in series.items():
        tile = np.tile(values.astype("f4")[:, None, :], (1, SIDE, SIDE // 16))
        data = da.map_blocks(
            _tile, tile=tile, chunks=da.core.normalize_chunks(chunks, (days, rows, columns)),
            dtype="f4",
        )  # fmt: skip
        ds[name] = (space, data, {"units": units})
    for name in ("elevation", "forest", "sand"):
        values = draw.random((rows, columns)).astype("f4")
        ds[name] = (("y", "x"), da.from_array(values, chunks=(SIDE, SIDE)), {"units": "1"})
    ds.to_zarr(path, mode="w", consolidated=False)
    return ds.nbytes / 1e9


def _tile(tile: np.ndarray, block_info: Any = None) -> np.ndarray:
    shape = block_info[None]["chunk-shape"]
    return tile[:, : shape[1], : shape[2]]


def opened(path: Path) -> Any:
    import xarray as xr

    return xr.open_zarr(path, consolidated=False)
