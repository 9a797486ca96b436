"""Where files go: local paths and the URLs of fsspec, each looked at in one place."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..errors import DeclarationError, FitFileError
from .drafts import draft_folder, put_safely, sync_folder, write_safely

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = [
    "PathLike",
    "Target",
    "as_path",
    "as_target",
    "check_writable",
    "draft_folder",
    "put_safely",
    "reason_of",
    "sync_folder",
    "write_safely",
]

PathLike: TypeAlias = str | os.PathLike[str]

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)(?:://|::)")
_SWALLOWED = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):[\\/]")
"""What pathlib makes of a URL: it takes two slashes for one. A drive has one letter."""


def as_path(value: object, name: str = "path") -> Path:
    """Turn what was given as a path into a local one; ``~`` is the user's home folder.

    Parameters
    ----------
    value : str or path
        What the user gave.
    name : str
        Of the keyword, for messages.

    Raises
    ------
    DeclarationError
        It is neither text nor a path, is empty, or is a URL, which names no local file.
    """
    text = _text(value, name)
    scheme = _scheme(text, name)
    if scheme not in ("", "file", "local"):
        raise DeclarationError(
            f"{name}={text!r} is a URL ({scheme}), and xdpl needs a local path here. Give a folder "
            f"or file of this machine, and copy it afterwards: fsspec.filesystem({scheme!r}).put."
        )
    return Path(os.path.expanduser(_without_scheme(text)))


def as_target(value: object, name: str = "path") -> Target:
    """Turn what was given as a path or URL into a place to write to or to read from.

    Raises
    ------
    DeclarationError
        It is neither text nor a path, or fsspec has no file system for its scheme.
    """
    text = _text(value, name)
    scheme = _scheme(text, name)
    if scheme in ("", "file", "local"):
        return Target(text, as_path(value, name))
    import fsspec

    try:
        system, key = fsspec.core.url_to_fs(text)
    except ImportError as problem:
        named = re.search(r"[Ii]nstall ([\w-]+)", str(problem))
        raise DeclarationError(
            f"{name}={text!r}: the scheme {scheme!r} needs a package that is not installed "
            f"({problem}). Run pip install {named[1] if named else scheme + 'fs'}, or give a local "
            "path."
        ) from problem
    except Exception as problem:  # each file system has its own errors
        raise DeclarationError(
            f"{name}={text!r} can't be opened: {reason_of(problem)}. The scheme is {scheme!r}; "
            f"known ones are {', '.join(sorted(fsspec.available_protocols())[:12])}, ..."
        ) from problem
    return Target(text, None, system, key)


@dataclass(frozen=True)
class Target:
    """A file or folder, on this machine or in a file system of fsspec.

    Attributes
    ----------
    text : str
        As it was given, for messages.
    local : Path or None
        Where it lies on this machine.
    system : AbstractFileSystem or None
        Where it lies elsewhere, and
    key : str
        its name there.
    """

    text: str
    local: Path | None
    system: AbstractFileSystem | None = None
    key: str = ""

    @property
    def result(self) -> Path | str:
        """What a writer returns: the path, or the URL."""
        return self.text if self.local is None else self.local

    @property
    def name(self) -> str:
        """Last part of the path."""
        return (
            self.local.name if self.local is not None else self.key.rstrip("/").rpartition("/")[2]
        )

    def child(self, name: str) -> Target:
        """A file in this folder."""
        if self.local is not None:
            return Target(str(self.local / name), self.local / name)
        return Target(
            f"{self.text.rstrip('/')}/{name}", None, self.system, f"{self.key.rstrip('/')}/{name}"
        )

    @property
    def parent(self) -> Target:
        """The folder that it is in."""
        if self.local is not None:
            return Target(str(self.local.parent), self.local.parent)
        text, key = self.text.rstrip("/"), self.key.rstrip("/")
        return Target(text.rpartition("/")[0], None, self.system, key.rpartition("/")[0])

    def make_folder(self) -> None:
        """Make it a folder, and prove that files can be made in it.

        Raises
        ------
        OSError
            They can't, or it is the root of a bucket or host, where all else lies, too.
        """
        if self.local is not None:
            _prove(self.local)
            return
        assert self.system is not None
        if self.at_root:
            raise OSError(f"it is a bucket, without a folder in it. Write {self.text}/NAME")
        with _as_oserror():
            self.system.makedirs(self.key, exist_ok=True)

    @property
    def at_root(self) -> bool:
        """Whether it is a whole bucket, host or file system of others."""
        return self.local is None and "/" not in self.key.strip("/")

    def exists(self) -> bool:
        """Whether there is anything."""
        if self.local is not None:
            return self.local.exists()
        assert self.system is not None
        return bool(self.system.exists(self.key))

    def read(self) -> bytes:
        """All of a file.

        Raises
        ------
        OSError
            It isn't there or can't be read.
        """
        if self.local is not None:
            return self.local.read_bytes()
        assert self.system is not None
        with _as_oserror():
            content: bytes = self.system.cat_file(self.key)
            return content

    def write(self, content: bytes) -> None:
        """Write a file, whole or not at all.

        Raises
        ------
        OSError
            It can't be written.
        """
        if self.local is not None:
            write_safely(self.local, content)
            return
        assert self.system is not None
        with _as_oserror():
            self.system.pipe_file(self.key, content)  # object stores show it when it is whole

    def put(self, draft: Path) -> None:
        """Swap in a file that was written locally, or copy it to where it belongs.

        Raises
        ------
        OSError
            It can't be written.
        """
        if self.local is not None:
            put_safely(draft, self.local)
            return
        assert self.system is not None
        with _as_oserror():
            self.system.put_file(str(draft), self.key)

    def remove(self) -> None:
        """Remove a file; where there is none, nothing happens.

        Raises
        ------
        OSError
            It can't be removed.
        """
        if self.local is not None:
            self.local.unlink(missing_ok=True)
            return
        assert self.system is not None
        with _as_oserror():
            if self.system.exists(self.key):
                self.system.rm_file(self.key)

    @contextlib.contextmanager
    def at_hand(self) -> Iterator[Path]:
        """Give a local file with the content, for libraries that read by name.

        Raises
        ------
        OSError
            It isn't there or can't be read.
        """
        if self.local is not None:
            yield self.local
            return
        with tempfile.TemporaryDirectory(prefix="xdpl-read-") as made:
            copy = Path(made) / "file"
            copy.write_bytes(self.read())
            yield copy

    @contextlib.contextmanager
    def drafts(self) -> Iterator[Path]:
        """Give a folder for drafts of this file or, elsewhere, a temporary one of this machine."""
        if self.local is not None:
            with draft_folder(self.local.parent) as folder:
                yield folder
            return
        with tempfile.TemporaryDirectory(prefix="xdpl-draft-") as made:
            yield Path(made)


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    """Raise what a file system of others raises as OSError: each has errors of its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as problem:
        raise OSError(reason_of(problem)) from problem


def reason_of(problem: BaseException) -> str:
    """Why something failed, in short and without a full stop."""
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return str(text).strip().rstrip(".")


def check_writable(folder: Path, name: str = "folder") -> None:
    """Make a folder where there is none, and prove that files can be made in it.

    Raises
    ------
    FitFileError
        They can't.
    """
    try:
        _prove(folder)
    except OSError as problem:
        raise FitFileError(
            f"can't write {name} to {str(folder)!r}: {reason_of(problem)}. Choose a folder that "
            "you may write to."
        ) from problem


def _prove(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _text(value: object, name: str) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise DeclarationError(
            f"{name}={value!r} is of type {type(value).__name__}, not a path. Give text, such as "
            '"folder/name", or a pathlib.Path.'
        )
    text = os.fsdecode(value)
    if not text.strip() or "\0" in text:
        raise DeclarationError(
            f'{name}={text!r} names no file. Give text, such as "folder/name", or a pathlib.Path.'
        )
    return text


def _scheme(text: str, name: str) -> str:
    """Scheme of a URL; empty where it is a local path."""
    found = _URL.match(text)
    if found:
        return found[1].lower()
    swallowed = _SWALLOWED.match(text)
    if swallowed:
        raise DeclarationError(
            f"{name}={text!r} looks like a URL ({swallowed[1]}) that went through pathlib.Path, "
            f'which loses a slash. Give it as text: "{swallowed[1]}://..."; or, for a folder of '
            f'that name, "./{swallowed[1]}:/...".'
        )
    return ""


def _without_scheme(text: str) -> str:
    found = re.match(r"^(?:file|local)://(.*)$", text, re.IGNORECASE)
    return found[1] if found else text
