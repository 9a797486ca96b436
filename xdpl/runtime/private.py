"""A folder that only this user can have filled: for caches of what is run as it is found.

On a shared machine the folder may lie where others may write. So it is opened component by
component, no link of another user is followed, and owner and mode are those of what was opened, not
of a name that may mean something else a moment later.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .drafts import PREFIX, draft_name, is_dead_draft, write_safely

__all__ = ["PrivateFolder"]

LARGEST = 1 << 30
"""Bytes of a file; a larger one is none of ours."""

_LINKS = 40
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class PrivateFolder:
    """A folder of this user's own, to read and write files in.

    Parameters
    ----------
    path : Path
        Made where it does not exist, for this user alone. Where others may write to it, a folder
        of this user's own in it is used instead, so that one path does for a whole group.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))

    def read(self, name: str) -> bytes | None:
        """Content of a file; None where there is none that this user alone can have written.

        Raises
        ------
        OSError
            It can't be read.
        """
        if os.name != "posix":
            return (self.path / name).read_bytes()
        with self._opened(make=False) as folder:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(name, flags, dir_fd=folder), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
                    return None
                return file.read() if _is_own(status) else None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all.

        Raises
        ------
        OSError
            It can't be written, or the folder is not safe.
        """
        if os.name != "posix":
            self.path.mkdir(parents=True, exist_ok=True)
            write_safely(self.path / name, content)
            return
        with self._opened(make=True) as folder:
            _remove_dead(folder)
            draft = draft_name()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with open(os.open(draft, flags, 0o600, dir_fd=folder), "wb") as file:
                    file.write(content)
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise

    @contextlib.contextmanager
    def _opened(self, make: bool) -> Iterator[int]:
        """Give a descriptor of the folder; OSError where there is none that is safe."""
        if make:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = _walk(self.path)
        try:
            if not _is_own(os.fstat(folder)):
                inner = _inner(folder, make)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


def _inner(folder: int, make: bool) -> int:
    """Open the user's own folder in one that others may write to."""
    name = f"xdpl-{os.getuid()}"
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
    inner = os.open(name, _FOLDER, dir_fd=folder)
    if _is_own(os.fstat(inner)):
        return inner
    os.close(inner)
    raise PermissionError("others may write to the folder")


def _walk(path: Path, links: int = _LINKS) -> int:
    """Open a folder component by component, through links of this user and of root only."""
    at = os.open("/", _FOLDER)
    try:
        for depth, part in enumerate(path.parts[1:], start=1):
            status = os.stat(part, dir_fd=at, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                if not links or status.st_uid not in (0, os.getuid()):
                    raise PermissionError("a link of another user leads to the folder")
                onward = Path(*path.parts[:depth], os.readlink(part, dir_fd=at))
                return _walk(Path(os.path.normpath(onward), *path.parts[depth + 1 :]), links - 1)
            below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        return os.dup(at)
    finally:
        os.close(at)


def _is_own(status: os.stat_result) -> bool:
    """Whether a file or folder is this user's, and nobody else may write to it."""
    return status.st_uid == os.getuid() and not _others_write(status)


def _others_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_private_group(status.st_gid)


def _is_private_group(number: int) -> bool:
    """Whether a group is that of this user alone, as many systems give each user one."""
    import grp
    import pwd

    try:
        group = grp.getgrgid(number)
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _remove_dead(folder: int) -> None:
    """Remove drafts of processes that are gone."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(PREFIX):
                changed = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                if is_dead_draft(name, changed):
                    os.unlink(name, dir_fd=folder)
