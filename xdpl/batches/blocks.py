"""The blocks in which a Dataset is read."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..layout import Layout

__all__ = ["blocks_of"]


def blocks_of(ds: xr.Dataset, layout: Layout) -> list[dict[str, slice]]:
    """Chunks of a dask Dataset along its space dimensions; one block where nothing is chunked."""
    blocks: list[dict[str, slice]] = [{}]
    for dim in layout.space:
        sizes = ds.chunksizes.get(dim, (ds.sizes[dim],))
        edges = np.concatenate([[0], np.cumsum(sizes)])
        pieces = [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        blocks = [{**block, dim: piece} for block in blocks for piece in pieces]
    return blocks
