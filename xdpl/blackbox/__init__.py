"""Models that stay as they are: what they declare, and how one run of them is made."""

from .base import BlackBox, Forcings
from .bmi import BMI
from .cells import failure_of, run_cells, times_before
from .command import Column, CommandLine
from .dispatch import execute
from .failures import Failure, Failures
from .files import Table
from .function import Function
from .outcome import Job, Outcome
from .pool import run_all

__all__ = [
    "BMI",
    "BlackBox",
    "Column",
    "CommandLine",
    "Failure",
    "Failures",
    "Forcings",
    "Function",
    "Job",
    "Outcome",
    "Table",
    "execute",
    "failure_of",
    "run_all",
    "run_cells",
    "times_before",
]


def __dir__() -> list[str]:
    return sorted(__all__)
