"""One look through a Dataset: what each variable calls itself, looked up ever after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import xarray as xr

__all__ = ["Entry", "Inventory", "plain", "units_of"]


@dataclass(frozen=True)
class Entry:
    """What is known of a variable without its values.

    Parameters
    ----------
    name : str
        As it is written.
    standard_name, units : str or None
        As its attributes say; units of a pint quantity are those of the quantity.
    kind : str
        Kind of its numpy type, empty for others.
    dims : tuple of str
        Its dimensions.
    data : bool
        A data variable, no coordinate.
    cell_methods : str
        Without spaces, in lower case.
    verified : bool
        Whether the user vouches for the units, by the attribute units_verified.
    """

    name: str
    standard_name: str | None
    units: str | None
    kind: str
    dims: tuple[str, ...]
    data: bool
    cell_methods: str
    verified: bool = False


def units_of(variable: xr.Variable | xr.DataArray) -> str | None:
    """Units of a variable: those of its pint quantity, else of its attributes."""
    data: object = (variable.variable if isinstance(variable, xr.DataArray) else variable)._data
    quantity = getattr(data, "units", None) if hasattr(data, "magnitude") else None
    units = variable.attrs.get("units") if quantity is None else f"{quantity:C}"
    return None if units is None else str(units)


def plain(variable: xr.Variable) -> xr.Variable:
    """The same variable without units in its array, where it holds a pint quantity."""
    magnitude = getattr(variable._data, "magnitude", None)
    return variable if magnitude is None else variable.copy(data=magnitude)


@dataclass(frozen=True)
class Inventory:
    """All variables of a Dataset by name, standard name and lower-case name."""

    entries: Mapping[str, Entry]

    @classmethod
    def of(cls, ds: xr.Dataset) -> Inventory:
        """Look through a Dataset once."""
        return cls({str(name): _entry(ds, str(name), v) for name, v in ds.variables.items()})

    @cached_property
    def _standard(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for entry in sorted(self.entries.values(), key=lambda e: e.name):
            if entry.standard_name is not None:
                found.setdefault(entry.standard_name, []).append(entry.name)
        return found

    @cached_property
    def _lowered(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for entry in self.entries.values():
            found.setdefault(entry.name.lower(), []).append(entry.name)
        return found

    def by_standard_name(self, wanted: Iterable[str]) -> list[str]:
        """Names of variables with one of the standard names, in the order wanted."""
        return [name for one in wanted for name in self._standard.get(one, ())]

    def by_lower_name(self, wanted: Iterable[str]) -> list[str]:
        """Names of variables called so, whatever the case, in the order of the Dataset."""
        lowered = {one.lower() for one in wanted}
        found = [name for one in lowered for name in self._lowered.get(one, ())]
        order = {name: place for place, name in enumerate(self.entries)}
        return sorted(found, key=order.__getitem__)


def _entry(ds: xr.Dataset, name: str, variable: xr.Variable) -> Entry:
    attrs = variable.attrs
    standard = attrs.get("standard_name")
    return Entry(
        name=name,
        standard_name=standard if isinstance(standard, str) else None,
        units=units_of(variable),
        kind=getattr(variable.dtype, "kind", ""),
        dims=tuple(map(str, variable.dims)),
        data=name in ds.data_vars,
        cell_methods=str(attrs.get("cell_methods", "")).replace(" ", "").lower(),
        verified=str(attrs.get("units_verified", "")).lower() in ("1", "true", "yes"),
    )
