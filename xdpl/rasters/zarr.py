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
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import RasterError
from ..runtime.files import as_path, write_safely
from ..spatial import varies_in_time

__all__ = ["to_zarr"]

NOTED = "xdpl_identity"
"""Attribute of a store that says what was written there."""

VOLATILE = ("history", "date_created")
"""Attributes that differ from call to call."""


def to_zarr(ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a Dataset to a zarr store; made again after an interruption, the call goes on.

    Lazy variables are computed and written strip by strip, a strip being all chunks side by side
    along the first dimension of space, so that memory holds one strip. Called again with the same
    Dataset, strips that are there are not computed again, and a store that is whole is left as it
    is. Maps of a Fit are known by what they are made of, in any process. Where dask can't tell that
    they are the same, one of the strips is computed, to compare; and a store that is whole is
    refused.

    Parameters
    ----------
    ds : Dataset
        Maps, or simulations, of this package or others.
    path : path
        Of the store; made where missing.
    overwrite : bool
        Write anew over maps that this function wrote, finished or not.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    RasterError
        There is something else at the path, or maybe other values, or it can't be written to.
    """
    path = as_path(path)
    ds = _prepared(ds)
    identity = f"{_identity(ds)} {_values(ds)}"
    progress = path.with_name(f".{path.name}.progress")
    try:
        if overwrite:
            _clear(path, progress)
        if not _begin(path, progress, identity, ds):
            return path
        if not (progress / "metadata").exists():
            ds.assign_attrs({NOTED: identity}).to_zarr(
                path, mode="w", compute=False, consolidated=False
            )
            write_safely(progress / "metadata", b"")
        for number, (region, strip) in enumerate(_strips(ds)):
            if not (progress / f"strip-{number}").exists():
                strip.to_zarr(path, region=region, consolidated=False)
                write_safely(progress / f"strip-{number}", b"")
    except OSError as problem:
        raise RasterError(
            f"can't write to {str(path)!r}: {problem.strerror or problem}. What was written is "
            "kept: make room, or get permission, and make the same call again."
        ) from problem
    shutil.rmtree(progress)
    return path


def _clear(path: Path, progress: Path) -> None:
    """Remove what was written here before; never what somebody else wrote."""
    old = path.with_name(f".{path.name}.removed-by-xdpl")
    shutil.rmtree(old, ignore_errors=True)
    if _noted(path) is not None:
        os.replace(path, old)  # at once: half a store would be nobody's
        shutil.rmtree(old)
    shutil.rmtree(progress, ignore_errors=True)


def _begin(path: Path, progress: Path, identity: str, ds: xr.Dataset) -> bool:
    """Whether there is anything left to do; raise where something else is there."""
    known = progress / "identity"
    if not path.exists():  # or no longer: what was noted of it is void
        shutil.rmtree(progress, ignore_errors=True)
        progress.mkdir(parents=True)
        write_safely(known, identity.encode())
        return True
    if known.exists():
        if _goes_on(path, progress, known.read_text(encoding="utf-8"), identity, ds):
            return True
        found = "holds other maps that are not finished"
    else:
        noted = _noted(path)
        if noted == identity:
            return False
        found = "exists and holds something else"
        if noted is not None:
            found = "is written already, and whether with the same values is not known"
    raise RasterError(f"{str(path)!r} {found}. Give another path{_remedy(path)}.")


def _remedy(path: Path) -> str:
    return ", or remove it" if _noted(path) is None else ", or overwrite=True to write it anew"


def _goes_on(path: Path, progress: Path, known: str, identity: str, ds: xr.Dataset) -> bool:
    """Whether what is there is the beginning of this Dataset; a strip is compared in doubt."""
    if known == identity:
        return True
    if known.split()[0] != identity.split()[0]:
        return False
    for number, (region, strip) in enumerate(_strips(ds)):
        if (progress / f"strip-{number}").exists():
            with _opened(path) as there:
                return all(_same(v, there[name].isel(region)) for name, v in strip.items())
    return True  # nothing was written yet


def _same(one: xr.DataArray, other: xr.DataArray) -> bool:
    """Whether values differ by rounding at most: a GPU or other threads may round otherwise."""
    a, b = one.values, other.transpose(*one.dims).values
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    return np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


def _noted(path: Path) -> str | None:
    """Identity of what a store holds; None where it is none of ours."""
    try:
        with _opened(path) as ds:
            found: str | None = ds.attrs.get(NOTED)
            return found
    except Exception:  # whatever is there, it isn't ours
        return None


def _opened(path: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of stores without consolidated metadata
        return xr.open_zarr(path, chunks=None, consolidated=False)


def _with_text(ds: xr.Dataset) -> xr.Dataset:
    """Text of any length, which all readers of zarr know, in place of netCDF's characters."""
    for name in [n for n, v in ds.variables.items() if v.dtype.kind in "US"]:
        text = ds[name].variable
        if text.dtype.kind == "S":
            text = text.copy(data=np.char.decode(text.values, "utf-8"))
        ds = ds.assign({name: text.astype(object)})
    for variable in ds.variables.values():
        if variable.dtype.kind in "TO":
            for key in ("dtype", "char_dim_name"):
                variable.encoding.pop(key, None)
    return ds


def _prepared(ds: xr.Dataset) -> xr.Dataset:
    """Equal chunks, which zarr needs, and none remembered from the store that was read."""
    ds = ds.copy()
    for dim, index in ds.indexes.items():
        if isinstance(index, pd.MultiIndex):
            raise RasterError(
                f"zarr can't hold the MultiIndex {dim!r} of {', '.join(map(str, index.names))}. "
                f"Write ds.reset_index({dim!r}), or a grid: ds.unstack({dim!r})."
            )
    lazy = [v for v in ds.data_vars.values() if v.chunks is not None]
    widest = max(lazy, key=lambda v: v.ndim, default=None)
    common = {} if widest is None else {d: max(n) for d, n in widest.chunksizes.items()}
    for name in ds.variables:
        if ds[name].chunks is not None:
            own = {dim: max(n) for dim, n in ds[name].chunksizes.items()}
            ds[name] = ds[name].chunk({dim: common.get(dim, size) for dim, size in own.items()})
        for key in ("chunks", "preferred_chunks", "shards", "source"):
            ds[name].encoding.pop(key, None)
    ds = _with_text(ds)
    dim = _strip_dim(ds)
    apart = [name for name, v in ds.data_vars.items() if v.chunks is not None and dim not in v.dims]
    return ds.assign(ds[apart].compute().data_vars)


def _strip_dim(ds: xr.Dataset) -> str | None:
    """Dimension that most of the lazy variables have, time aside; the first of several."""
    lazy = [v for v in ds.data_vars.values() if v.chunks is not None]
    if not lazy:
        return None
    dims = max(lazy, key=lambda v: v.ndim).dims
    space = [dim for dim in dims if not varies_in_time(ds, dim)]
    return str(max(space, key=lambda dim: sum(dim in v.dims for v in lazy)) if space else dims[-1])


def _identity(ds: xr.Dataset) -> str:
    """What tells one Dataset from another uncomputed: all but the values of lazy variables."""

    def lasting(attrs: Mapping[Any, Any]) -> str:
        return str({k: v for k, v in attrs.items() if k not in VOLATILE})

    parts = [lasting(ds.attrs)]
    for name, v in sorted(ds.variables.items(), key=lambda item: str(item[0])):
        parts += map(str, (name, v.dims, v.shape, v.dtype, v.chunks, lasting(v.attrs)))
        if v.chunks is None:
            parts.append(hashlib.sha256(_bytes(v.values)).hexdigest())
    parts += [str(list(index)) for index in ds.indexes.values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _bytes(values: NDArray[Any]) -> bytes:
    return str(values.tolist()).encode() if values.dtype.kind == "O" else values.tobytes()


def _values(ds: xr.Dataset) -> str:
    """What dask calls the lazy values: equal names are equal values, others may be."""
    names = [str(v.data.name) for v in ds.variables.values() if v.chunks is not None]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


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
