"""One writer at a time: a lock file that goes with its process."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import warn

__all__ = ["locked"]

LONG = 10.0
"""Seconds after which a warning says what is waited for."""

_PAUSE = 0.05
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_NONE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Wait until no other thread or process holds a lock file, and hold it.

    The system lets go of the lock where its process ends, however that happens. On a disk that
    knows no locks nothing is waited for.

    Parameters
    ----------
    path : Path
        The lock file; its folder must be there. It is removed afterwards.
    what : str
        What is written under the lock, for a warning where it takes long.

    Raises
    ------
    OSError
        The file can't be made.
    """
    began, warned = time.monotonic(), False
    while (descriptor := _attempt(path)) is None:
        if not warned and time.monotonic() - began > LONG:
            warned = True
            warn(f"Waiting for {_holder(path)}, which writes {what} at the moment.")
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.unlink(path)  # before it is let go: who waits for it sees that it is gone
        os.close(descriptor)


def _attempt(path: Path) -> int | None:
    """Open and lock the file; None where somebody else holds it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        if _lock(descriptor) and _is_there(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _lock(descriptor: int) -> bool:
    """Whether an exclusive lock was got; True, too, where the disk knows none."""
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as problem:
        if problem.errno in _BUSY:
            return False
        if problem.errno in _NONE:
            logging.getLogger("xdpl").warning("The disk knows no locks: %s.", problem.strerror)
            return True
        raise
    return True


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the file that was opened still has its name: its holder removes it at the end."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")[:100]
        if text.startswith("process ") and text.isprintable():
            return text
    return "another process"
