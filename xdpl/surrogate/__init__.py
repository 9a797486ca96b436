"""A learned stand-in for a black box: a process model like any other, with gradients."""

from .files import load_surrogate
from .model import Surrogate
from .network import Emulator, EmulatorLSTM
from .report import Report

__all__ = ["Emulator", "EmulatorLSTM", "Report", "Surrogate", "load_surrogate"]


def __dir__() -> list[str]:
    return sorted(__all__)
