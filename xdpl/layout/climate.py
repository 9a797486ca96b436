"""The climate of each cell as attributes: what its forcings are like, whatever the window."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from ..errors import DataError, LayoutError
from ..units import of_difference
from .axes import check_dataset, close
from .times import find_time

__all__ = ["climate"]

KINDS = {"mean": "mean", "std": "standard deviation"}
CELL_METHODS = {"mean": "time: mean", "std": "time: standard_deviation"}


def climate(ds: xr.Dataset, variables: Sequence[str], *, period: object = None) -> xr.Dataset:
    """Mean and standard deviation over time of each variable, as attributes for the network.

    Soil and vegetation do not tell a network how wet, warm or variable a place is, yet parameters
    follow it. Compute these attributes once, over one period, and merge them:
    ``ds = ds.merge(xdpl.climate(ds, ["prcp", "tas"], period=...))``. Maps stay the same for any
    window since the attributes do; another place needs its own, over the same period.

    Parameters
    ----------
    ds : Dataset
        Gridded (y, x) or basin-indexed, numpy or dask (then lazy).
    variables : sequence of str
        Variables with time, such as the forcings.
    period : slice, optional
        Labels of the first and last time, both included; all times by default.

    Returns
    -------
    Dataset
        ``NAME_mean`` and ``NAME_std`` over the cells, in the units of NAME.

    Raises
    ------
    LayoutError
        A variable is not there, or has no time.
    DataError
        The period holds no time of the Dataset.
    """
    check_dataset(ds)
    if isinstance(variables, str):
        variables = [variables]
    for name in variables:
        if name not in ds.data_vars:
            raise LayoutError(
                f"{name!r} is no variable of the Dataset, which has "
                f"{', '.join(map(str, ds.data_vars))}. {close(name, ds.data_vars)}Correct the name."
            )
    time = find_time(ds)
    found = {}
    for name in variables:
        if time not in ds[name].dims:
            raise LayoutError(
                f"{name!r} has no dimension {time!r}: it is an attribute already. Leave it out."
            )
        series = ds[name] if period is None else ds[name].sel({time: period})
        if not series.sizes[time]:
            raise DataError(
                f"period {period} holds no time of the Dataset, which runs from "
                f"{ds[time].values[0]} to {ds[time].values[-1]}. Choose a period inside."
            )
        for kind, words in KINDS.items():
            found[f"{name}_{kind}"] = _statistic(series, time, kind, words)
    return xr.Dataset(found)


def _statistic(series: xr.DataArray, time: str, kind: str, words: str) -> xr.DataArray:
    """One statistic of a series, with metadata of its own: a standard name would be wrong."""
    units = str(series.attrs.get("units", "1"))
    result: xr.DataArray = getattr(series, kind)(time)
    result.attrs = {
        "units": of_difference(units) if kind == "std" else units,
        "long_name": f"{words} of {series.attrs.get('long_name', series.name)}",
        "cell_methods": CELL_METHODS[kind],
    }
    return result
