"""Data to try: real ones, downloaded once, and synthetic ones whose true parameters are known."""

from .download import open_dataset
from .synthetic import synthetic

__all__ = ["open_dataset", "synthetic"]


def __dir__() -> list[str]:
    return sorted(__all__)
