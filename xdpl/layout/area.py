"""Area that a volume of water per time is divided by: of the basin, or upstream of a cell."""

from __future__ import annotations

from ..errors import LayoutError
from ..units import conversion, convertible
from .inventory import Inventory
from .quantities import names_of

__all__ = ["find_area"]

_UNITS_IN_NAMES = {"sqkm": "km2", "km2": "km2", "sqmi": "mi2", "mi2": "mi2", "m2": "m2"}


def find_area(inventory: Inventory, space: tuple[str, ...]) -> tuple[str, float] | None:
    """The variable with the area, and its unit in m2; None where there is none.

    The area of a basin or site may be called just so. On a grid it is that upstream of the cell:
    the area of the cell itself has nothing to do with the water that flows through.

    Raises
    ------
    LayoutError
        If its units are not known.
    """
    standard_names, names = names_of("area" if len(space) < 2 else "upstream area")
    order = [name.lower() for name in names]
    found = [*inventory.by_standard_name(standard_names), *inventory.by_lower_name(names)]
    found = [name for name in dict.fromkeys(found) if _fits(inventory, name, space)]
    found.sort(key=lambda name: order.index(name.lower()) if name.lower() in order else -1)
    for name in found:
        units = inventory.entries[name].units
        if units is None:
            units = next(
                (u for end, u in _UNITS_IN_NAMES.items() if name.lower().endswith(end)), None
            )
        if units is not None and convertible(units, "m2"):
            return name, conversion(units, "m2")[0]
    if found:
        raise LayoutError(
            f"the flow has to be divided by the area ds[{found[0]!r}], whose units are "
            f"{inventory.entries[found[0]].units!r}. Look them up and set them: "
            f'ds["{found[0]}"].attrs["units"] = "..."  # such as "km2"'
        )
    return None


def _fits(inventory: Inventory, name: str, space: tuple[str, ...]) -> bool:
    entry = inventory.entries[name]
    return set(entry.dims) <= set(space) and entry.kind in "fiu"
