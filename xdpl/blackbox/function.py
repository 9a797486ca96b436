"""A Python function as a black box, on numpy or xarray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import DeclarationError, ModelRunError
from ..variables import Forcing, Output, Parameter
from .base import Forcings, Given

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Function"]


class Function(Given):
    """A Python function as a black box.

    Parameters
    ----------
    function : callable
        ``function(forcings, parameters)``, or with each of them by name where ``on="names"``.
    forcings, parameters, outputs : mapping of str to Forcing, Parameter, Output
        Declarations by name.
    on : {"numpy", "xarray", "names"}
        What the function takes: `Forcings` of arrays; a Dataset with dimension time and units; or
        arrays and floats as keywords.
    vectorised : bool
        Whether one call takes many cells; see `BlackBox`.
    name : str, optional
        Under which files remember it; the function's name by default.
    **keywords
        ``timesteps``, ``isolate``, ``timeout``, as of `BlackBox`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        forcings: Mapping[str, Forcing],
        parameters: Mapping[str, Parameter],
        outputs: Mapping[str, Output],
        on: Literal["numpy", "xarray", "names"] = "numpy",
        vectorised: bool = False,
        name: str | None = None,
        **keywords: Any,
    ) -> None:
        if not callable(function):
            raise DeclarationError(f"function is {function!r}. Give a function to call.")
        if on not in ("numpy", "xarray", "names"):
            raise DeclarationError(f"on={on!r} is unknown. Use 'numpy', 'xarray' or 'names'.")
        named = name or str(getattr(function, "__name__", type(function).__name__))
        super().__init__(forcings, parameters, outputs, name=named, **keywords)
        self.function, self.on = function, on
        self.vectorised = vectorised

    def run(
        self, forcings: Forcings, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | xr.Dataset:
        if self.on == "xarray":
            found = self.function(forcings.to_dataset(), dict(parameters))
        elif self.on == "names":
            found = self.function(**forcings, **parameters)
        else:
            found = self.function(forcings, parameters)
        return _by_name(found, tuple(self.outputs))


def _by_name(found: Any, names: tuple[str, ...]) -> Mapping[str, Any] | xr.Dataset:
    """Name what a function returned: one array is the one output, several are in their order."""
    if isinstance(found, Mapping) or hasattr(found, "data_vars"):
        return found
    if isinstance(found, tuple):
        if len(found) != len(names):
            raise ModelRunError(
                f"the function returned {len(found)} values for {len(names)} outputs. Return "
                f"{{name: values}} with {', '.join(names)}.",
                "missing output",
            )
        return dict(zip(names, found, strict=True))
    if len(names) > 1 or not np.ndim(found):
        raise ModelRunError(
            f"the function returned a {type(found).__name__}. Return {{name: values (time,)}} with "
            f"{', '.join(names)}.",
            "missing output",
        )
    return {names[0]: found}
