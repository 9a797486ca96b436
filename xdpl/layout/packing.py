"""Values as they are meant, where a variable still holds what its file says about packing.

`rioxarray.open_rasterio` and `xr.open_dataset(mask_and_scale=False)` leave ``_FillValue``,
``scale_factor`` and ``add_offset`` in the attributes, and raw numbers in the array (CF-1.11,
sections 2.5.1 and 8.1). What xarray has decoded holds them in its encoding instead.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import LayoutError

__all__ = ["SCALES", "is_scaled", "unpack"]

_FILLS = ("_FillValue", "missing_value")
SCALES = {"scale_factor": 1.0, "add_offset": 0.0}
"""Attributes that say how to scale a variable, and what they are where they are missing."""


def unpack(
    values: NDArray[np.generic], attrs: Mapping[str, object], name: object
) -> NDArray[np.generic]:
    """Values with missing ones as NaN, scaled, as the attributes of their variable say.

    Parameters
    ----------
    values : array
        As in the file.
    attrs : mapping
        Attributes of the variable.
    name : str
        Its name, for errors.

    Returns
    -------
    array
        The same where nothing is to be done.

    Raises
    ------
    LayoutError
        If one of the attributes is not a number.
    """
    if values.dtype.kind not in "fiu" or not any(key in attrs for key in (*_FILLS, *SCALES)):
        return values
    if values.dtype.kind == "i" and str(attrs.get("_Unsigned", "")).lower() == "true":
        values = values.view(f"u{values.dtype.itemsize}")
    missing = np.zeros(values.shape, bool)
    for key in _FILLS:
        for fill in _numbers(attrs.get(key)):
            if values.dtype.kind == "f":
                with np.errstate(over="ignore"):
                    missing |= values == fill.astype(values.dtype)
            else:
                missing |= values == fill
    scale, offset = _scaling(attrs, name)
    if missing.any():
        values = np.where(missing, np.nan, values.astype(np.float64))
    if (scale, offset) != (1.0, 0.0):
        values = values.astype(np.float64) * scale + offset
    return values


def is_scaled(attrs: Mapping[str, object], name: object) -> bool:
    """Whether attributes of a variable say that its numbers are to be scaled."""
    return any(key in attrs for key in SCALES) and _scaling(attrs, name) != (1.0, 0.0)


def _scaling(attrs: Mapping[str, object], name: object) -> tuple[float, float]:
    scale, offset = (_scale(attrs, key, default, name) for key, default in SCALES.items())
    return scale, offset


def _scale(attrs: Mapping[str, object], key: str, default: float, name: object) -> float:
    if key not in attrs:
        return default
    numbers = _numbers(attrs[key])
    if numbers.size != 1 or not np.isfinite(numbers).all():
        raise LayoutError(
            f"the {key} of {name!r} is {str(attrs[key])[:40]!r}, not a number. Correct it, or "
            f'remove it: del ds["{name}"].attrs["{key}"].'
        )
    return float(numbers[0])


def _numbers(given: object) -> NDArray[np.float64]:
    """The numbers that an attribute holds; none if it holds anything else."""
    try:
        return np.atleast_1d(np.asarray(given, dtype=np.float64)).ravel()
    except (TypeError, ValueError):
        return np.empty(0)
