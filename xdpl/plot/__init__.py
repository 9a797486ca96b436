"""Maps of all parameters at a glance."""

from .figure import plot

__all__ = ["plot"]


def __dir__() -> list[str]:
    return sorted(__all__)
