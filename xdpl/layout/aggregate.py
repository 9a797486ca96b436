"""Code that brings a Dataset to longer steps: amounts are summed, rates averaged."""

from __future__ import annotations

import re

import xarray as xr

from ..units import convertible, per_step
from .inventory import Entry, Inventory
from .quantities import QUANTITIES

__all__ = ["aggregation", "amounts", "frequency"]

_GATHERED = re.compile(
    r"(precipitation|rainfall|snowfall|runoff|evaporation|evapotranspiration|transpiration"
    r"|sublimation|drainage|melt)_amount$"
)
_RATES = ("mm day-1", "W m-2")


def amounts(inventory: Inventory, time: str) -> list[str]:
    """Variables along time that hold amounts of each step, or must: no rate has such units.

    A storage, such as snow in mm, is no amount of a step.
    """
    return [e.name for e in inventory.entries.values() if _along(e, time) and _is_amount(e, time)]


def _along(entry: Entry, time: str) -> bool:
    return entry.data and time in entry.dims and entry.kind in "fiu"


def _is_amount(entry: Entry, time: str) -> bool:
    if "time:sum" in entry.cell_methods or f"{time}:sum" in entry.cell_methods:
        return True
    if per_step(entry.units) or _GATHERED.search(entry.standard_name or ""):
        return True
    quantities = [
        q
        for q in QUANTITIES.values()
        if q.units in _RATES
        and (entry.standard_name in q.standard_names or entry.name.lower() in q.names)
    ]
    return any(
        not convertible(entry.units, q.units) and convertible(entry.units, q.units, step=1.0)
        for q in quantities
    )


def aggregation(ds: xr.Dataset, time: str, dt: float, steps: int = 1) -> str:
    """One line of code that gives a Dataset steps of ``dt`` days.

    Amounts are summed (missing where one of ``steps`` is), extremes kept, all else averaged; the
    variables without time are put back, which resample spreads over time.
    """
    inventory = Inventory.of(ds)
    groups: dict[str, list[str]] = {"sum": amounts(inventory, time), "max": [], "min": []}
    for entry in inventory.entries.values():
        if _along(entry, time) and entry.name not in groups["sum"]:
            for how, part in (("max", "maximum"), ("min", "minimum")):
                usual = entry.name.lower() in QUANTITIES[f"{part} temperature"].names
                if f":{part}" in entry.cell_methods or usual:
                    groups[how].append(entry.name)
    resample = f'.resample({time}="{frequency(dt)}")'
    code = f"ds = ds{resample}.mean(keep_attrs=True)"
    for how, names in groups.items():
        if names:
            least = f"min_count={steps}, " if how == "sum" else ""
            listed = ", ".join(f'"{name}"' for name in names)
            code += f".assign(ds[[{listed}]]{resample}.{how}({least}keep_attrs=True))"
    return f'{code}.assign(ds.drop_dims("{time}"))'


def frequency(dt: float) -> str:
    """A step in days as pandas writes it."""
    hours = dt * 24
    if hours >= 24 and abs(dt - round(dt)) < 1e-6:
        return f"{round(dt)}D"
    return f"{round(hours)}h" if hours >= 1 else f"{round(hours * 60)}min"
