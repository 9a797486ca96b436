"""Maps to zarr, strip by strip: an interrupted write goes on where it was."""

from __future__ import annotations

import errno
import hashlib
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import RasterError, XdplError, warn
from ..public import public
from ..runtime.files import reason_of
from ..spatial import varies_in_time
from .sources import Sources, overlap, sources_of
from .stores import LocalPlace, Place, StoreTarget, as_place, check_codecs

if TYPE_CHECKING:
    from pathlib import Path

    from zarr.abc.store import Store

__all__ = ["to_zarr"]

What = TypeVar("What")

NOTED = "xdpl_identity"
"""Attribute of a store that says what was written there."""

UNFINISHED = "xdpl_unfinished"
"""Attribute of a store that isn't whole yet: the number of strips that are there."""

VOLATILE = ("history", "date_created", NOTED, UNFINISHED)
"""Attributes that differ from call to call."""

_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

Region = dict[str, slice]


@public()
def to_zarr(ds: xr.Dataset, path: StoreTarget, *, overwrite: bool = False) -> Path | str | Store:
    """Write a Dataset to a zarr store; made again after an interruption, the call goes on.

    Lazy variables are computed and written strip by strip, a strip being all chunks side by side
    along the first dimension of space, so that memory holds one strip. A local store is written
    beside its place and appears there when it is whole. Called again with the same Dataset, strips
    that are there are not computed again, and a store that is whole is left as it is.

    Parameters
    ----------
    ds : Dataset
        Maps, or simulations, of this package or others.
    path : path, URL or store
        A local path; a URL of fsspec, such as ``"s3://bucket/maps.zarr"``; or a store object of
        zarr, such as icechunk's ``session.store``.
    overwrite : bool
        Write anew over maps that this function wrote, finished or not.

    Returns
    -------
    Path, str or Store
        The store, as it was given.

    Raises
    ------
    RasterError
        There is something else at the path, or maybe other values; the values are read from there;
        they can't be computed; or it can't be written to.

    Notes
    -----
    Two Datasets count as the same if all of these are equal: names, dimensions, attributes and
    values in memory; the names that dask gives to the lazy values; and the state of what these are
    read from (size and time of change of each file and chunk, and arrays in memory, value by
    value). Where only the state differs, data were corrected since: the store is written anew, with
    a warning. Where dask's names differ, an unfinished store is gone on with if one of its
    strips has the same values; a store that is whole is refused.

    Threads and processes that write one store take turns. Stores that aren't local folders are
    written in place, without a lock.

    Examples
    --------
    >>> maps.dpl.to_zarr("maps.zarr")  # doctest: +SKIP
    >>> xr.open_zarr("maps.zarr", consolidated=False)  # doctest: +SKIP
    """
    place = as_place(path)
    sources = sources_of(ds)
    writer = _ZarrWriter(place, sources, overwrite)
    try:
        with place.held():
            for region in writer.plan(ds):
                writer.write_block(region)
            writer.commit()
    except OSError as problem:
        if isinstance(problem, XdplError):
            raise
        raise RasterError(
            f"can't write to {place.text!r}: {reason_of(problem)}. What was written is "
            "kept: make room, or get permission, and make the same call again."
        ) from problem
    return place.result


class _ZarrWriter:
    """Writes one Dataset: `plan` lays the store out, `write_block` fills it, `commit` shows it."""

    def __init__(self, place: Place, sources: Sources, overwrite: bool) -> None:
        self.place, self.sources, self.overwrite = place, sources, overwrite
        self.strips: list[tuple[Region, xr.Dataset]] = []
        self.done, self.whole = 0, False

    def plan(self, ds: xr.Dataset) -> Iterator[Region]:
        """Lay out the store, or find what is there of it; then give the strips to write."""
        self._refuse_source()
        ds = _prepared(ds)
        self.strips = list(_strips(ds))
        identity = f"{_identity(ds)} {_values(ds)} {self.sources.state}"
        if self._is_whole(identity):
            self.whole = True
            return
        if not self._goes_on(identity):
            self.place.clear()
            self._store_errors(self._lay_out, ds, identity)
        yield from (region for region, _ in self.strips[self.done :])

    def write_block(self, region: Region) -> None:
        """Compute a strip, and write it."""
        strip = self.strips[self.done][1]
        self._store_errors(self._write, strip, region)
        self.done += 1
        _note(self.place, self.done)

    def commit(self) -> None:
        """Show the store under its name, now that it is whole."""
        if not self.whole:
            self.place.note({UNFINISHED: None})
            self.place.commit()

    def _lay_out(self, ds: xr.Dataset, identity: str) -> None:
        noted = ds.assign_attrs({NOTED: identity, UNFINISHED: 0})
        noted.to_zarr(
            self.place.draft, group=self.place.group or None, mode="w", compute=False,
            consolidated=False,
        )  # fmt: skip

    def _write(self, strip: xr.Dataset, region: Region) -> None:
        strip.to_zarr(
            self.place.draft, group=self.place.group or None, region=region, consolidated=False
        )

    def _store_errors(
        self, write: Callable[[xr.Dataset, What], object], ds: xr.Dataset, what: What
    ) -> None:
        """Say what can be done where values can't be computed, or a store can't be written."""
        try:
            write(ds, what)
        except XdplError:
            raise
        except Exception as problem:
            if isinstance(problem, OSError) and problem.errno in _NO_PLACE:
                raise
            read = ", ".join(repr(place) for place in sorted(self.sources.places)[:3])
            raise RasterError(
                f"values for {self.place.text!r} can't be computed or written"
                f"{f' ({what})' if isinstance(what, dict) else ''}: {type(problem).__name__}: "
                f"{reason_of(problem)[:300]}. "
                + (f"Check what they are read from: {read}. " if read else "")
                + "What was written is kept: the same call goes on."
            ) from problem

    def _refuse_source(self) -> None:
        """Raise where values are read from what would be replaced, before anything is touched."""
        if not self.place.exists():
            return
        read = [p for p in sorted(self.sources.places) if overlap(p, self.place.location)]
        if read:
            raise RasterError(
                f"the values for {self.place.text!r} are read from there ({read[0]!r}), and would "
                "be lost. Give another path, or load them first: ds.load()."
            )

    def _is_whole(self, identity: str) -> bool:
        """Whether all is there already; raise where something else is that must stay."""
        place = self.place
        if not place.exists():
            return False
        there = place.attributes()
        noted = None if there is None else there.get(NOTED)
        if not isinstance(noted, str):
            raise self._occupied("exists and holds something else", ", or remove it")
        if self.overwrite or UNFINISHED in (there or {}):
            return False
        if noted == identity and not self._left_by_earlier_version():
            if self._may_have_changed() and not self._agrees(0):
                self._say_anew()
                return False
            return True
        if _same_call(noted, identity):
            self._say_anew()
            return False
        raise self._occupied(
            "is written already, and whether with the same values is not known",
            ", or overwrite=True to write it anew",
        )

    def _left_by_earlier_version(self) -> bool:
        """Whether an earlier version was interrupted as it wrote the store in place."""
        place = self.place
        return isinstance(place, LocalPlace) and place.earlier.exists()

    def _may_have_changed(self) -> bool:
        """Whether nothing is known of what lazy values are read from."""
        return bool(self.strips) and self.sources.state == sources_of(xr.Dataset()).state

    def _agrees(self, number: int, draft: bool = False) -> bool:
        """Whether a strip that is there has the values that it would get now."""
        region, strip = self.strips[number]
        with _opened(self.place, draft) as there:
            return all(_same(v, there[name].isel(region)) for name, v in strip.items())

    def _goes_on(self, identity: str) -> bool:
        """Whether what was begun is this Dataset; `done` is then the number of its strips."""
        there = self.place.attributes(draft=True)
        noted, done = (there or {}).get(NOTED), (there or {}).get(UNFINISHED, len(self.strips))
        in_place = not isinstance(self.place, LocalPlace)
        if self.overwrite and (in_place or noted != identity):
            return False
        if not isinstance(noted, str) or (in_place and UNFINISHED not in (there or {})):
            return False  # nothing was begun, or it is another version that is to be replaced
        if type(done) is not int or not 0 <= done <= len(self.strips):
            return False
        if noted != identity:
            if _same_call(noted, identity):
                self._say_anew()
                return False
            if noted.split()[0] != identity.split()[0] or (
                done and not self._agrees(0, draft=True)
            ):
                raise self._occupied(
                    "holds other maps that are not finished", ", or overwrite=True to write it anew"
                )
        self.done = done
        return True

    def _say_anew(self) -> None:
        warn(
            f"What {self.place.text!r} was made from has changed since: it is written anew. "
            "Compared were sizes and times of files and chunks, and arrays in memory."
        )

    def _occupied(self, found: str, remedy: str) -> RasterError:
        return RasterError(f"{self.place.text!r} {found}. Give another path{remedy}.")


def _same_call(noted: str, identity: str) -> bool:
    """Whether two identities differ in the state of what values are read from alone."""
    return noted.split()[:2] == identity.split()[:2] and len(noted.split()) == 3


def _note(place: Place, done: int) -> None:
    """Write down how many strips are there."""
    place.note({UNFINISHED: done})


def _same(one: xr.DataArray, other: xr.DataArray) -> bool:
    """Whether values differ by rounding at most: a GPU or other threads may round otherwise."""
    a, b = one.values, other.transpose(*one.dims).values
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    return np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


def _opened(place: Place, draft: bool) -> xr.Dataset:
    """Open what is there, unless reading it could run code of a stranger."""
    import zarr

    store = place.draft if draft or not isinstance(place, LocalPlace) else place.path
    check_codecs(zarr.open_group(store, path=place.group, mode="r", use_consolidated=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of stores without consolidated metadata
        return xr.open_zarr(store, group=place.group or None, chunks=None, consolidated=False)


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
    for variable in ds.variables.values():
        if variable.chunks is None:
            variable.load()  # it may be read from a file
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
    lazy = [
        v for _, v in sorted(ds.data_vars.items(), key=lambda v: str(v[0])) if v.chunks is not None
    ]
    if not lazy:
        return None
    dims = max(lazy, key=lambda v: v.ndim).dims
    space = [dim for dim in dims if not varies_in_time(ds, dim)]
    return str(max(space, key=lambda dim: sum(dim in v.dims for v in lazy)) if space else dims[-1])


def _identity(ds: xr.Dataset) -> str:
    """What tells one Dataset from another uncomputed: all but the values of lazy variables."""

    def lasting(attrs: Mapping[Hashable, object]) -> str:
        return str({k: v for k, v in attrs.items() if k not in VOLATILE})

    parts = [lasting(ds.attrs)]
    for name, v in sorted(ds.variables.items(), key=lambda item: str(item[0])):
        parts += map(str, (name, v.dims, v.shape, v.dtype, v.chunks, lasting(v.attrs)))
        if v.chunks is None:
            parts.append(hashlib.sha256(_bytes(v.values)).hexdigest())
    # in an order of their own: a store may list its variables in another one each time
    parts += sorted(f"{name} {list(index)}" for name, index in ds.indexes.items())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _bytes(values: NDArray[np.generic]) -> bytes:
    return str(values.tolist()).encode() if values.dtype.kind == "O" else values.tobytes()


def _values(ds: xr.Dataset) -> str:
    """What dask calls the lazy values: equal names are equal values, others may be."""
    lazy = {str(name): v for name, v in ds.variables.items() if v.chunks is not None}
    names = [str(lazy[name].data.name) for name in sorted(lazy)]
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
