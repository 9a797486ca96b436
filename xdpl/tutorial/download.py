"""Real data."""

from __future__ import annotations


def open_dataset(name: str) -> None:
    """Fetch real data; not yet there."""
    raise NotImplementedError
