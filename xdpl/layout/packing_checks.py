"""Whether packed variables are what their attributes say: whole numbers, still to be scaled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import LayoutError, warn
from .packing import SCALES, is_scaled
from .sample import sample

__all__ = ["check_packing"]


def check_packing(ds: xr.Dataset, names: Iterable[str]) -> None:
    """Warn of variables that are unpacked on the way in.

    Raises
    ------
    LayoutError
        If one says how to be scaled, and its values can't be raw: they are no whole numbers.
    """
    scaled = [name for name in names if is_scaled(ds[name].attrs, name)]
    for name in scaled:
        raw = ds[name].copy(deep=False)
        raw.attrs = {}
        values = sample(raw, "")
        if (values != np.round(values)).any():
            given = [key for key in SCALES if key in ds[name].attrs]
            remove = "; ".join(f'del ds["{name}"].attrs["{key}"]' for key in given)
            raise LayoutError(
                f"the attributes of {name!r} hold {' and '.join(given)}, as of packed whole "
                f"numbers, but its values aren't whole, such as {_broken(values):g}. If they are "
                f"scaled already, say so: {remove}."
            )
    if scaled:
        listed = ", ".join(f"{name} ({_described(ds[name].attrs)})" for name in scaled)
        many = len(scaled) > 1
        warn(
            f"{len(scaled)} variable{'s are' if many else ' is'} still packed: {listed}. xdpl "
            f"unpacks {'them' if many else 'it'}. To see the values yourself: "
            "ds = xr.decode_cf(ds)."
        )


def _broken(values: NDArray[np.float64]) -> float:
    return float(values[np.flatnonzero(values != np.round(values))[0]])


def _described(attrs: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {attrs[key]}" for key in SCALES if key in attrs)
