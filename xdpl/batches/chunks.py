"""Say which chunks to choose where those of the store and those asked for don't fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..errors import warn
from ..layout import Layout
from .blocks import LARGEST, bytes_per_cell, chunk_sizes

__all__ = ["advise", "reads_per_chunk"]

BEARABLE = 1.5
"""Times that a chunk of the store may be read in one pass before it is worth a word."""

TINY = 16
"""Cells of a block up to which calling costs more than reading."""


def reads_per_chunk(ds: xr.Dataset, layout: Layout, blocks: Sequence[dict[str, slice]]) -> float:
    """How often each chunk of the store is read in one pass over all blocks, on average.

    The store's chunks are those of the file where the Dataset remembers them, else those of its
    dask arrays.
    """
    worst = 1.0
    for name in layout.variables(forcing=True, observed=True, attribute=False):
        variable = ds[name].variable
        times = 1.0
        for dim in layout.space:
            if dim not in variable.dims:
                continue
            edges = _edges(variable, dim)
            spans = {(block[dim].start, block[dim].stop) for block in blocks}
            touched = sum(
                int(np.searchsorted(edges, stop, "left") - np.searchsorted(edges, start, "right"))
                + 1
                for start, stop in spans
            )
            times *= touched / (len(edges) - 1)
        worst = max(worst, times)
    return worst


def _edges(variable: xr.Variable, dim: str) -> np.ndarray:
    """Where the chunks of a variable begin along a dimension, and the end."""
    size = variable.sizes[dim]
    stored = variable.encoding.get("preferred_chunks", {}).get(dim)
    if stored is None:
        chunks = variable.chunksizes.get(dim, (size,))
        return np.concatenate([[0], np.cumsum(chunks)])
    steps = stored if isinstance(stored, int) else stored[0]
    return np.append(np.arange(0, size, steps), size)


def advise(ds: xr.Dataset, layout: Layout, blocks: Sequence[dict[str, slice]]) -> None:
    """Warn, with the call to run, where chunks are read many times over or are tiny."""
    if all(variable.chunks is None for variable in ds.variables.values()):
        return
    times = reads_per_chunk(ds, layout, blocks)
    wanted = _wanted(ds, layout)
    call = ", ".join(f'"{dim}": {size}' for dim, size in wanted.items())
    if times > BEARABLE:
        read = f"each chunk of the store is read {times:.3g} times in one pass"
        if _along_time(ds, layout):
            remedy = (
                "Write it once with others and open that: "
                f"ds.chunk({{{call}}}).drop_encoding().to_zarr('rechunked.zarr')."
            )
        else:
            remedy = f"Call ds = ds.chunk({{{call}}}) before."
        warn(f"{read}: {_described(ds, layout)}. {remedy}")
    cells = int(np.prod([ds.sizes[dim] for dim in layout.space], dtype=int))
    if len(blocks) > 100 and cells / len(blocks) < TINY:
        warn(
            f"the chunks hold {cells / len(blocks):.3g} cells each, and {len(blocks)} blocks take "
            f"longer to call for than to read. Call ds = ds.chunk({{{call}}}) before."
        )


def _stored(ds: xr.Dataset, layout: Layout) -> dict[str, int]:
    """Chunk sizes of the first forcing in the store."""
    name = next(iter(layout.variables(forcing=True, observed=False, attribute=False)))
    variable = ds[name].variable
    return {str(dim): int(np.diff(_edges(variable, str(dim))).max()) for dim in variable.dims}


def _along_time(ds: xr.Dataset, layout: Layout) -> bool:
    """Whether a chunk of the store, with all times, is too large to be read as one block."""
    stored = _stored(ds, layout)
    cells = int(np.prod([stored.get(dim, 1) for dim in layout.space], dtype=int))
    return cells * bytes_per_cell(ds, layout) > 4 * LARGEST


def _wanted(ds: xr.Dataset, layout: Layout) -> dict[str, int]:
    """Chunks to ask for: all times, and as many cells as are read at a time."""
    most = max(1.0, LARGEST / max(1, bytes_per_cell(ds, layout)))
    side = most ** (1 / max(1, len(layout.space)))
    stored = {} if _along_time(ds, layout) else _stored(ds, layout)
    wanted = {layout.time: -1}
    for dim in layout.space:
        base = stored.get(dim, 1)
        size = max(base, int(side // base) * base) if base > 1 else max(1, int(side))
        wanted[dim] = min(size, int(ds.sizes[dim]))
    return wanted


def _described(ds: xr.Dataset, layout: Layout) -> str:
    def text(sizes: dict[str, int]) -> str:
        return ", ".join(f"{dim}: {size}" for dim, size in sizes.items())

    here = {dim: max(chunk_sizes(ds, layout, dim)) for dim in (layout.time, *layout.space)}
    return f"its chunks are ({text(_stored(ds, layout))}), those of the Dataset ({text(here)})"
