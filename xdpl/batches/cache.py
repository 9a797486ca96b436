"""Units of data in memory or on their way: read ahead, kept while they fit, let go of in order."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from .reading import Background, Pending

__all__ = ["Series", "Unit", "UnitCache"]

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
