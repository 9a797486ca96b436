"""Blocks in memory, as many as fit: the one used longest ago goes first."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor

__all__ = ["Block", "BlockCache", "machine_memory"]

Block = Mapping[str, Mapping[str, Tensor]]
"""Series of the kept cells of a block: {"forcing" or "observed": {name: (time, cell)}}."""


class BlockCache:
    """Blocks by number, of at most ``budget`` bytes together; the newest is always kept.

    Parameters
    ----------
    budget : int
        Bytes.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, number: int) -> Block | None:
        """Return a block that is here, which then was the one used last."""
        if number not in self._blocks:
            return None
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def put(self, number: int, block: Block) -> None:
        """Keep a block, letting go of the one used longest ago where it is full."""
        self._blocks[number] = block
        self._bytes += _bytes(block)
        while self._bytes > self.budget and len(self._blocks) > 1:
            _, old = self._blocks.popitem(last=False)
            self._bytes -= _bytes(old)

    def clear(self) -> None:
        """Let go of all blocks."""
        self._blocks.clear()
        self._bytes = 0


def _bytes(block: Block) -> int:
    return sum(t.numel() * t.element_size() for part in block.values() for t in part.values())


def machine_memory() -> int:
    """Bytes of memory of this machine; 8 GiB where the system doesn't say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 8 * 2**30
