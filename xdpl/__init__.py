"""Differentiable parameter learning for xarray: ``ds.dpl.fit(obs=...)``, ``ds.dpl.parameters()``.

Importing xdpl registers the accessor ``.dpl`` on :class:`xarray.Dataset` and nothing else: what is
exported here is loaded on first use, so that torch is not waited for by those who only open files.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:  # a type checker looks at it last: it derives its methods from all else
    from . import accessor as _accessor  # noqa: F401  (registers ds.dpl)

if TYPE_CHECKING:
    from . import (
        blackbox,
        engine,
        errors,
        losses,
        models,
        networks,
        plot,
        rasters,
        surrogate,
        testing,
        tutorial,
        validation,
    )
    from .blackbox import BlackBox
    from .emulation import emulate
    from .fitting import fit
    from .layout.climate import climate
    from .prediction import Fit, load
    from .process import ProcessModel, StepModel
    from .surrogate import Surrogate
    from .validation import cross_validate
    from .variables import Forcing, Output, Parameter, State
    from .versions import show_versions

    __version__: str

__all__ = [
    "BlackBox",
    "Fit",
    "Forcing",
    "Output",
    "Parameter",
    "ProcessModel",
    "State",
    "StepModel",
    "Surrogate",
    "__version__",
    "blackbox",
    "climate",
    "cross_validate",
    "emulate",
    "engine",
    "errors",
    "fit",
    "load",
    "losses",
    "models",
    "networks",
    "plot",
    "rasters",
    "show_versions",
    "surrogate",
    "testing",
    "tutorial",
    "validation",
]

_HOME = {
    "BlackBox": "blackbox",
    "Surrogate": "surrogate",
    "emulate": "emulation",
    "Fit": "prediction",
    "climate": "layout",
    "cross_validate": "validation",
    "fit": "fitting",
    "load": "prediction",
    "show_versions": "versions",
    "ProcessModel": "process",
    "StepModel": "process",
    "Forcing": "variables",
    "Output": "variables",
    "Parameter": "variables",
    "State": "variables",
}


def __getattr__(name: str) -> Any:
    """Load an export on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'xdpl' has no attribute {name!r}.")
    value: Any
    if name == "__version__":
        value = importlib.metadata.version("xdpl")
    elif name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    else:
        value = importlib.import_module(f".{name}", __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
