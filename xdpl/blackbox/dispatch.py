"""Runs of a black box, in this process or, where it wants that, in one of their own."""

from __future__ import annotations

from collections.abc import Sequence

from .base import BlackBox
from .isolated import run_contained
from .outcome import Job, Outcome, execute_here

__all__ = ["execute"]


def execute(box: BlackBox, jobs: Sequence[Job]) -> list[Outcome]:
    """Make some runs, one after another or, if the box can, in one call; never raises for them."""
    return execute_here(box, jobs, run_contained if box.contained else None)
