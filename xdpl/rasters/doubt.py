"""Which cells of a map had better not be believed, from the trust layers beside it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import DataError

__all__ = ["ancillary_names", "doubtful"]

EXTRAPOLATED = ("unlike_training", "beyond_range_of_training")
"""Meanings of the extrapolation flag for which a cell is in doubt."""


def doubtful(
    maps: xr.Dataset,
    *,
    spread: float = 1.0,
    at_bound: float = 0.5,
    identifiability: float = 0.5,
) -> xr.Dataset:
    """Mark where a map is in doubt, by what is known of its parameter and cell.

    A cell is in doubt where any of these holds: the members of the ensemble differ by more than
    the cells of the map do; more members than not are at a bound; the cell's observations
    leave more than half of the spread that the bounds allow; or its attributes are unlike those of
    all training cells.

    Parameters
    ----------
    maps : Dataset
        Of ``parameters(trust=True)``.
    spread : float
        Standard error, relative to the standard deviation of the map over its cells, above which a
        value is in doubt.
    at_bound : float
        Share of members at a bound above which it is.
    identifiability : float
        Identifiability below which it is. Cells without observations have none, and are not in
        doubt for that.

    Returns
    -------
    Dataset of bool
        One variable for each parameter, with its dimensions; False where it has no value.

    Raises
    ------
    DataError
        No variable has trust layers beside it.
    """
    found = {
        str(name): _of_one(maps, variable, spread, at_bound, identifiability)
        for name, variable in maps.data_vars.items()
        if variable.attrs.get("ancillary_variables")
    }
    if not found:
        raise DataError(
            "no variable names ancillary_variables, so nothing is known of what to doubt. Ask for "
            "the layers: ds.dpl.parameters(trust=True)."
        )
    return xr.Dataset(found)


def ancillary_names(maps: xr.Dataset) -> list[str]:
    """Names of the variables that stand beside others as CF ancillary variables, each once."""
    named = [str(v.attrs.get("ancillary_variables", "")).split() for v in maps.data_vars.values()]
    return list(dict.fromkeys(name for names in named for name in names))


def _of_one(
    maps: xr.Dataset, variable: xr.DataArray, spread: float, at_bound: float, identifiability: float
) -> xr.DataArray:
    doubt = xr.zeros_like(variable, dtype=bool)
    for layer in _beside(maps, variable):
        name = str(layer.name)
        if name == "extrapolation":
            doubt = doubt | _extrapolated(layer)
        elif name.endswith("_standard_error"):
            # over all that is no component: members' components are matched, cells are compared
            cells = [dim for dim in variable.dims if dim != "component"]
            doubt = doubt | (layer > spread * variable.std(cells))
        elif name.endswith("_at_bound"):
            doubt = doubt | (layer > at_bound)
        elif name.endswith("_identifiability"):
            doubt = doubt | (layer < identifiability)
    doubt = (doubt & variable.notnull()).transpose(*variable.dims)
    of = variable.attrs.get("long_name", variable.name)
    doubt.attrs = {"long_name": f"whether to doubt: {of}"}
    return doubt


def _beside(maps: xr.Dataset, variable: xr.DataArray) -> list[xr.DataArray]:
    named = str(variable.attrs["ancillary_variables"]).split()
    return [maps[name] for name in named if name in maps.data_vars]


def _extrapolated(flag: xr.DataArray) -> xr.DataArray:
    meanings = str(flag.attrs["flag_meanings"]).split()
    values = np.ravel(flag.attrs["flag_values"])
    return flag.isin([v for v, m in zip(values, meanings, strict=True) if m in EXTRAPOLATED])
