"""The blocks in which a Dataset is read: its chunks, merged where tiny and split where huge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..layout import Layout

__all__ = ["LARGEST", "MERGED", "blocks_of", "bytes_per_cell", "chunk_sizes", "spans_of"]

LARGEST = 64 * 2**20
"""Bytes of series that are read at a time at most, as far as the chunks allow it."""

MERGED = 16
"""Cells up to which neighbouring chunks are read together."""


def bytes_per_cell(ds: xr.Dataset, layout: Layout) -> int:
    """Bytes that the series of one cell take in memory, forcings and observations."""
    series = len(layout.forcings) + len(layout.observed)
    return 4 * int(ds.sizes[layout.time]) * series


def chunk_sizes(ds: xr.Dataset, layout: Layout, dim: str) -> tuple[int, ...]:
    """Chunks along a dimension: those of the first variable that has any, series before others.

    In a store, variables of different shape may well have different chunks.
    """
    for name in (*layout.variables(), *ds.variables):
        variable = ds.variables.get(name)
        if variable is not None and variable.chunks is not None and dim in variable.dims:
            return tuple(variable.chunksizes[dim])
    return (int(ds.sizes[dim]),)


def blocks_of(ds: xr.Dataset, layout: Layout, largest: int = LARGEST) -> list[dict[str, slice]]:
    """Blocks along the space dimensions: the chunks of a dask Dataset, or one block.

    Neighbouring chunks of a few cells are merged. A chunk is split where one of its time chunks
    alone has more than ``largest`` bytes, and so is a variable that lies in a file unchunked.
    """
    if not layout.space:
        return [{}]
    pieces = {dim: chunk_sizes(ds, layout, dim) for dim in layout.space}
    last = layout.space[-1]
    others = [max(sizes) for dim, sizes in pieces.items() if dim != last]
    pieces[last] = _merged(pieces[last], max(1, MERGED // int(np.prod(others, dtype=int))))
    steps = max(chunk_sizes(ds, layout, layout.time))
    share = steps / max(1, ds.sizes[layout.time])
    if not all(v._in_memory for v in ds.variables.values()):
        most = max(1, int(largest / max(1.0, bytes_per_cell(ds, layout) * share)))
        pieces = _split(pieces, most)
    blocks: list[dict[str, slice]] = [{}]
    for dim, sizes in pieces.items():
        blocks = [{**block, dim: piece} for block in blocks for piece in _slices(sizes)]
    return blocks


def spans_of(ds: xr.Dataset, layout: Layout, cells: int, largest: int = LARGEST) -> list[slice]:
    """Spans of time in which a block of so many cells is read: whole time chunks, or all at once.

    Parameters
    ----------
    ds, layout
        The Dataset, and what its variables are.
    cells : int
        Cells of the largest block.
    largest : int
        Bytes of a block and span, as far as the time chunks allow it.
    """
    sizes = chunk_sizes(ds, layout, layout.time)
    steps = int(ds.sizes[layout.time])
    most = largest * steps // max(1, bytes_per_cell(ds, layout) * cells)
    return _slices(_merged(sizes, most)) if steps > most else [slice(0, steps)]


def _slices(sizes: Sequence[int]) -> list[slice]:
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _merged(sizes: Sequence[int], most: int) -> tuple[int, ...]:
    """Neighbours put together as long as the sum is at most ``most``."""
    merged = [sizes[0]]
    for size in sizes[1:]:
        if merged[-1] + size <= most:
            merged[-1] += size
        else:
            merged.append(size)
    return tuple(merged)


def _split(pieces: dict[str, tuple[int, ...]], most: int) -> dict[str, tuple[int, ...]]:
    """Sizes along each dimension, cut so that no block has more than ``most`` cells."""
    result = dict(pieces)
    for dim in pieces:  # rows first: those of a chunk lie one after the other
        widest = int(np.prod([max(sizes) for sizes in result.values()], dtype=int))
        parts = -(-widest // most)
        if parts > 1:
            result[dim] = tuple(
                len(part)
                for size in result[dim]
                for part in np.array_split(np.arange(size), min(parts, size))
            )
    return result
