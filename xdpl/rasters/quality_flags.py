"""Which values of a map call for caution, from the trust layers beside it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import DataError, warn

__all__ = ["ancillary_names", "doubtful", "quality_flags"]

EXTRAPOLATED = ("unlike_training", "beyond_range_of_training")
"""Meanings of the extrapolation flag for which a value is flagged."""

COUNT = "number_of_observations"
"""The layer that says which cells were observed at all."""


def quality_flags(
    maps: xr.Dataset,
    *,
    spread: float = 1.0,
    at_bound: float = 0.5,
    identifiability: float = 0.5,
) -> xr.Dataset:
    """Flag the values of each map that call for caution, by what is known of parameter and cell.

    A value is flagged where any of these holds: the members of the ensemble differ by more than
    the cells of the map do; more members than not are at a bound; the cell's observations
    leave more than half of the spread that the bounds allow; or its attributes are unlike those of
    all training cells. A cell without observations has an identifiability of 0: nothing narrows
    its parameters, so it is never trusted more than an observed one.

    Parameters
    ----------
    maps : Dataset
        Of ``parameters(trust=True)``.
    spread : float
        Standard error, relative to the standard deviation of the map over its cells, above which a
        value is flagged.
    at_bound : float
        Share of members at a bound above which it is.
    identifiability : float
        Identifiability below which it is; with 0 cells without observations aren't flagged for it.

    Returns
    -------
    Dataset
        One variable for each parameter, with its dimensions: 1 where the value is flagged, 0 where
        nothing speaks against it, NaN where the map has no value, such as over sea.

    Raises
    ------
    DataError
        No variable has trust layers beside it.

    Examples
    --------
    >>> maps = fit.parameters(ds, trust=True)  # doctest: +SKIP
    >>> flags = xdpl.validation.quality_flags(maps)  # doctest: +SKIP
    >>> share = flags.mean()  # of each map  # doctest: +SKIP
    >>> trusted = maps.where(flags == 0)  # doctest: +SKIP
    """
    found = {
        str(name): _of_one(maps, variable, spread, at_bound, identifiability)
        for name, variable in maps.data_vars.items()
        if variable.attrs.get("ancillary_variables")
    }
    if not found:
        raise DataError(
            "no variable names ancillary_variables, so nothing is known of the quality of its "
            "values. Ask for the layers: ds.dpl.parameters(trust=True)."
        )
    return xr.Dataset(found)


def doubtful(
    maps: xr.Dataset,
    *,
    spread: float = 1.0,
    at_bound: float = 0.5,
    identifiability: float = 0.5,
) -> xr.Dataset:
    """Old name of `quality_flags`: True where a value is flagged, else False."""
    warn(
        "xdpl.validation.doubtful is now called quality_flags, and doubtful goes in the next "
        "version. quality_flags(maps) == 1 gives the same.",
        FutureWarning,
    )
    flags = quality_flags(maps, spread=spread, at_bound=at_bound, identifiability=identifiability)
    return flags == 1


def ancillary_names(maps: xr.Dataset) -> list[str]:
    """Names of the variables that stand beside others as CF ancillary variables, each once."""
    named = [str(v.attrs.get("ancillary_variables", "")).split() for v in maps.data_vars.values()]
    return list(dict.fromkeys(name for names in named for name in names))


def _of_one(
    maps: xr.Dataset, variable: xr.DataArray, spread: float, at_bound: float, identifiability: float
) -> xr.DataArray:
    flagged = xr.zeros_like(variable, dtype=bool)
    layers = {str(layer.name): layer for layer in _beside(maps, variable)}
    known = f"{variable.name}_identifiability"
    for name, layer in layers.items():
        if name == "extrapolation":
            flagged = flagged | _extrapolated(layer)
        elif name.endswith("_standard_error"):
            # over all that is no component: members' components are matched, cells are compared
            cells = [dim for dim in variable.dims if dim != "component"]
            flagged = flagged | (layer > spread * variable.std(cells))
        elif name.endswith("_at_bound"):
            flagged = flagged | (layer > at_bound)
        elif name == known:
            flagged = flagged | (layer.fillna(0) < identifiability)
    if known not in layers and COUNT in layers and identifiability > 0:
        flagged = flagged | (layers[COUNT] == 0)
    flags = flagged.where(variable.notnull()).astype(np.float32).transpose(*variable.dims)
    flags.attrs = {
        "long_name": f"quality flag: {variable.attrs.get('long_name', variable.name)}",
        "standard_name": "quality_flag",
        "flag_values": np.array([0, 1], np.float32),
        "flag_meanings": "not_flagged flagged",
    }
    return flags


def _beside(maps: xr.Dataset, variable: xr.DataArray) -> list[xr.DataArray]:
    named = str(variable.attrs["ancillary_variables"]).split()
    return [maps[name] for name in named if name in maps.data_vars]


def _extrapolated(flag: xr.DataArray) -> xr.DataArray:
    meanings = str(flag.attrs["flag_meanings"]).split()
    values = np.ravel(flag.attrs["flag_values"])
    return flag.isin([v for v, m in zip(values, meanings, strict=True) if m in EXTRAPOLATED])
