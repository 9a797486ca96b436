"""Layers that say how far another variable can be trusted: CF ancillary variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..errors import RasterError
from ..variables import Output, Parameter

__all__ = [
    "FLAG_DTYPE",
    "FLAG_FILL",
    "Quality",
    "ancillary_of",
    "missing_value_of",
    "standard_error_of",
    "without_fill",
]

FLAG_DTYPE = np.dtype("i1")

_FILLS = ("_FillValue", "missing_value")

FLAG_FILL = -1
"""Stands for no value in a flag, such as over sea: whole numbers have no NaN."""


@dataclasses.dataclass(frozen=True)
class Quality(Output):
    """A variable that tells of the quality of others.

    Parameters
    ----------
    of : str
        The variable it is about; empty where it is about all of them.
    meanings : tuple of str
        For a flag: what its values 0, 1, 2, ... mean, each a word. Empty for a number.
    """

    of: str = ""
    meanings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bad = [word for word in self.meanings if not word or len(word.split()) > 1]
        if bad:
            raise RasterError(
                f"{bad[0]!r} can't be the meaning of a flag. Give one word each, joined by _."
            )

    def flags(self) -> dict[str, object]:
        """CF attributes of a flag (section 3.5); none for a number."""
        if not self.meanings:
            return {}
        values = np.arange(len(self.meanings), dtype=FLAG_DTYPE)
        return {
            "flag_values": values,
            "flag_meanings": " ".join(self.meanings),
            "_FillValue": FLAG_DTYPE.type(FLAG_FILL),  # an attribute: rioxarray clips by it
        }


def missing_value_of(variable: xr.DataArray) -> float | None:
    """Number that stands for no value in a map that was not decoded, or None."""
    if variable.dtype.kind not in "iuf":
        return None
    decoded = variable.dtype.kind == "f"  # what stands in its encoding is NaN by now
    for about in (variable.attrs,) if decoded else (variable.attrs, variable.encoding):
        for key in _FILLS:
            value = np.ravel(about.get(key, np.nan))
            if value.size == 1 and value.dtype.kind in "iuf" and np.isfinite(value[0]):
                return float(value[0])
    return None


def without_fill(variable: xr.DataArray) -> xr.DataArray:
    """A map with NaN in place of the number that stands for no value, if there is one."""
    fill = missing_value_of(variable)
    if fill is None:
        return variable
    small = variable.dtype.kind != "f" and variable.dtype.itemsize <= 2
    values = variable.where(variable != fill)
    values = values.astype(np.float32) if small else values
    values.attrs = {k: v for k, v in variable.attrs.items() if k not in _FILLS}
    return values


def standard_error_of(name: str, parameter: Parameter, long_name: str) -> Quality:
    """Declare the standard error of a parameter, with CF's modifier where it has a standard name.

    Parameters
    ----------
    name : str
        Of the parameter.
    parameter : Parameter
        Gives units, and the standard name that is modified (CF-1.11, section 3.3 and appendix C).
    long_name : str
        What the error comes from.
    """
    known = parameter.standard_name
    return Quality(
        parameter.units,
        standard_name=f"{known} standard_error" if known else None,
        long_name=long_name,
        of=name,
    )


def ancillary_of(name: str, declared: Mapping[str, Any], present: Iterable[object]) -> str:
    """Names of the variables present that are about one, as CF's ``ancillary_variables``.

    A layer about others has none itself.
    """
    if isinstance(declared[name], Quality):
        return ""
    about = [
        str(other)
        for other in present
        if isinstance(declared[str(other)], Quality) and declared[str(other)].of in ("", name)
    ]
    return " ".join(about)
