"""What lazy values are read from: files and stores, and the state that they are in.

A name in a dask graph says which file a value comes from, not what is in it. So that what was
written of it isn't taken for current where the file was corrected in place, the graph is searched
for files, zarr arrays and arrays in memory. Of files and chunks their sizes and times of change are
compared, of arrays in memory their values, in order.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["Sources", "overlap", "place_of", "sources_of"]

MOST = 5_000_000
"""Objects of a graph that are looked at; in a larger one the rest counts as unknown."""

WHOLE = 64 * 2**20
"""Bytes of an array in memory up to which all of it is compared; of more, blocks all over it."""

_BLOCKS = 1024
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, slice, np.generic, np.dtype)
_OPAQUE = ("torch", "threading", "_thread", "asyncio", "logging", "pyproj", "shapely", "pandas")
"""Packages whose objects hold no file of a Dataset, or aren't to be searched."""


@dataclass(frozen=True)
class Sources:
    """What lazy values are read from.

    Attributes
    ----------
    places : frozenset of str
        Real paths of local files and zarr arrays; others as URLs.
    state : str
        Digest of the state that they are in, with the values of arrays in memory.
    """

    places: frozenset[str]
    state: str

    def within(self, target: str) -> list[str]:
        """Those that lie at a path or URL, below it, or above it."""
        return sorted(place for place in self.places if overlap(place, target))


def overlap(one: str, other: str) -> bool:
    """Whether two paths or URLs are the same, or one lies in the other."""
    a, b = one.rstrip("/\\"), other.rstrip("/\\")
    return a == b or a.startswith((b + "/", b + os.sep)) or b.startswith((a + "/", a + os.sep))


def sources_of(ds: xr.Dataset) -> Sources:
    """Find what the values of a Dataset are read from that are not in memory."""
    places: set[str] = set()
    states: list[str] = []
    for thing in _leaves(v._data for v in ds.variables.values()):
        if isinstance(thing, np.ndarray):
            states.append(_digest(thing))
            continue
        place, state = thing
        if place not in places:
            places.add(place)
            states.append(f"{place} {state()}")
    return Sources(
        frozenset(places), hashlib.sha256("\n".join(sorted(states)).encode()).hexdigest()
    )


def _leaves(data: Iterable[object]) -> Iterator[Any]:
    """Arrays in memory within graphs, and (place, state) of files, each object once.

    Arrays in objects of xdpl, such as a fit, are not among them: the graph is named after these.
    """
    stack: list[tuple[object, bool]] = [(d, True) for d in data if not isinstance(d, np.ndarray)]
    seen: dict[int, object] = {}  # kept, so that no number is used again
    while stack and len(seen) < MOST:
        thing, arrays = stack.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        found = _source(thing)
        if found is not None:
            yield found
        elif isinstance(thing, np.ndarray):
            if thing.dtype.kind == "O":
                stack += [(one, arrays) for one in thing.ravel()[:1000].tolist()]
            elif arrays:
                yield thing
        else:
            arrays = arrays and _package(thing) != "xdpl"
            stack += [(one, arrays) for one in _within(thing)]


def _within(thing: Any) -> Iterable[Any]:
    """What an object of a graph is made of."""
    kind = type(thing).__name__
    if kind in ("TaskRef", "Alias"):
        return ()
    if kind == "Task":
        return (thing.func, *thing.args, *thing.kwargs.values())
    if hasattr(thing, "__dask_graph__"):
        graph = thing.__dask_graph__() or {}
        return list(graph.layers.values()) if hasattr(graph, "layers") else list(graph.values())
    if hasattr(thing, "io_deps"):  # a Blockwise layer: to look it through would make all its tasks
        return [getattr(thing, "task", None), *thing.io_deps.values(), *map(list, thing.indices)]
    if isinstance(thing, Mapping):
        return list(thing.values())
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if _package(thing) in _OPAQUE:
        return ()
    if hasattr(thing, "__closure__"):  # a function
        cells = [cell.cell_contents for cell in thing.__closure__ or () if _is_filled(cell)]
        return [*cells, *(thing.__defaults__ or ())]
    if hasattr(thing, "__self__"):
        return [thing.__self__]
    slots = {name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())}
    held = [getattr(thing, name, None) for name in slots if isinstance(name, str)]
    return [*held, *getattr(thing, "__dict__", {}).values()]


def _package(thing: Any) -> str:
    """Package that the class of an object is from."""
    return str(type(thing).__module__).partition(".")[0]


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _source(thing: object) -> tuple[str, object] | None:
    """Place of a file or zarr array, and a function that tells its state."""
    package = _package(thing)
    if package == "zarr" and hasattr(thing, "store_path"):
        return _of_zarr(thing.store_path.store, thing.store_path.path)
    if package in ("xarray", "rioxarray") and hasattr(thing, "_opener"):  # a file manager
        args = getattr(thing, "_args", ())
        if args and isinstance(args[0], (str, os.PathLike)):
            return _of_text(os.fspath(args[0]))
    if package == "h5py" and hasattr(thing, "file"):
        return _of_text(str(thing.file.filename))
    if package == "netCDF4" and hasattr(thing, "filepath"):
        return _of_text(str(thing.filepath()))
    return None


def _of_text(text: str) -> tuple[str, object]:
    if "://" in text or text.startswith("/vsi"):
        return text, lambda: ""
    path = os.path.realpath(os.path.expanduser(text))
    return path, functools.partial(_state_of_files, path)


def _of_zarr(store: Any, path: str) -> tuple[str, object]:
    """Place and state of an array or group in a zarr store."""
    root = getattr(store, "root", None)
    if isinstance(root, Path):
        place = os.path.realpath(root / path)
        return place, functools.partial(_state_of_files, place)
    if hasattr(store, "fs"):
        key = f"{store.path}/{path}".rstrip("/")
        protocol = store.fs.protocol
        first = protocol if isinstance(protocol, str) else protocol[0]
        if first in ("file", "local"):
            return _of_text(f"/{key.lstrip('/')}")
        return f"{first}://{key.lstrip('/')}", functools.partial(_state_elsewhere, store.fs, key)
    if hasattr(store, "_store_dict"):
        held = store._store_dict
        return f"memory-{id(held)}://{path}", functools.partial(_state_in_memory, held, path)
    session = getattr(store, "session", None)
    state = str(getattr(session, "snapshot_id", ""))
    return f"store-{id(store)}://{path}", lambda: state


def _state_of_files(path: str) -> str:
    """Digest of names, sizes and times of change of a file, or of all files in a folder."""
    found = hashlib.sha256()
    stack = [path]
    try:
        if not os.path.isdir(path):
            status = os.stat(path)
            return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        while stack:
            folder = stack.pop()
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda one: one.name):
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                        continue
                    status = entry.stat()
                    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
                    found.update(f"{entry.path} {status.st_size} {times}\n".encode())
    except OSError:
        return "not there"
    return found.hexdigest()


def _state_elsewhere(system: Any, key: str) -> str:
    """Digest of what a file system of fsspec tells of all files below a path."""
    import fsspec

    try:
        if getattr(system, "async_impl", False) and hasattr(system, "sync_fs"):
            system = system.sync_fs
        elif getattr(system, "asynchronous", False):
            system = fsspec.filesystem(
                system.protocol if isinstance(system.protocol, str) else system.protocol[0],
                **{**system.storage_options, "asynchronous": False},
            )
        system.invalidate_cache()
        listed = system.find(key, detail=True)
    except Exception:  # whatever a file system raises: nothing is known of it
        return "unknown"
    wanted = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "created", "md5")
    lines = [
        f"{name} {[str(info[what]) for what in wanted if what in info]}"
        for name, info in sorted(listed.items())
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _state_in_memory(held: Mapping[str, Any], path: str) -> str:
    found = hashlib.sha256()
    for name in sorted(n for n in held if n.startswith(path)):
        found.update(name.encode() + held[name].to_bytes())
    return found.hexdigest()


def _digest(values: NDArray[np.generic]) -> str:
    """Digest of values in their order; of very many, of blocks spread evenly over them."""
    found = hashlib.blake2b(f"{values.dtype} {values.shape}".encode(), digest_size=16)
    if values.nbytes <= WHOLE:
        found.update(np.ascontiguousarray(values).view(np.uint8).data if values.size else b"")
        return found.hexdigest()
    flat = values.reshape(-1) if values.flags.c_contiguous else values.T.reshape(-1)
    size = max(1, WHOLE // _BLOCKS // values.itemsize)
    for start in np.linspace(0, flat.size - size, _BLOCKS).astype(int).tolist():
        found.update(np.ascontiguousarray(flat[start : start + size]).view(np.uint8).data)
    return found.hexdigest()


def place_of(store: object, path: str) -> str:
    """Where a group of a zarr store lies, as in `Sources.places`."""
    return _of_zarr(store, path)[0]
