"""From a Fit and a Dataset to parameter maps, simulations, scores and their trust layers."""

from .fit_files import load
from .result import Fit

__all__ = ["Fit", "load"]
