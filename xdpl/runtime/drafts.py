"""Drafts: what is written beside its place, and swapped in when it is whole.

The name of a draft says which process of which machine writes it, and ends in random letters. So
threads and processes never share one, nobody can guess the next one, and a draft whose process is
gone is found and removed by the next write into the same folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = [
    "PREFIX",
    "draft_folder",
    "draft_name",
    "is_dead_draft",
    "put_safely",
    "remove_dead_drafts",
    "sync_folder",
    "write_safely",
]

PREFIX, SUFFIX = ".xdpl-draft-", ".part"

STALE = 24 * 3600.0
"""Seconds after which a draft of another machine counts as given up: nothing wrote to it since."""

_swept: dict[str, tuple[float, float]] = {}
_sweeping = threading.Lock()


def write_safely(target: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the machine goes down.

    A file that is replaced keeps its permissions; a new one gets those of the umask.

    Raises
    ------
    OSError
        It can't be written. What was there before is as it was.
    """
    remove_dead_drafts(target.parent)
    draft = target.parent / draft_name()
    # never through a link, and never a file that somebody else has made
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(draft, flags, 0o666)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        put_safely(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """Give a folder of this process alone beside a target, for libraries that open by name.

    It is on the disk of the target, so that what is written there can be swapped in at once by
    `put_safely`; nobody else may enter it. Whatever is left in it is removed at the end.
    """
    remove_dead_drafts(parent)
    folder = parent / draft_name()
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_safely(draft: Path, target: Path) -> None:
    """Give a file that is written its name, once all of it has reached the disk.

    Raises
    ------
    OSError
        It can't be done. What was there before is as it was.
    """
    with open(draft, "rb+") as file:
        os.fsync(file.fileno())
    with contextlib.suppress(OSError):  # there is none yet, or its mode can't be given
        there = os.lstat(target)
        if stat.S_ISREG(there.st_mode):
            os.chmod(draft, stat.S_IMODE(there.st_mode))
    os.replace(draft, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk, where the system can; not on Windows."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_dead_drafts(folder: Path) -> None:
    """Remove the drafts of processes that are gone, such as those that were killed.

    A draft of another machine, or of another container, is removed a day after its last change.
    Looking takes at most a hundredth of the time: a folder that takes long is looked at rarely.
    """
    key, began = str(folder), time.monotonic()
    with _sweeping:
        last, cost = _swept.get(key, (-1e9, 0.0))
        if began - last < 100 * cost:
            return
        _swept[key] = (began, cost)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                changed = entry.stat(follow_symlinks=False).st_mtime
                if is_dead_draft(entry.name, changed):
                    _remove(entry)
    _swept[key] = (began, time.monotonic() - began)


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(entry.path)


def draft_name() -> str:
    """Return a name for a draft: of this process, and like no other."""
    pid = os.getpid()
    return f"{PREFIX}{_machine()}-{pid}-{_started(pid)}-{secrets.token_hex(8)}{SUFFIX}"


def is_dead_draft(name: str, changed: float) -> bool:
    """Whether nobody writes to a draft any more, from its name and the time of its last change."""
    try:
        machine, pid, started, _ = name.removeprefix(PREFIX).split("-")
        if machine != _machine() or os.name != "posix":
            return time.time() - changed > STALE
        return not _runs(int(pid), started)
    except ValueError:
        return False  # not a name of ours


def _runs(pid: int, started: str) -> bool:
    """Whether a process still runs, and is no later one with the same number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        pass
    return started in ("0", _started(pid))


def _started(pid: int) -> str:
    """When a process was started, in ticks since the machine was; 0 where that isn't known."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


@cache
def _machine() -> str:
    """Digest of what numbers of processes belong to: machine, its last start, and container."""
    known = [sys.platform]
    with contextlib.suppress(OSError, AttributeError):
        known.append(os.uname().nodename)
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:12]
