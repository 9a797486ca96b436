"""Process models that come with xdpl: one file each."""

from __future__ import annotations

from ..process import ProcessModel
from ..public import named
from .gr4j import GR4J
from .hbv import HBV
from .vic import VIC

__all__ = ["GR4J", "HBV", "VIC", "bundled"]

BUNDLED: tuple[type[ProcessModel], ...] = (VIC, HBV, GR4J)
"""All bundled models; where several have an output that was observed, the first one is taken."""


def bundled(
    model: ProcessModel | type[ProcessModel] | str,
) -> ProcessModel | type[ProcessModel]:
    """Return the bundled model of a name, in upper or lower case; a model as it is.

    Raises
    ------
    DeclarationError
        No bundled model has this name.

    Examples
    --------
    >>> xdpl.models.bundled("hbv")
    <class 'xdpl.models.hbv.HBV'>
    """
    return named("model", model, BUNDLED) if isinstance(model, str) else model


def __dir__() -> list[str]:
    return sorted(__all__)
