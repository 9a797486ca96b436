"""Values that are probably not what their units say: saturation, and fill values of a series."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from ..errors import UnitsError, warn
from .context import Context
from .quality import SHORT_FILLS, looks_filled
from .records import Source

__all__ = ["check_observed"]

_SATURATION = re.compile(r"saturat|wetness|relative (?:surface )?soil moisture", re.IGNORECASE)
_POROSITY = ("porosity", "soil_porosity", "saturated_water_content", "theta_s", "thetas", "poros")
_WET = 0.7
"""Volumetric soil moisture that hardly any soil but peat can hold."""
_SHARE = 0.05


def check_observed(ctx: Context, source: Source) -> None:
    """Look at a variable that the model is held against.

    Raises
    ------
    UnitsError
        If it is a degree of saturation, as its attributes say, where volumes are wanted.
    """
    if source.quantity == "soil moisture":
        _check_saturation(ctx, source)
    elif source.quantity is None:
        _check_fills(ctx, source)


def _check_saturation(ctx: Context, source: Source) -> None:
    array = ctx.ds[source.variable]
    keys = ("long_name", "description", "comment", "standard_name", "units")
    about = " ".join(str(array.attrs.get(key, "")) for key in keys)
    if _SATURATION.search(about):
        raise UnitsError(
            f'ds["{source.variable}"] is a degree of saturation, as its attributes say, and '
            f"{source.target} of water are wanted. {_volume(ctx, source)}"
        )
    values = ctx.values(source.variable) * source.scale + source.offset
    if values.size and np.quantile(values, 1 - _SHARE) > _WET:
        warn(
            f"5 % of the values of {source.variable} are above {np.quantile(values, 0.95):.2f} "
            f"{source.target}, which hardly any soil holds. They are probably a degree of "
            f"saturation. {_volume(ctx, source)}"
        )


def _volume(ctx: Context, source: Source) -> str:
    """How a degree of saturation becomes a volume."""
    name, factor = source.variable, f" * {source.scale:g}" if source.scale != 1.0 else ""
    porosity = next((n for n in map(str, ctx.ds.data_vars) if n.lower() in _POROSITY), None)
    known = porosity is not None and _is_share(ctx.ds[porosity])
    times = f'ds["{name}"]{factor} * ds["{porosity if known else "porosity"}"]'
    code = f'ds["{name}"] = ({times}).drop_attrs().assign_attrs(units="m3 m-3")'
    if known:
        return f"Multiply it by the porosity: {code}."
    return (
        "Multiply it by the porosity of the soil, as a share of its volume, which the Dataset "
        f'lacks: with ds["porosity"], {code}.'
    )


def _is_share(array: xr.DataArray) -> bool:
    return str(array.attrs.get("units", "1")) in ("1", "", "m3 m-3", "m3/m3", "-", "cm3 cm-3")


def _check_fills(ctx: Context, source: Source) -> None:
    """Warn of -99 and its like in a series that is never negative otherwise."""
    values = ctx.values(source.variable)
    values = values[~looks_filled(values)]
    short = looks_filled(values, SHORT_FILLS)
    if not short.any() or short.all() or (values[~short] < 0).any():
        return
    fill, name = float(values[short][0]), source.variable
    warn(
        f"{name} has the value {fill:g}, and is never negative otherwise: it is probably a fill "
        f'value. Set it to missing: ds["{name}"] = ds["{name}"].where(ds["{name}"] != {fill:g}).'
    )
