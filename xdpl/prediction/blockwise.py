"""Apply a function of a block to a whole Dataset: at once, or lazily by dask chunk."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import dask
import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..batches import chunk_sizes
from ..layout import Findings, Layout
from .digest import digest
from .readable import readable

__all__ = ["LEFT_OUT", "Values", "by_block"]

LEFT_OUT = ("no forcing", "no attributes", "fill", "class", "no past")
"""Kinds of cells that get no values, or less sure ones, of which predictions warn."""

Values = dict[str, NDArray[np.generic]]
"""Arrays (..., cell) by name."""

Compute = Callable[[xr.Dataset], tuple[Values, Findings]]
"""From a block to {name: (*dims, cell)}, cells in stack order, and what was found in it."""


def by_block(
    compute: Compute,
    source: xr.Dataset,
    layout: Layout,
    dims: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, int],
    reported: set[str],
    dtypes: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Apply a function of a block to all of them; lazily where any variable is a dask array.

    Warnings of what was found come at once where all is computed at once; a task of dask has
    nobody to warn. Those in ``reported`` are not repeated.
    """
    # by name: a store may list its variables in another order each time that it is opened
    lazy = sorted(str(name) for name, v in source.variables.items() if v.chunks is not None)
    results: Mapping[str, object]
    if lazy:
        results = _lazily(compute, source, layout, dims, sizes, dtypes or {}, lazy)
    else:
        values, findings = compute(source)
        findings.warn(LEFT_OUT, reported)
        reported.update(findings.messages(LEFT_OUT))
        shape = tuple(source.sizes[d] for d in layout.space)
        results = {name: _unstacked(values[name], shape) for name in dims}
    index = {d: source.coords[d] for d in layout.space if d in source.indexes}
    variables = {name: ((*extra, *layout.space), results[name]) for name, extra in dims.items()}
    return xr.Dataset(variables, coords=index)


def _unstacked(values: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    return values.reshape(values.shape[:-1] + shape)


@dataclass(frozen=True)
class _Blocks:
    """All that the blocks have in common: one task of its own, so that a worker gets it once.

    Attributes
    ----------
    compute : callable
        With the fit in it.
    rest : Dataset
        What is in memory already, of all cells.
    lazy : dict of str to (tuple of str, dict, bool)
        Dimensions and attributes of the variables that come block by block, and whether each is
        a coordinate.
    space : tuple of str
    """

    compute: Compute
    rest: xr.Dataset
    lazy: Mapping[str, tuple[tuple[str, ...], dict[Hashable, object], bool]]
    space: tuple[str, ...]

    def __call__(self, arrays: Sequence[NDArray[np.generic]]) -> tuple[Values, tuple[int, ...]]:
        """Values of one block, from its arrays and, after them, the positions of its cells."""
        positions = dict(zip(self.space, arrays[len(self.lazy) :], strict=True))
        here = {dim: slice(int(at[0]), int(at[-1]) + 1) for dim, at in positions.items() if len(at)}
        block = self.rest.isel(here, missing_dims="ignore")
        series = dict(zip(self.lazy, arrays[: len(self.lazy)], strict=True))
        block = block.assign(
            {name: (self.lazy[name][0], a, self.lazy[name][1]) for name, a in series.items()}
        )
        block = block.set_coords([name for name, (_, _, coord) in self.lazy.items() if coord])
        values, _ = self.compute(block)
        return values, tuple(len(at) for at in positions.values())


def _run(*arrays: NDArray[np.generic], blocks: _Blocks) -> NDArray[np.generic]:
    """All values of a block in one object: they come from one computation."""
    held = np.empty((1,) * len(blocks.space), dtype=object)
    held.flat[0] = blocks(arrays)
    return held


def _pick(held: NDArray[np.generic], which: str, kind: str) -> NDArray[np.generic]:
    values, shape = held.item()
    return _unstacked(values[which], shape).astype(kind, copy=False)


def _lazily(
    compute: Compute,
    source: xr.Dataset,
    layout: Layout,
    dims: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, int],
    dtypes: Mapping[str, str],
    lazy: Sequence[str],
) -> dict[str, dask.array.Array]:
    """One task a block, which reads, computes and holds one block; no graph grows with cells."""
    space = layout.space
    cut = {dim: chunk_sizes(source, layout, dim) for dim in space}
    chunks: dict[str, int | tuple[int, ...]] = {**cut, layout.time: -1}
    arrays: list[object] = []
    for name in lazy:
        variable = readable(source[name].variable)
        here = {dim: size for dim, size in chunks.items() if dim in variable.dims}
        arrays += [variable.chunk(here).data, variable.dims]
    for dim in space:
        arrays += [dask.array.arange(sum(cut[dim]), chunks=(cut[dim],)), (dim,)]
    described = {
        name: (
            tuple(map(str, source[name].dims)), dict(source[name].attrs), name in source.coords,
        )
        for name in lazy
    }  # fmt: skip
    blocks = _Blocks(compute, source.drop_vars(lazy), described, space)
    # the same in every process, so that what was written of it is known again; two fits that only
    # look alike are two tasks
    shared = dask.delayed(blocks, name=f"xdpl-blocks-{digest(blocks)}", traverse=False)
    held = dask.array.blockwise(
        _run, space, *arrays, blocks=shared, concatenate=True, dtype=object,
        meta=np.empty((0,) * len(space), dtype=object),
    )  # fmt: skip
    return {
        name: dask.array.blockwise(
            _pick, (*extra, *space), held, space, new_axes={d: sizes[d] for d in extra},
            which=name, kind=dtypes.get(name, "f4"), dtype=dtypes.get(name, "f4"),
        )
        for name, extra in dims.items()
    }  # fmt: skip
