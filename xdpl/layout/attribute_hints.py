"""Hints about attributes: numbers that look like classes, and those made from the observations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import xarray as xr

from .attribute_values import Look
from .records import AttributeRole

__all__ = ["hints"]

_CLASS_WORDS = frozenset(
    "class classes type types category categories code codes cover landcover landuse lulc lc lu "
    "igbp nlcd corine clc glims zone zones biome ecoregion geology lithology glim koppen "
    "pft soiltype usda texture wrb fao dominant dom".split()
)
"""Words in the names of classes."""
_FEW = 40

_SIGNATURES = frozenset(
    "q_mean qmean mean_q q_mm mean_flow mean_streamflow mean_discharge runoff_ratio runoff_coef "
    "runoff_coefficient stream_elas slope_fdc baseflow_index bfi q5 q10 q50 q90 q95 q_5 q_95 "
    "high_q_freq high_q_dur low_q_freq low_q_dur zero_q_freq hfd_mean half_flow_date "
    "flashiness q_std q_cv mean_annual_runoff mean_annual_flow".split()
)
"""Usual names of signatures of streamflow (Addor et al. 2017, doi:10.5194/hess-21-5293-2017)."""


def hints(
    attributes: Sequence[tuple[xr.DataArray, AttributeRole, Look]], observed: Iterable[str]
) -> list[str]:
    """Sentences about attributes that are probably not what the network should read.

    Parameters
    ----------
    attributes : sequence of (DataArray, AttributeRole, Look)
        The variables, their roles and what was seen of them.
    observed : iterable of str
        Quantities that are observed.
    """
    found = []
    codes = [role.name for array, role, look in attributes if _are_codes(array, role, look)]
    if codes:
        variables = list(dict.fromkeys(r.variable for _, r, _ in attributes if r.name in codes))
        listed = ", ".join(f'"{name}"' for name in variables)
        found.append(
            f"{_number(codes)} few whole numbers, as codes of classes do, and "
            f"{'is' if len(codes) == 1 else 'are'} taken for a number: {', '.join(codes)}. "
            f"Classes have no order: categorical=[{listed}]."
        )
    made = [role.name for _, role, _ in attributes if role.name.lower() in _SIGNATURES]
    if made and "streamflow" in set(observed):
        found.append(made_from_observations(made, [r.name for _, r, _ in attributes]))
    return found


def made_from_observations(made: Sequence[str], every: Sequence[str]) -> str:
    """Sentence about attributes that hold what is to be predicted."""
    kept = ", ".join(f'"{name}"' for name in every if name not in made)
    one = len(made) == 1
    leave = f"Leave {'it' if one else 'them'} out: attributes=[{kept}]." if kept else "Add others."
    return (
        f"{len(made)} attribute{'' if one else 's'} seem{'s' if one else ''} made from the "
        f"observations: {', '.join(made)}. The network would read the answer, which no ungauged "
        f"cell has. {leave}"
    )


def _number(names: Sequence[str]) -> str:
    return f"{len(names)} attribute{' has' if len(names) == 1 else 's have'}"


def _are_codes(array: xr.DataArray, role: AttributeRole, look: Look) -> bool:
    """Whether a number is a code: few whole values, and a name or flags that say so."""
    if role.classes is not None or not look.few or len(look.found) > _FEW or look.low < 0:
        return False
    if any(not isinstance(v, float) or v != round(v) for v in look.found):
        return False
    if len(look.found) < 3 and "flag_meanings" not in array.attrs:
        return False  # yes and no has one order
    if any(key in array.attrs for key in ("flag_meanings", "flag_masks")):
        return True
    if role.units not in (None, "", "1", "-", "class", "category", "code", "none"):
        return False
    about = f"{role.variable} {array.attrs.get('long_name', '')}"
    return bool(_CLASS_WORDS & set(re.split(r"[^a-z]+", about.lower())))
