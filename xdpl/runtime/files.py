"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import DeclarationError

__all__ = ["as_path", "put_safely", "write_safely"]


def as_path(value: Any, name: str = "path") -> Path:
    """Turn what was given as a path into one.

    Raises
    ------
    DeclarationError
        It is neither text nor a path.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise DeclarationError(
            f"{name}={value!r} is of type {type(value).__name__}, not a path. Give text, such as "
            '"folder/name", or a pathlib.Path.'
        )
    return Path(value)


def write_safely(target: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the machine goes down.

    Raises
    ------
    OSError
        It can't be written. What was there before is as it was.
    """
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        put_safely(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def put_safely(draft: Path, target: Path) -> None:
    """Give a file that is written its name, once all of it has reached the disk.

    Raises
    ------
    OSError
        It can't be done. What was there before is as it was.
    """
    with open(draft, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(draft, target)
    if hasattr(os, "O_DIRECTORY"):  # the name, too, must reach the disk; not on Windows
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
