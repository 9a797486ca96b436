"""What the recognition of roles needs at hand: the Dataset, its axes, and samples of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from ..errors import LayoutError, UnitsError
from ..units import conversion, convertible, per_step, remedy, units_error
from .accumulated import running_total
from .area import find_area
from .axes import close, direction, extra_dimension
from .inventory import Inventory
from .magnitudes import Ranges, check_magnitude
from .quantities import QUANTITIES, Declared, names_of
from .records import Source
from .sample import sample
from .signs import upright

__all__ = ["Context"]

MONTHS = 12
_SUFFIXES = ("", "_climatology", "_clim", "_monthly", "_month", "_mon")


@dataclass
class Context:
    """A Dataset on its way to a Layout.

    Parameters
    ----------
    ds : Dataset
        Only metadata and small samples of it are read.
    time : str
        Its time dimension.
    space : tuple of str
        Its space dimensions, Y first.
    dt : float
        Its step in days.
    inventory : Inventory
        What its variables call themselves.
    observed : set of str
        Variables that are observations and so never forcings.
    latitude, grid_mapping : str or None
        Variables with the latitude and the coordinate reference system.
    window : slice
        Places of the steps whose values count.
    kinds : str
        Kinds of numpy that a variable may be of.
    """

    ds: xr.Dataset
    time: str
    dt: float
    inventory: Inventory
    space: tuple[str, ...] = ()
    observed: frozenset[str] = frozenset()
    latitude: str | None = None
    grid_mapping: str | None = None
    window: slice = field(default_factory=lambda: slice(None))
    kinds: str = "fiu"
    _samples: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def daily(self) -> bool:
        """Whether the step is a day."""
        return abs(self.dt - 1.0) <= 1e-6

    def with_time(self, names: Iterable[str] | None = None) -> list[str]:
        """Those of the names that are data variables of numbers along time and not observed."""
        entries = self.inventory.entries
        return [
            name
            for name in dict.fromkeys(entries if names is None else names)
            if name in entries
            and entries[name].data
            and self.time in entries[name].dims
            and entries[name].kind in self.kinds
            and name not in self.observed
        ]

    def by_standard_name(self, wanted: Iterable[str]) -> list[str]:
        """Variables along time with one of the CF standard names."""
        return self.with_time(self.inventory.by_standard_name(wanted))

    def by_name(self, wanted: Iterable[str]) -> list[str]:
        """Variables along time with one of the names, as written, else whatever the case.

        Those whose standard name says that they are something else come in last.
        """
        names = list(wanted)
        exact = self.with_time(names)
        loose = self.with_time(self.inventory.by_lower_name(names))
        for found in (exact, loose):
            unnamed = [n for n in found if self.inventory.entries[n].standard_name is None]
            if unnamed:
                return unnamed
        return exact or loose

    def of_quantity(self, key: str) -> list[str]:
        """Variables along time that are a quantity, by standard name or else by name."""
        known = QUANTITIES[key]
        return self.by_standard_name(known.standard_names) or self.by_name(known.names)

    def static(self, key: str) -> str | None:
        """The one numeric variable without time that is a property of the cells."""
        standard_names, names = names_of(key)
        lookup = self.inventory
        for these in (lookup.by_standard_name(standard_names), lookup.by_lower_name(names)):
            found = [
                name
                for name in these
                if set(lookup.entries[name].dims) <= set(self.space)
                and lookup.entries[name].kind in "fiu"
            ]
            if len(found) == 1:
                return found[0]
        return None

    def climatologies(self, key: str, declared: Declared) -> list[str]:
        """Variables of a quantity over the cells and the twelve months."""
        standard_names, names = QUANTITIES[key].standard_names, QUANTITIES[key].names
        usual = [n + suffix for n in (*declared.names, *names) for suffix in _SUFFIXES]
        lookup = self.inventory
        these = lookup.by_standard_name(standard_names) + lookup.by_lower_name(usual)
        return [name for name in dict.fromkeys(these) if self.month_dimension(name)]

    def month_dimension(self, variable: str) -> str:
        """The dimension of a climatology's months, empty where there is none."""
        entry = self.inventory.entries[variable]
        further = [dim for dim in entry.dims if dim not in self.space]
        if len(further) != 1 or self.time in further or entry.kind not in "fiu":
            return ""
        dim = further[0]
        return dim if self.ds.sizes[dim] == MONTHS and "mon" in dim.lower() else ""

    def source(
        self,
        variable: str,
        target: str,
        quantity: str | None = None,
        *,
        empty: bool = False,
        ranges: Ranges | None = None,
    ) -> Source:
        """How a variable becomes the units wanted; its values are held against its units.

        Raises
        ------
        LayoutError
            If the variable has dimensions besides time and space.
        UnitsError
            If its units are missing, unknown, inconvertible or contradicted by its values.
        DataError
            If it has no value at all and may not be ``empty``.
        """
        self.check_dimensions(variable)
        source = self._source(variable, target, quantity, ranges or Ranges())
        if not (empty and self.values(variable).size == 0):
            areas = None if source.area is None else self.values(source.area)
            entry = self.inventory.entries[variable]
            source = upright(source, self.values(variable))
            check_magnitude(source, self.values(variable), ranges or Ranges(), areas, entry)
            self._check_running_total(source)
        return source

    def sources(
        self, variables: Mapping[str, str], target: str, quantity: str | Mapping[str, str]
    ) -> dict[str, Source]:
        """Sources of several variables; the unit problems of all are one error."""
        found: dict[str, Source] = {}
        problems: list[tuple[str, str]] = []
        for part, variable in variables.items():
            key = quantity if isinstance(quantity, str) else quantity[part]
            try:
                found[part] = self.source(variable, target, key)
            except UnitsError as problem:
                problems += problem.problems
        if problems:
            raise units_error(problems)
        return found

    def monthly_source(self, variable: str, target: str, quantity: str) -> Source:
        """How the climatology of a month, over the cells, becomes the units wanted."""
        dim = self.month_dimension(variable)
        if dim in self.ds.coords and self.ds[dim].dtype.kind in "iuf":
            months = self.ds[dim].values
            if not (np.diff(months) == 1).all() or months[0] not in (0, 1):
                raise LayoutError(
                    f"the months of ds[{variable!r}] are {', '.join(f'{m:g}' for m in months)}, "
                    "and January to December are wanted. Bring them into this order: "
                    f'ds = ds.sortby("{dim}").'
                )
        entry = self.inventory.entries[variable]
        scale, offset = conversion(entry.units, target, variable=variable)
        source = Source(variable, str(entry.units), scale, offset, target, quantity, dim=dim)
        check_magnitude(source, self.values(variable), Ranges(), None, entry)
        return source

    def _source(self, variable: str, target: str, quantity: str | None, ranges: Ranges) -> Source:
        units = self.inventory.entries[variable].units
        valid = ranges.valid
        for flow in (target, f"{target} m2"):  # per area; else of the whole basin
            step = self.dt if self._amounts(variable, units, flow) else None
            if not convertible(units, flow, step=step):
                continue
            scale, offset = conversion(units, flow, variable=variable, step=step)
            if flow == target:
                return Source(variable, str(units), scale, offset, target, quantity, None, valid)
            found = find_area(self.inventory, self.space)
            if found is not None:
                area, square_metres = found
                scale /= square_metres
                return Source(variable, str(units), scale, 0.0, target, quantity, area, valid)
        raise units_error([self._remedy(variable, units, target)])

    def _remedy(self, variable: str, units: str | None, target: str) -> tuple[str, str]:
        array = self.ds[variable]
        if convertible(units, target, step=self.dt) and self.time in array.dims:
            problem = running_total(array, self.time, self.dt, self.window)
            if problem is not None:
                return problem
        return remedy(
            units,
            target,
            variable,
            cell_methods=str(array.attrs.get("cell_methods", "")),
            dims=self.space,
            thickness=_thickness(self.ds, variable),
        )

    def _amounts(self, variable: str, units: str | None, target: str) -> bool:
        """Whether a variable says of itself that it holds amounts gathered over each step."""
        if convertible(units, target) or not convertible(units, target, step=self.dt):
            return False
        entry = self.inventory.entries[variable]
        standard = entry.standard_name or ""
        return (
            per_step(units)
            or f"{self.time}:sum" in entry.cell_methods
            or "time:sum" in entry.cell_methods
            or standard.endswith("_amount")
            or standard.startswith("lwe_thickness_of")
        )

    def _check_running_total(self, source: Source) -> None:
        """Raise UnitsError for amounts that are summed up since midnight or a first step."""
        entry = self.inventory.entries[source.variable]
        if self.time not in entry.dims or not self._amounts(
            source.variable, entry.units, source.target
        ):
            return
        problem = running_total(self.ds[source.variable], self.time, self.dt, self.window)
        if problem is not None:
            raise units_error([problem])

    def check_dimensions(self, variable: str) -> None:
        """Raise LayoutError if a variable has dimensions besides time and space."""
        allowed = {self.time, *self.space}
        for dim in map(str, self.ds[variable].dims):
            if dim in allowed:
                continue
            if direction(self.ds, dim) is not None:
                raise LayoutError(
                    f'ds["{variable}"] is on the dimension {dim!r}, but the cells are on '
                    f"{', '.join(self.space) or 'no dimension'}. Regrid or rename it, so that all "
                    "forcings and observations share their dimensions."
                )
            raise LayoutError(extra_dimension(self.ds, variable, dim))

    def values(self, variable: str) -> np.ndarray:
        """A small sample of finite values, as in the file."""
        if variable not in self._samples:
            array = self.ds[variable]
            if self.time in array.dims:
                array = array.isel({self.time: self.window})
            self._samples[variable] = sample(array, self.time)
        return self._samples[variable]

    def suggest(self, name: str, among: Iterable[str] | None = None) -> str:
        """A sentence that suggests variables with a similar name."""
        return close(name, map(str, self.ds.data_vars) if among is None else among)


def _thickness(ds: xr.Dataset, variable: str) -> float | None:
    """Thickness in m of the layer that a variable describes, where its bounds are known."""
    for coord in ds[variable].coords.values():
        bounds = coord.attrs.get("bounds", coord.encoding.get("bounds"))
        units = coord.attrs.get("units")
        if coord.ndim == 0 and bounds in ds.variables and convertible(units, "m"):
            edges = np.asarray(ds[bounds].values, dtype=float).ravel()
            if edges.size == 2 and np.isfinite(edges).all() and edges[0] != edges[1]:
                return abs(float(edges[1] - edges[0])) * conversion(units, "m")[0]
    return None
