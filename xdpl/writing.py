"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_safely"]


def write_safely(target: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the machine goes down.

    Raises
    ------
    OSError
        It can't be written. What was there before is as it was.
    """
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the name, too, must reach the disk; not on Windows
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
