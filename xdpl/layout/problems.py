"""Unit problems, gathered so that one error tells of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..errors import UnitsError
from ..units import units_error

__all__ = ["Problems"]


@dataclass
class Problems:
    """Unit problems of all variables, so that one error tells of them all."""

    found: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Go on after a UnitsError, and remember it."""
        try:
            yield
        except UnitsError as problem:
            self.found += problem.problems or ((str(problem), ""),)

    def raise_any(self) -> None:
        """Raise one UnitsError for all problems, if there are any."""
        if self.found:
            raise units_error(self.found)
