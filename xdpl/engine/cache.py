"""Compiled code on disk, so that only the first run of a model on a machine compiles it.

The cache never stands in the way of a run: what can't be read is compiled again, what can't be
written is kept in memory. Entries are written under another name and then renamed, so that two
processes may write the same one, and begin with a digest, so that a damaged one is found out. An
entry is machine code, which is run as it is: only this user can have put it where it is found.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..runtime.private import PrivateFolder

__all__ = ["directory", "digest", "read", "write"]

_DIGEST = hashlib.sha256().digest_size


def directory() -> Path:
    """Return where compiled code is kept.

    ``XDPL_CACHE_DIR``, else a folder ``xdpl`` in ``XDG_CACHE_HOME``, else in ``~/.cache``.
    """
    chosen = os.environ.get("XDPL_CACHE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen))
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(os.path.expanduser(base)) / "xdpl"


def digest(parts: Iterable[str]) -> str:
    """Return the name of an entry: it changes with the parts, versions and the engine's code."""
    text = hashlib.sha256()
    for part in (*parts, *_versions()):
        text.update(part.encode())
        text.update(b"\0")
    return text.hexdigest()[:40]


@cache
def _versions() -> tuple[str, ...]:
    found = []
    for package in ("xdpl", "llvmlite"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    code = hashlib.sha256()
    with contextlib.suppress(OSError):
        for path in sorted(Path(__file__).parent.glob("*.py")):
            code.update(path.read_bytes())
    return (*found, code.hexdigest())


def read(name: str) -> bytes | None:
    """Return an entry, or None where there is none that is whole and this user's own."""
    try:
        content = PrivateFolder(directory()).read(name)
    except OSError:
        return None
    if content is None:
        return None
    body = content[_DIGEST:]
    return body if hashlib.sha256(body).digest() == content[:_DIGEST] else None


def write(name: str, body: bytes) -> None:
    """Keep an entry, if the directory can be written and is this user's own."""
    with contextlib.suppress(OSError):
        PrivateFolder(directory()).write(name, hashlib.sha256(body).digest() + body)
