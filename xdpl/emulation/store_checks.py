"""A store of runs is looked at before it is used: it may be damaged, full, or from a stranger."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ..blackbox import Failure
from ..errors import FitFileError, XdplError
from ..rasters.stores import check_codecs
from ..runtime.files import reason_of

if TYPE_CHECKING:
    import zarr

__all__ = ["Batch", "as_failure", "check_arrays", "disk_errors", "read_batches"]

_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class Batch(TypedDict):
    """Runs that were added at once."""

    kind: str
    count: int
    digest: str


def read_batches(found: object) -> list[Batch]:
    """Batches of a store; those of an earlier version have another name for the digest.

    Raises
    ------
    ValueError
        They are no such list.
    """
    batches: list[Batch] = []
    for one in found if isinstance(found, list) else [None]:
        if not isinstance(one, dict):
            raise ValueError("it has no list of batches")
        kind, count = one.get("kind"), one.get("count")
        digest = one.get("digest", one.get("purpose", ""))
        if not isinstance(kind, str) or not isinstance(digest, str):
            raise ValueError("a batch has no kind")
        if type(count) is not int or count < 0:
            raise ValueError(f"a batch has {count!r} runs")
        batches.append({"kind": kind, "count": count, "digest": digest})
    return batches


def check_arrays(
    group: zarr.Group, shapes: Mapping[str, tuple[tuple[int, ...], str]], count: int
) -> None:
    """Raise unless all arrays are there, of their type and shape, and safe to read.

    Raises
    ------
    ValueError
        One is missing or of another shape or type.
    RasterError
        One is packed by a codec that may run code.
    """
    check_codecs(group)
    for name, (shape, kind) in shapes.items():
        if name not in group:
            raise ValueError(f"it has no array {name!r}")
        array = group[name]
        found: tuple[int, ...] = getattr(array, "shape", ())
        if len(found) != 1 + len(shape) or found[1:] != shape or found[0] < count:
            raise ValueError(f"{name} has the shape {found}, not ({count}, ...)")
        dtype = getattr(array, "dtype", None)
        if str(dtype) != kind:
            raise ValueError(f"{name} is of type {dtype}, not {kind}")


def as_failure(record: object) -> Failure:
    """Failed run that a file tells of.

    Raises
    ------
    TypeError
        It tells of none.
    """
    if not isinstance(record, dict) or not isinstance(record.get("parameter"), dict):
        raise TypeError("no record of a failed run")
    values = {str(k): float(v) for k, v in record["parameter"].items()}
    cell, cause, message = (str(record[name]) for name in ("cell", "cause", "message"))
    return Failure(cell, values, cause, message)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say which folder has no room, and that what was run is kept.

    Raises
    ------
    FitFileError
        The disk is full, or can't be written to.
    """
    try:
        yield
    except OSError as problem:
        if isinstance(problem, XdplError) or problem.errno not in _NO_PLACE:
            raise
        raise FitFileError(
            f"can't write runs to {str(folder)!r}: {reason_of(problem)}. Finished runs are kept "
            "where a store was given: make room there, or get permission, and make the same call "
            "again."
        ) from problem
