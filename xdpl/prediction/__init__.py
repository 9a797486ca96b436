"""From a fit and a Dataset to parameter maps, simulations, scores and their trust layers."""

from .result import Fit, load

__all__ = ["Fit", "load"]
