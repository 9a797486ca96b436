"""Process models that come with xdpl: one file each."""

from .gr4j import GR4J
from .hbv import HBV
from .vic import VIC

__all__ = ["BUNDLED", "GR4J", "HBV", "VIC"]

BUNDLED = (VIC, HBV, GR4J)
"""All bundled models; where several have an output that was observed, the first one is taken."""
