"""Units of data in memory or on their way: read ahead, kept while they fit, let go of in order."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath

from torch import Tensor

from ..ranks import processes_here
from .reading import Background, Pending

__all__ = ["Series", "Unit", "UnitCache", "free_memory", "machine_memory"]

Series = Mapping[str, dict[str, Tensor]]
"""Series of some cells: {"forcing" or "observed": {name: (time, cell)}}."""

Unit = tuple[int, int]
"""What is read at a time: number of the block, number of the span of time."""


class UnitCache:
    """Units of at most ``budget`` bytes together, but for those that are needed next.

    Used by one thread. A unit that some coming batch has asked for stays; of the others the one
    used longest ago goes first.

    Parameters
    ----------
    background : Background
        Reads a unit.
    size : callable
        Bytes of a unit.
    budget : int
        Bytes.
    """

    def __init__(
        self,
        background: Background[Unit, Series],
        size: Callable[[Unit], int],
        budget: int,
    ) -> None:
        self.budget, self.bytes, self.read = budget, 0, 0
        self._background, self._size = background, size
        self._units: OrderedDict[Unit, Pending[Series]] = OrderedDict()
        self._wanted: Counter[Unit] = Counter()
        self._untouched: set[Unit] = set()

    def __len__(self) -> int:
        return len(self._units)

    @property
    def ahead(self) -> int:
        """Units that were asked for and not yet used."""
        return len(self._untouched)

    def room_for(self, units: Collection[Unit]) -> bool:
        """Whether these fit besides all that is asked for by now."""
        needed = self._wanted.keys() | set(units)
        return sum(map(self._size, needed)) <= self.budget

    def ask(self, units: Collection[Unit]) -> None:
        """Begin to read what is not here; all of it stays until it is given back."""
        self._wanted.update(units)
        for unit in units:
            if unit not in self._units:
                self._make_room(self._size(unit))
                self._units[unit] = self._background.start(unit)
                self._untouched.add(unit)
                self.bytes += self._size(unit)
                self.read += 1

    def use(self, unit: Unit) -> Pending[Series]:
        """Say that a unit that was asked for is used now; return what can be waited for."""
        self._untouched.discard(unit)
        self._units.move_to_end(unit)
        return self._units[unit]

    def drop(self, units: Collection[Unit]) -> None:
        """Let go of units that failed: whoever asks again gets another attempt."""
        for unit in units:
            self._forget(unit)

    def give_back(self, units: Collection[Unit]) -> None:
        """Say that a batch no longer needs these."""
        self._wanted.subtract(units)
        self._wanted = +self._wanted
        self._make_room(0)

    def close(self) -> None:
        """Let go of all units, and stop reading."""
        self._wanted.clear()
        for unit in list(self._units):
            self._forget(unit)
        self._background.close()

    def _make_room(self, size: int) -> None:
        for unit in [unit for unit in self._units if unit not in self._wanted]:
            if self.bytes + size <= self.budget:
                return
            self._forget(unit)

    def _forget(self, unit: Unit) -> None:
        future = self._units.pop(unit, None)
        if future is not None:
            future.cancel()
            self.bytes -= self._size(unit)
            self._untouched.discard(unit)


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
