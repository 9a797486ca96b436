"""Where a zarr store lies: in a local folder, at a URL, or in an object of zarr's protocol."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import RasterError
from ..runtime.drafts import draft_name, remove_dead_drafts, sync_folder
from ..runtime.files import PathLike, as_target, reason_of
from ..runtime.locks import locked

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import Store

__all__ = ["LocalPlace", "Place", "StorePlace", "StoreTarget", "as_place", "check_codecs"]

StoreTarget: TypeAlias = "PathLike | Store"
"""A path, a URL of fsspec, or a store object such as icechunk's ``session.store``."""

_SAFE = frozenset(
    """bytes blosc zstd gzip zlib lz4 bz2 lzma zfpy pcodec transpose sharding_indexed shuffle delta
    crc32 crc32c adler32 fletcher32 jenkins_lookup3 vlen-utf8 vlen-bytes fixedscaleoffset astype
    cast_value scale_offset packbits quantize bitround""".split()
)
"""Codecs that do no more than compute."""


def as_place(path: object) -> Place:
    """Turn what was given as a path, URL or store into a place to write a store to.

    Raises
    ------
    DeclarationError
        It is none of them, or there is no file system for its scheme.
    RasterError
        zarr is missing or old, or the URL names a whole bucket.
    """
    from fsspec import FSMap

    zarr = _zarr()
    if isinstance(path, zarr.abc.store.Store):
        return StorePlace(repr(path), path, "", path)
    if isinstance(path, zarr.storage.StorePath):
        return StorePlace(repr(path), path.store, path.path, path)
    if isinstance(path, FSMap):
        return StorePlace(str(path.root), zarr.storage.FsspecStore.from_mapper(path), "", path)
    target = as_target(path)
    if target.local is not None:
        real = Path(os.path.abspath(target.local))
        if real.is_symlink():  # the folder that it leads to, not the link, is replaced
            real = Path(os.path.realpath(real))
        if not real.name:
            raise RasterError(f"{target.text!r} is the root of a disk. Give a folder in it.")
        return LocalPlace(real, target.local)
    if target.at_root:
        raise RasterError(
            f"{target.text!r} is a bucket, without a path in it; a store there would take the "
            f"place of all that it holds. Write {target.text.rstrip('/')}/NAME.zarr."
        )
    try:
        store = zarr.storage.FsspecStore.from_url(target.text)
    except Exception as problem:  # each file system has its own errors
        raise RasterError(
            f"no store can be opened at {target.text!r}: {reason_of(problem)}. Give a URL that "
            "fsspec can write to, a store object of zarr, or a local path."
        ) from problem
    return StorePlace(target.text, store, "", target.text)


def _zarr() -> ModuleType:
    try:
        import zarr
        import zarr.abc.store
        import zarr.storage
    except ImportError as problem:
        raise RasterError(
            f"to_zarr needs zarr 3, which is not installed ({reason_of(problem)}). "
            'Install it: pip install "xdpl[io]".'
        ) from problem
    return zarr


def check_codecs(group: zarr.Group) -> None:
    """Refuse arrays that can't be read without running code which they bring along.

    Raises
    ------
    RasterError
        An array is packed by a codec such as pickle, or by an unknown one.
    """
    try:
        arrays = list(group.arrays())
    except Exception as problem:  # whatever damaged metadata lead to
        raise RasterError(
            f"the store {str(group.store)!r} can't be read: {reason_of(problem)[:200]}. "
            "Give another path."
        ) from problem
    for name, array in arrays:
        metadata = array.metadata
        if metadata.zarr_format == 2:
            packed = [*(metadata.filters or ()), metadata.compressor]
            found = [getattr(codec, "codec_id", "") for codec in packed if codec is not None]
        else:
            found = [str(codec.to_dict()["name"]) for codec in metadata.codecs]
        for codec in found:
            if codec.removeprefix("numcodecs.") not in _SAFE:
                raise RasterError(
                    f"array {name!r} of the store {str(group.store)!r} is packed with {codec!r}, "
                    "which may run code as it is read. Give another path."
                )


@dataclass(frozen=True)
class StorePlace:
    """A store that isn't a folder of this machine: written in place, and marked when whole.

    Attributes
    ----------
    text : str
        For messages.
    store : Store
        Of zarr's protocol.
    group : str
        Path of the group in it.
    result : object
        What `to_zarr` returns: what was given.
    """

    text: str
    store: Store
    group: str
    result: str | Store

    @property
    def draft(self) -> Store:
        """What is written to."""
        return self.store

    @property
    def location(self) -> str:
        """URL, to compare with those that values are read from."""
        from .sources import place_of

        return place_of(self.store, self.group)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing: the store itself says who may write at once."""
        yield

    def exists(self) -> bool:
        """Whether anything is there."""
        from zarr.core.sync import sync

        async def first() -> bool:
            async for _ in self.store.list_prefix(self.group):
                return True
            return False

        return bool(sync(first()))

    def attributes(self, draft: bool = False) -> dict[str, object] | None:
        """Attributes of the group; None where there is none that can be read."""
        return _attributes(self.store, self.group)

    def note(self, attributes: Mapping[str, object]) -> None:
        """Change attributes of the group that is written."""
        _note(self.store, self.group, attributes)

    def clear(self) -> None:
        """Nothing: the next write replaces the group."""

    def commit(self) -> None:
        """Nothing: it is there already."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder: written beside its place, and swapped in when it is whole.

    Attributes
    ----------
    path : Path
        The folder itself.
    result : Path
        As it was given: what `to_zarr` returns.
    group : str
        Of the store: its root.
    """

    path: Path
    result: Path
    group: str = ""

    @property
    def text(self) -> str:
        """For messages."""
        return str(self.result)

    @property
    def location(self) -> str:
        """Real path, to compare with those that values are read from."""
        return os.path.realpath(self.path)

    @property
    def draft(self) -> Path:
        """Folder beside the place: the next call finds what was begun."""
        return self.path.with_name(f".{self.path.name}.xdpl-unfinished")

    @property
    def earlier(self) -> Path:
        """Where an earlier version kept what it knew of a store that it was writing in place."""
        return self.path.with_name(f".{self.path.name}.progress")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep out other threads and processes that write the same store."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_dead_drafts(self.path.parent)
        with locked(self.path.with_name(f".{self.path.name}.xdpl-lock"), repr(self.text)):
            yield

    def exists(self) -> bool:
        """Whether anything is there."""
        return os.path.lexists(self.path)

    def attributes(self, draft: bool = False) -> dict[str, object] | None:
        """Attributes of the store, or of its draft; None where there is none to be read."""
        if not draft:
            return _attributes(self.path, "")
        if not os.path.lexists(self.draft):
            return None
        status = os.lstat(self.draft)
        if self.draft.is_symlink() or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            raise RasterError(
                f"{str(self.draft)!r}, where the store is written at first, was made by another "
                "user or is a link. Remove it, or give another path."
            )
        return _attributes(self.draft, "")

    def note(self, attributes: Mapping[str, object]) -> None:
        """Change attributes of the draft."""
        _note(self.draft, "", attributes)

    def clear(self) -> None:
        """Remove the draft, and what an earlier version kept beside an unfinished store."""
        for old in (self.draft, self.earlier):
            if old.is_symlink():
                old.unlink()
            elif old.exists():
                shutil.rmtree(old)

    def commit(self) -> None:
        """Swap the draft in; what was there before is removed."""
        old = self.path.with_name(draft_name())
        if self.exists():
            os.rename(self.path, old)
        try:
            os.rename(self.draft, self.path)
        except BaseException:
            if os.path.lexists(old):
                os.rename(old, self.path)
            raise
        sync_folder(self.path.parent)
        if old.is_symlink():
            old.unlink()
        else:
            shutil.rmtree(old, ignore_errors=True)
        self.clear()


Place: TypeAlias = LocalPlace | StorePlace


def _attributes(store: object, group: str) -> dict[str, object] | None:
    """Attributes alone: no array of a stranger is read."""
    import zarr

    try:
        opened = zarr.open_group(store, path=group, mode="r", use_consolidated=False)
        return dict(opened.attrs)
    except Exception:  # whatever is there, it is none of ours
        return None


def _note(store: object, group: str, attributes: Mapping[str, Any]) -> None:
    import zarr

    opened = zarr.open_group(store, path=group, mode="r+", use_consolidated=False)
    for name, value in attributes.items():
        if value is None:
            opened.attrs.pop(name, None)
        else:
            opened.attrs[name] = value
