"""Apply a function of a block to a whole Dataset: at once, or lazily by dask chunk."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import dask.array
import xarray as xr
from numpy.typing import NDArray

from ..layout import Findings, Layout

__all__ = ["LEFT_OUT", "Values", "by_block"]

LEFT_OUT = ("no forcing", "no attributes", "class", "no past")
"""What is warned of when a Fit is asked: cells that get no values, or less sure ones."""

Values = dict[str, NDArray[Any]]
"""Arrays (..., cell) by name."""


def by_block(
    compute: Callable[[xr.Dataset], tuple[Values, Findings]],
    source: xr.Dataset,
    layout: Layout,
    dims: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, int],
    said: set[str],
    dtypes: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Apply a function of a block to all of them; lazily where any variable is a dask array.

    The function gives {name: (*dims[name], cell)}, cells in stack order, and what was found. That
    is warned of at once where all is computed at once; a task of dask has nobody to warn.
    """

    def as_maps(block: xr.Dataset, warn: bool = False, call: str = "") -> xr.Dataset:
        values, findings = compute(block)
        if warn:
            findings.warn(LEFT_OUT, said)
            said.update(findings.messages(LEFT_OUT))
        shape = tuple(block.sizes[d] for d in layout.space)
        index = {d: block.coords[d] for d in layout.space if d in block.indexes}
        variables = {
            name: ((*extra, *layout.space), values[name].reshape(values[name].shape[:-1] + shape))
            for name, extra in dims.items()
        }
        return xr.Dataset(variables, coords=index)

    if not any(source.chunks):
        return as_maps(source, warn=True)
    if layout.time in source.dims:
        source = source.chunk({layout.time: -1})
    chunks = {d: source.chunksizes.get(d, (source.sizes[d],)) for d in layout.space}
    source = source.chunk(chunks).unify_chunks()
    template = xr.Dataset(
        {
            name: (
                (*extra, *layout.space),
                dask.array.empty(
                    [sizes[d] for d in extra] + [sum(chunks[d]) for d in layout.space],
                    chunks=tuple((sizes[d],) for d in extra) + tuple(chunks.values()),
                    dtype=(dtypes or {}).get(name, "f4"),
                ),
            )
            for name, extra in dims.items()
        },
        coords={d: source.coords[d] for d in layout.space if d in source.indexes},
    )
    # xarray names tasks after what they are given, whatever the function: two maps of one Dataset,
    # by two fits, would be taken for the same
    return xr.map_blocks(as_maps, source, kwargs={"call": uuid.uuid4().hex}, template=template)
