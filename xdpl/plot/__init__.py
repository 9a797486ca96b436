"""Maps of all parameters at a glance."""

from .figure import plot

__all__ = ["plot"]
