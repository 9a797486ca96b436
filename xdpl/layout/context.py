"""What the recognition of roles needs at hand: the Dataset, its axes, and samples of values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from ..errors import DataError, LayoutError, UnitsError
from ..units import conversion, convertible
from .axes import close, direction, extra_dimension
from .quantities import QUANTITIES
from .records import Source
from .sample import sample

__all__ = ["Context"]

_FILL_VALUES = (-9999.0, -999.0, -99.0, -9999.9, -999.9, -99.9, -32768.0, 1e20, 9.96921e36)


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
    space: tuple[str, ...] = ()
    observed: frozenset[str] = frozenset()
    latitude: str | None = None
    grid_mapping: str | None = None
    window: slice = field(default_factory=lambda: slice(None))
    kinds: str = "fiu"
    _samples: dict[str, np.ndarray] = field(default_factory=dict)

    def with_time(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are data variables of numbers along time and not observed."""
        return [
            name
            for name in dict.fromkeys(map(str, names))
            if name in self.ds.data_vars
            and self.time in self.ds[name].dims
            and self.ds[name].dtype.kind in self.kinds
            and name not in self.observed
        ]

    def by_standard_name(self, wanted: Iterable[str]) -> list[str]:
        """Variables along time with one of the CF standard names."""
        import cf_xarray  # noqa: F401  registers ds.cf

        known = self.ds.cf.standard_names
        return self.with_time(name for one in wanted for name in known.get(one, ()))

    def by_name(self, wanted: Iterable[str]) -> list[str]:
        """Variables along time with one of the names, as written, else whatever the case.

        Those whose standard name says that they are something else come in last.
        """
        names = list(wanted)
        exact = self.with_time(name for name in names if name in self.ds.data_vars)
        lowered = {name.lower() for name in names}
        loose = self.with_time(n for n in map(str, self.ds.data_vars) if n.lower() in lowered)
        for found in (exact, loose):
            unnamed = [n for n in found if "standard_name" not in self.ds[n].attrs]
            if unnamed:
                return unnamed
        return exact or loose

    def static(self, standard_names: Iterable[str], names: Iterable[str]) -> str | None:
        """The one numeric variable without time that is called so, coordinates included."""
        wanted, usual = set(standard_names), {n.lower() for n in names}
        for by_standard_name in (True, False):
            found = [
                str(name)
                for name, v in self.ds.variables.items()
                if set(map(str, v.dims)) <= set(self.space)
                and v.dtype.kind in "fiu"
                and (
                    v.attrs.get("standard_name") in wanted
                    if by_standard_name
                    else str(name).lower() in usual
                )
            ]
            if len(found) == 1:
                return found[0]
        return None

    def source(
        self, variable: str, target: str, quantity: str | None = None, *, empty: bool = False
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
        units = self.ds[variable].attrs.get("units")
        step = self.dt if self._amounts(variable, units, target) else None
        scale, offset = conversion(units, target, variable=variable, step=step)
        found = Source(variable, str(units), scale, offset, target, quantity)
        if not (empty and self.values(variable).size == 0):
            self.check_values(found)
        return found

    def _amounts(self, variable: str, units: str | None, target: str) -> bool:
        """Whether a variable says of itself that it holds amounts gathered over each step."""
        attrs = self.ds[variable].attrs
        if convertible(units, target) or not convertible(units, target, step=self.dt):
            return False
        standard = str(attrs.get("standard_name", ""))
        methods = str(attrs.get("cell_methods", "")).replace(" ", "")
        return (
            f"{self.time}:sum" in methods
            or "time:sum" in methods
            or standard.endswith("_amount")
            or standard.startswith("lwe_thickness_of")
        )

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

    def check_values(self, source: Source) -> None:
        """Raise UnitsError if the values can't be in the units that the variable claims."""
        values = self.values(source.variable)
        if values.size == 0:
            raise DataError(
                f'ds["{source.variable}"] has no value at all, only missing ones. '
                "Check how it was read or made, or choose another variable."
            )
        if source.quantity is None:
            return
        quantity = QUANTITIES[source.quantity]
        scale, offset = conversion(source.target, quantity.units)
        middle = _middle(values, quantity.skip_zeros)
        found = (middle * source.scale + source.offset) * scale + offset
        low, high = quantity.usual
        if np.isnan(found) or low <= found <= high:
            return
        raise UnitsError(self._contradiction(source, middle))

    def _contradiction(self, source: Source, middle: float) -> str:
        assert source.quantity is not None
        quantity = QUANTITIES[source.quantity]
        low, high = quantity.usual
        likely = []
        for units in quantity.alternatives:
            scale, offset = conversion(units, quantity.units)
            if low <= middle * scale + offset <= high:
                likely.append(units)
        if any(abs(middle - fill) <= 1e-6 * abs(fill) for fill in _FILL_VALUES):
            return (
                f'most values of ds["{source.variable}"] are {middle:g}, which looks like a fill '
                "value. Set them to missing: "
                f'ds["{source.variable}"] = ds["{source.variable}"].where(ds["{source.variable}"] '
                f"!= {middle:g})."
            )
        of = "values above zero" if quantity.skip_zeros else "values"
        remedy = (
            f'If they are {likely[0]!r}, set ds["{source.variable}"].attrs["units"] = '
            f'"{likely[0]}".'
            if likely
            else f'Correct ds["{source.variable}"] or its units attribute.'
        )
        return (
            f'the values of ds["{source.variable}"] contradict its units {source.units!r}: the '
            f"median of its {of} is {middle:.4g}, which is no usual {source.quantity}. {remedy}"
        )

    def suggest(self, name: str, among: Iterable[str] | None = None) -> str:
        """A sentence that suggests variables with a similar name."""
        return close(name, map(str, self.ds.data_vars) if among is None else among)


def _middle(values: np.ndarray, skip_zeros: bool) -> float:
    chosen = values[values > 0] if skip_zeros else values
    return float(np.median(chosen)) if chosen.size else float("nan")
