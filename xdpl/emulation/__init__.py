"""From a black box to a surrogate: runs of the true model, training, checks, refinement."""

from .run import emulate

__all__ = ["emulate"]
