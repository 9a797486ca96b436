"""Failed runs: counted by cause, told with their parameters, and too many of them stop all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import ModelRunError

__all__ = ["Failure", "Failures"]

SHARE = 0.1
"""Share of all runs that may fail before all is stopped."""

EARLY = 20
"""Runs after which all is stopped if half of them failed."""

SHOWN = 3
"""Failures told in full."""


@dataclass(frozen=True)
class Failure:
    """One failed run.

    Attributes
    ----------
    cell : str
        Label.
    parameter : dict of str to float
        With which it failed.
    cause, message : str
        In a word or two; and all that is known, stderr included.
    """

    cell: str
    parameter: Mapping[str, float]
    cause: str
    message: str

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameter.items())
        return f"cell {self.cell or '-'}, {values}: {self.message}"


@dataclass
class Failures:
    """Keeps count of runs that failed.

    Attributes
    ----------
    model : str
        Name of the black box, for messages.
    wanted : int
        Runs in all.
    done : int
        Runs ended.
    found : list of Failure
        Those that failed.
    kept : str
        Folder that holds the finished runs; empty where they are lost.
    """

    model: str
    wanted: int
    done: int = 0
    found: list[Failure] = field(default_factory=list)
    kept: str = ""

    @property
    def _kept(self) -> str:
        return f" Finished runs are kept in {self.kept!r}." if self.kept else ""

    def add(self, failure: Failure | None) -> None:
        """Count a run that ended; None where it did not fail.

        Raises
        ------
        ModelRunError
            More than a tenth of all runs failed, or half of the first ones.
        """
        self.done += 1
        if failure is None:
            return
        self.found.append(failure)
        failed = len(self.found)
        if failed > SHARE * self.wanted or (self.done >= EARLY and 2 * failed >= self.done):
            raise ModelRunError(
                f"{failed} of {self.done} runs of {self.model} failed, more than a tenth of the "
                f"{self.wanted} wanted: {self.counts}. {self.examples} Correct the model's inputs "
                f"or narrow the bounds of its parameters.{self._kept}",
                "too many failures",
            )

    @property
    def causes(self) -> dict[str, int]:
        """Number of failures by cause, the most frequent first."""
        return dict(Counter(failure.cause for failure in self.found).most_common())

    @property
    def counts(self) -> str:
        """Failures by cause, in words."""
        return ", ".join(f"{number} {cause}" for cause, number in self.causes.items())

    @property
    def examples(self) -> str:
        """The first failure of each of the most frequent causes, in full."""
        firsts: dict[str, Failure] = {}
        for failure in self.found:
            firsts.setdefault(failure.cause, failure)
        told = [str(firsts[cause]) for cause in list(self.causes)[:SHOWN]]
        return "For example: " + " | ".join(told)

    @property
    def message(self) -> str:
        """A sentence for a warning."""
        return (
            f"{len(self.found)} of {self.done} runs of {self.model} failed and are left out: "
            f"{self.counts}. {self.examples}"
        )
