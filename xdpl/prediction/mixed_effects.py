"""Mixed effects: what the network gives to all cells alike, and what is a cell's own."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from ..errors import DeclarationError
from ..parameters.transforms import bounded, unbounded
from ..rasters import dress
from ..rasters.quality import Quality
from ..units import of_difference
from ..variables import Output, Parameter
from .fit_state import FitState
from .maps import parameters
from .summary import provenance

__all__ = ["mixed_effects", "spread"]


def spread(fit: FitState) -> dict[str, float]:
    """Root mean square of the cells' deviations, by parameter, before the bounds are applied.

    Over the training cells, their components, and the members of an ensemble.
    """
    tables = fit.learner.deviations
    if not tables:
        raise DeclarationError(
            "this fit has no mixed effects: it was made with deviations=False, or by a baseline. "
            "Fit with deviations=True."
        )
    found: dict[str, float] = {}
    transform, at = fit.learner.transform, 0
    for name, parameter in transform.parameters.items():
        width = transform.width(parameter)
        own = torch.stack([table.detach()[:, at : at + width] for table in tables])
        found[name] = float(own.double().pow(2).mean().sqrt())
        at += width
    return found


def mixed_effects(fit: FitState, ds: xr.Dataset) -> xr.Dataset:
    """Map what the network gives, and what each cell adds; see `Fit.mixed_effects`."""
    widths = spread(fit)
    whole, alone = parameters(fit, ds), parameters(fit, ds, deviations=False)
    declared: dict[str, Parameter | Output] = {}
    maps: dict[str, xr.DataArray] = {}
    for name, parameter in fit.model.parameters.items():
        of = parameter.long_name or name.replace("_", " ")
        units = of_difference(parameter.units)
        declared[name] = parameter
        declared[f"{name}_network"] = Output(
            parameter.units, long_name=f"what the network alone gives: {of}"
        )
        declared[f"{name}_deviation"] = Output(
            units, long_name=f"difference of the cell from what the network gives: {of}"
        )
        declared[f"{name}_spread"] = Quality(
            units,
            long_name=f"standard deviation of cells around what the network gives: {of}",
            of=name,
        )
        maps[name], maps[f"{name}_network"] = whole[name], alone[name]
        maps[f"{name}_deviation"] = whole[name] - alone[name]
        maps[f"{name}_spread"] = xr.apply_ufunc(
            partial(_around, parameter=parameter, width=widths[name]), alone[name],
            dask="parallelized", output_dtypes=["f4"],
        )  # fmt: skip
    bare = xr.Dataset({name: array.reset_coords(drop=True) for name, array in maps.items()})
    dressed = dress(bare, ds, declared, provenance(fit))
    for name, parameter in fit.model.parameters.items():
        if of_difference(parameter.units) != parameter.units:
            for what in ("deviation", "spread"):
                attrs = dressed[f"{name}_{what}"].attrs
                attrs["units_metadata"] = "temperature: difference"
    return dressed


def _around(
    values: NDArray[np.float32], *, parameter: Parameter, width: float
) -> NDArray[np.float32]:
    """Half the distance between one spread below and one above; NaN stays NaN."""
    raw = unbounded(torch.from_numpy(values.astype("f8")), parameter)
    apart = bounded(raw + width, parameter) - bounded(raw - width, parameter)
    return (0.5 * apart).numpy().astype("f4")
