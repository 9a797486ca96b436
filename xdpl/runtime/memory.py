"""Memory of this machine, and what of it this process may still take."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from .distributed import processes_here

__all__ = ["free_memory", "machine_memory"]


def machine_memory() -> int:
    """Bytes of memory that this process may use; 8 GiB where the system doesn't say.

    The smallest of the machine's memory, the limits of the control groups that it is in
    (containers, SLURM) and of its SLURM job, divided by the processes that train together on this
    machine; and the limit of the process.
    """
    shared = [limit for limit in (_physical(), *_control_groups(), *_job()) if limit]
    own = (min(shared) if shared else 8 * 2**30) // processes_here()
    return min([own, *_process_limits()])


def free_memory() -> int:
    """Bytes that this process may still take: `machine_memory` without what it holds by now.

    At least a tenth of all, so that there is something to work with.
    """
    most = machine_memory()
    return max(most // 10, most - _held())


def _held() -> int:
    """Resident bytes of this process; 0 where the system doesn't say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, IndexError, ValueError, OSError):  # not on every system
        return 0


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 0


def _control_groups(system: Path = Path("/")) -> list[int]:
    """Limits of the own control group and of all above it, in both versions of their tree."""
    found = []
    for tree, name, group in _own_groups(system):
        while True:
            text = _text(tree / group / name)
            if text.isdigit():  # "max" where there is no limit
                found.append(int(text))
            if group == group.parent:
                break
            group = group.parent
    return found


def _own_groups(system: Path) -> list[tuple[Path, str, PurePosixPath]]:
    """Tree, file with the limit, and place in the tree, of the groups that limit memory."""
    tree = system / "sys/fs/cgroup"
    new, old = (tree, "memory.max"), (tree / "memory", "memory.limit_in_bytes")
    root = PurePosixPath()
    found = [(*new, root), (*old, root)]  # where it isn't said which: in some containers
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, place = (line + "::").split(":", 2)
        group = PurePosixPath(place.removesuffix("::").lstrip("/"))
        if not controllers:
            found.append((*new, group))
        elif "memory" in controllers.split(","):
            found.append((*old, group))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _job() -> list[int]:
    """Memory of the SLURM job on this machine, which it gives in MiB; 0 is all there is."""
    text = os.environ.get("SLURM_MEM_PER_NODE", "")
    return [int(text) * 2**20] if text.isdigit() else []


def _process_limits() -> list[int]:
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    limits = [
        resource.getrlimit(getattr(resource, name))[0] for name in ("RLIMIT_AS", "RLIMIT_DATA")
    ]
    return [limit for limit in limits if limit != resource.RLIM_INFINITY]
