"""`fit` and `Fit`: where a Dataset becomes parameters, and the only place that knows both."""

from .files import load
from .result import Fit
from .run import fit

__all__ = ["Fit", "fit", "load"]
