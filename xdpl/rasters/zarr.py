"""Maps to zarr, strip by strip: an interrupted write goes on where it was."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..errors import RasterError
from .crs import is_time

__all__ = ["to_zarr"]

NOTED = "xdpl_identity"
"""Attribute of a store that says what was written there."""

VOLATILE = ("history", "date_created")
"""Attributes that differ from call to call."""


def to_zarr(ds: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a Dataset to a zarr store; made again after an interruption, the call goes on.

    Lazy variables are computed and written strip by strip, a strip being all chunks side by side
    along the first dimension of space, so that memory holds one strip. Called again with the same
    Dataset, strips that are there are not computed again.

    Parameters
    ----------
    ds : Dataset
        Maps, or simulations, of this package or others.
    path : path
        Of the store; made where missing.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    RasterError
        There is something else at the path, or it can't be written to.
    """
    path = Path(path)
    ds = _prepared(ds)
    identity = _identity(ds)
    progress = path.with_name(f".{path.name}.progress")
    try:
        if not _begin(path, progress, identity):
            return path
        if not (progress / "metadata").exists():
            ds.assign_attrs({NOTED: identity}).to_zarr(
                path, mode="w", compute=False, consolidated=False
            )
            _note(progress / "metadata")
        for number, (region, strip) in enumerate(_strips(ds)):
            if not (progress / f"strip-{number}").exists():
                strip.to_zarr(path, region=region, consolidated=False)
                _note(progress / f"strip-{number}")
    except OSError as problem:
        raise RasterError(
            f"can't write to {str(path)!r}: {problem.strerror or problem}. What was written is "
            "kept: make room, or get permission, and make the same call again."
        ) from problem
    shutil.rmtree(progress)
    return path


def _begin(path: Path, progress: Path, identity: str) -> bool:
    """Whether there is anything left to do; raise where something else is there."""
    known = progress / "identity"
    if known.exists():
        if known.read_text(encoding="utf-8") == identity:
            return True
        found = "holds other maps that are not finished"
    elif not path.exists():
        progress.mkdir(parents=True, exist_ok=True)
        _note(known, identity)
        return True
    elif _noted(path) == identity:
        return False
    else:
        found = "exists and holds something else"
    raise RasterError(
        f"{str(path)!r} {found}. Give another path, or remove it"
        f"{f' and {str(progress)!r}' if known.exists() else ''}."
    )


def _noted(path: Path) -> str | None:
    """Identity of what a store holds; None where it is none of ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of stores without consolidated metadata
            with xr.open_zarr(path, chunks=None, consolidated=False) as ds:
                found: str | None = ds.attrs.get(NOTED)
                return found
    except Exception:  # whatever is there, it isn't ours
        return None


def _prepared(ds: xr.Dataset) -> xr.Dataset:
    """Equal chunks, which zarr needs, and none remembered from the store that was read."""
    ds = ds.copy()
    lazy = [v for v in ds.data_vars.values() if v.chunks is not None]
    widest = max(lazy, key=lambda v: v.ndim, default=None)
    common = {} if widest is None else {d: max(n) for d, n in widest.chunksizes.items()}
    for name in ds.variables:
        if ds[name].chunks is not None:
            own = {dim: max(n) for dim, n in ds[name].chunksizes.items()}
            ds[name] = ds[name].chunk({dim: common.get(dim, size) for dim, size in own.items()})
        for key in ("chunks", "preferred_chunks", "shards", "source"):
            ds[name].encoding.pop(key, None)
    dim = _strip_dim(ds)
    apart = [name for name, v in ds.data_vars.items() if v.chunks is not None and dim not in v.dims]
    return ds.assign({name: ds[name].compute() for name in apart})


def _strip_dim(ds: xr.Dataset) -> str | None:
    """First dimension of space of the lazy variable with most dimensions."""
    lazy = [v for v in ds.data_vars.values() if v.chunks is not None]
    if not lazy:
        return None
    dims = max(lazy, key=lambda v: v.ndim).dims[-2:]
    space = [dim for dim in dims if not (dim in ds.coords and is_time(ds[dim]))]
    return str(space[0] if space else dims[-1])


def _identity(ds: xr.Dataset) -> str:
    """What tells one Dataset from another uncomputed: names, shapes, chunks, labels, attributes."""

    def lasting(attrs: Mapping[Any, Any]) -> str:
        return str({k: v for k, v in attrs.items() if k not in VOLATILE})

    parts = [lasting(ds.attrs)]
    for name, v in sorted(ds.variables.items(), key=lambda item: str(item[0])):
        parts += map(str, (name, v.dims, v.shape, v.dtype, v.chunks, lasting(v.attrs)))
    parts += [str(list(index)) for index in ds.indexes.values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _strips(ds: xr.Dataset) -> Iterator[tuple[dict[str, slice], xr.Dataset]]:
    """Parts of the lazy variables, one after the other along a dimension of space."""
    dim = _strip_dim(ds)
    if dim is None:
        return
    lazy = ds[[name for name, v in ds.data_vars.items() if v.chunks is not None]]
    lazy = lazy.drop_vars(list(lazy.coords))
    sizes = max((v.chunksizes[dim] for v in lazy.data_vars.values()), key=lambda sizes: sizes[0])
    for stop, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
        region = {dim: slice(stop - size, stop)}
        yield region, lazy.isel(region)


def _note(path: Path, text: str = "") -> None:
    """Write a small file that is there whole or not at all, after a crash, too."""
    draft = path.with_suffix(".part")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
