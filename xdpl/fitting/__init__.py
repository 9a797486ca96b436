"""`fit`: where a Dataset with observations becomes a Fit."""

from .run import fit

__all__ = ["fit"]
