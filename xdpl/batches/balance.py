"""Whether observed streamflow can come from precipitation, and no attribute from streamflow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..layout import Findings, Layout
from ..layout.attribute_hints import made_from_observations
from ..units import conversion

__all__ = ["SAMPLE_DAYS", "known_answers", "water_balance"]

HIGH, LOW = 1.1, 1e-3
"""Share of precipitation that leaves as streamflow: outside, something else is wrong.

Gauges miss some of the snow, and glaciers and springs add water, but units and areas that are
mistaken change it by more. In the driest basins of published data sets 0.2 % leave.
"""
ENOUGH_DAYS = 150.0
SAMPLE_DAYS = 1100.0
"""Days that are looked at where not all is read."""


ALIKE, MOST_ALIKE = 0.99, 20
"""Correlation of an attribute with the mean of the observations, over at least so many cells."""


def known_answers(layout: Layout, attribute: Tensor, mean: Mapping[str, Tensor]) -> Findings:
    """Say which attributes are the mean of the observations, or nearly so.

    Parameters
    ----------
    layout : Layout
        The attributes.
    attribute : Tensor (cell, attribute)
        Their values, in the order of the Layout.
    mean : dict of str to Tensor (cell,)
        Of the observations, by output.
    """
    if len(attribute) < MOST_ALIKE or not mean:
        return Findings()
    columns = [n for n, role in enumerate(layout.attributes) if role.classes is None]
    made = [
        layout.attributes[n].name
        for n in columns
        if any(_correlation(attribute[:, n], value) >= ALIKE for value in mean.values())
    ]
    if not made:
        return Findings()
    return Findings({("answer", made_from_observations(made, layout.attribute_names)): 1})


def _correlation(one: Tensor, other: Tensor) -> float:
    """Of two quantities, (cell,), whatever their sign; 0 where either is constant."""
    pair = torch.stack([one.double(), other.double()])
    if not bool(torch.isfinite(pair).all()) or bool((pair.std(1) == 0).any()):
        return 0.0
    return abs(float(torch.corrcoef(pair)[0, 1]))


def water_balance(
    layout: Layout,
    forcing: Mapping[str, NDArray[np.float32]],
    observed: Mapping[str, NDArray[np.float32]],
) -> Findings:
    """Count cells whose streamflow is above precipitation, or hardly any of it.

    Parameters
    ----------
    layout : Layout
        Which forcing is precipitation, and which output is streamflow.
    forcing, observed : dict of str to array (time, cell)
        Of the same steps, in the units of the Layout.

    Returns
    -------
    Findings
        "balance" counts cells, "balanced" those that were compared, "imbalance" says why.
    """
    rain = [n for n, role in layout.forcings.items() if role.quantity == "precipitation"]
    flow = [n for n, role in layout.observed.items() if role.source.quantity == "streamflow"]
    if len(rain) != 1 or not flow or rain[0] not in forcing:
        return Findings()
    source = layout.forcings[rain[0]]
    there = " and ".join(s.variable for s in source.sources.values())
    fallen = forcing[rain[0]] * conversion(source.units, "mm day-1")[0]
    counts: dict[tuple[str, str], int] = {}
    for name in flow:
        role = layout.observed[name]
        ran = observed[name] * conversion(role.units, "mm day-1")[0]
        share = _share(ran, fallen, layout.dt)
        for words, wrong in (
            (f"{role.variable} above {there}", share > HIGH),
            (f"{role.variable} below a thousandth of {there}", share < LOW),
        ):
            counts["imbalance", words] = n = int(wrong.sum())
            counts["balance", ""] = counts.get(("balance", ""), 0) + n
        counts["balanced", ""] = max(counts.get(("balanced", ""), 0), int(np.isfinite(share).sum()))
    return Findings({key: n for key, n in counts.items() if n})


def _share(ran: NDArray[np.float32], fallen: NDArray[np.float32], dt: float) -> NDArray[np.float64]:
    """Streamflow over precipitation while both are known, (cell,); NaN where that is short."""
    known = np.isfinite(ran) & np.isfinite(fallen)
    out = np.where(known, ran, 0.0).sum(0, dtype=np.float64)
    rain = np.where(known, fallen, 0.0).sum(0, dtype=np.float64)
    enough = (known.sum(0) * dt >= ENOUGH_DAYS) & (rain > 0)
    return np.divide(out, rain, out=np.full(out.shape, np.nan), where=enough)
