"""Unit conversion at the border: CF strings in, a scale and an offset out.

pint parses (through the CF registry of cf-xarray); this module adds spellings that real files
have, what hydrology takes for granted (1 kg m-2 of water is 1 mm), and remedies as code.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from typing import Any

from .errors import UnitsError

__all__ = ["conversion", "convertible", "of_difference", "per_step", "remedy", "units_error"]

LARGEST_AMOUNT = 1000.0
"""Millimetres in the largest unit that water of a time step is measured in, the metre."""

WATER_DENSITY = 1000.0
"""Density of liquid water in kg m-3: what makes 1 kg m-2 the same as 1 mm."""

LATENT_HEAT = 2.45e6
"""Latent heat of vaporisation in J kg-1 (Allen et al. 1998, eq. 8)."""

CELSIUS = ("degC", "degree_Celsius", "degrees_Celsius", "celsius")
"""Units whose zero is not that of their differences."""

# Spellings of whole units that are common in files and unknown to the CF registry, or mean
# something else there (C is the coulomb, F the farad). Compared in lower case, without "_" and ".".
_SPELLINGS = {
    **dict.fromkeys(("-", "[-]", "()", "none", "unitless", "fraction", "frac"), "1"),
    **dict.fromkeys(("dimensionless", "ratio", "volumetric fraction", "volume fraction"), "1"),
    **dict.fromkeys(("pct", "vol%", "vol %", "vol-%", "% vol", "%vol", "volume %"), "percent"),
    **dict.fromkeys(("vol percent", "percent volume", "volumetric %", "per cent"), "percent"),
    **dict.fromkeys(("cfs", "cusec", "cusecs", "cubic feet per second"), "ft3 s-1"),
    **dict.fromkeys(("cms", "cumec", "cumecs", "cubic metres per second"), "m3 s-1"),
    **dict.fromkeys(("cubic meters per second",), "m3 s-1"),
    **dict.fromkeys(("sqkm", "sq km", "square kilometers", "square kilometres"), "km2"),
    **dict.fromkeys(("square miles", "sq mi", "sq miles", "sqmi", "square mile"), "mi2"),
    **dict.fromkeys(("square meters", "square metres", "sq m", "sqm"), "m2"),
    **dict.fromkeys(("tenths of mm", "tenth of mm", "tenths mm"), "0.1 mm"),
    **dict.fromkeys(("mgd",), "3785.411784 m3 day-1"),
}
_DEGREES = re.compile(r"^(?:deg(?:ree)?s?|[°ºo])?\s*(c|celsius|celcius|centigrade)$")
_FAHRENHEIT = re.compile(r"^(?:deg(?:ree)?s?|[°º])?\s*(f|fahrenheit|farenheit)$")
_KELVIN = re.compile(r"^(?:deg(?:ree)?s?|[°º])?\s*(k|kelvins?)$")

# Words within units; pint knows the singular ones and the symbols.
_WORDS = {
    **dict.fromkeys(("mon", "mons", "mo", "mth", "months"), "month"),
    **dict.fromkeys(("dy", "dys", "days"), "day"),
    **dict.fromkeys(("hrs", "hours", "hr"), "hour"),
    **dict.fromkeys(("yrs", "years", "yr"), "year"),
    **dict.fromkeys(("sec", "secs", "seconds"), "second"),
    **dict.fromkeys(("mins", "minutes"), "minute"),
    **dict.fromkeys(("ins", "inches"), "inch"),
    **dict.fromkeys(("w", "watts", "watt"), "W"),
    **dict.fromkeys(("j", "joules"), "J"),
    **dict.fromkeys(("mj",), "MJ"),
}
_OF_WATER = re.compile(
    r"\s*(of water equivalent|water equivalent|of water|w\.?\s?e\.?|h2o)(?=\W|$)", re.I
)
_FACTOR = re.compile(r"^([0-9.]+(?:[eE][-+]?[0-9]+)?)[\s*]*(?=[A-Za-z%°µ(])")
_DOTS = re.compile(r"(?<=[A-Za-z0-9)⁰-⁹²³¹])\s*[.·⋅∙]\s*(?=[A-Za-z(])")
_STEP = re.compile(
    r"\s*(?:(?:/|\bper\b)\s*(?:time[\s_-]?)?step\b|\b(?:time[\s_-]?)?step\s*(?:\^|\*\*)?\s*-1)\s*$",
    re.I,
)
_EVERY = re.compile(  # "mm/3h", "mm (3 h)-1", "kg m-2 per 8 days"
    r"^(?P<what>.+?)\s*(?:(?:/|\bper\b)\s*\(?\s*(?P<n>[0-9.]+)\s*(?P<t>[A-Za-z]+)\s*\)?"
    r"|\(\s*(?P<n2>[0-9.]+)\s*(?P<t2>[A-Za-z]+)\s*\)\s*(?:\^|\*\*)?\s*-1)$"
)
_GLUED = re.compile(r"(?<=[0-9])(?=[A-Za-z])|(?<=[a-zA-Z])(?=(?:m|s|d|day|h|hr)\^?-[12](?!\d))")
_MILLION = re.compile(r"\bMm(?=\s*(?:\^|\*\*)?3)")  # of cubic metres, not a cubic megametre


def conversion(
    from_units: str | None,
    to_units: str,
    *,
    variable: str | None = None,
    step: float | None = None,
) -> tuple[float, float]:
    """Return the scale and offset that turn values of one unit into another.

    Parameters
    ----------
    from_units : str or None
        Units of the values, as CF and UDUNITS write them; None is an error that says how to
        set them.
    to_units : str
        Units wanted.
    variable : str, optional
        Name of the variable, for the messages.
    step : float, optional
        Length of a time step in days, if the values are amounts gathered over a step rather
        than rates.

    Returns
    -------
    scale, offset : float
        ``wanted = given * scale + offset``.

    Raises
    ------
    UnitsError
        If the units are missing, unknown or can't be converted.
    ImportError
        If pint or cf-xarray can't be imported.
    """
    same = from_units is not None and str(from_units).strip() == to_units.strip()
    if same and step is None:
        return 1.0, 0.0
    found = None if from_units is None else _conversion(str(from_units), to_units, step)
    if found is None or not all(map(math.isfinite, found)) or found[0] == 0:
        raise units_error([remedy(from_units, to_units, variable)])
    return found


def convertible(from_units: str | None, to_units: str, *, step: float | None = None) -> bool:
    """Whether values of one unit can be turned into another."""
    if from_units is None:
        return False
    if str(from_units).strip() == to_units.strip() and step is None:
        return True
    return _conversion(str(from_units), to_units, step) is not None


def per_step(units: str | None) -> bool:
    """Whether units name the time step itself, as in "mm timestep-1"."""
    return units is not None and _STEP.search(str(units)) is not None


def of_difference(units: str) -> str:
    """Units of a difference or a spread of values: kelvin for degrees Celsius, else the same."""
    return "K" if units in CELSIUS else units


def units_error(problems: list[tuple[str, str]]) -> UnitsError:
    """One error for all unit problems of a Dataset, with one block of code to paste.

    Parameters
    ----------
    problems : list of (str, str)
        For each a sentence and its remedy as lines of code, which may be empty.
    """
    kept = tuple(dict.fromkeys(problems))
    codes = [code for _, code in kept if code]
    if len(kept) == 1:
        text, code = kept[0]
        lines = code.split("\n") if code else []
        joined = f" {code}" if len(lines) == 1 else "".join(f"\n    {line}" for line in lines)
        return UnitsError(text + joined, kept)
    listed = "".join(f"\n- {text}" for text, _ in kept)
    block = "".join(f"\n    {line}" for code in codes for line in code.split("\n"))
    paste = f"\nPaste the lines that are true of your data:{block}" if codes else ""
    return UnitsError(f"{len(kept)} units can't be used as they are:{listed}{paste}", kept)


def remedy(
    from_units: str | None,
    to_units: str,
    variable: str | None = None,
    *,
    cell_methods: str = "",
    dims: tuple[str, ...] = (),
    thickness: float | None = None,
) -> tuple[str, str]:
    """What is wrong with units, and code that mends it or names what is missing.

    Parameters
    ----------
    from_units, to_units : str or None, str
        Units found and wanted.
    variable : str, optional
        Name of the variable.
    cell_methods : str
        Those that the variable has already.
    dims : tuple of str
        Dimensions of the cells, for the area of a basin.
    thickness : float, optional
        Of the variable's layer in m, if its bounds are known.

    Returns
    -------
    text, code : str
        The sentence ends so that the code may follow.
    """
    what = f'ds["{variable}"]' if variable is not None else "the variable"
    ref = what if variable is not None else "variable"
    assign = f'{ref}.attrs["units"] = "..."  # its units, such as "{to_units}"'
    if from_units is None:
        text = f"{what} has no units, and {to_units!r} is wanted. Look up its units and set them:"
        return text, assign
    from_units, to_units = str(from_units).strip(), to_units.strip()
    for units in (from_units, to_units):
        if _parse(units) is None:
            text = (
                f"{what} has units {units!r}, which are unknown. Write the same units as CF does "
                '("mm day-1", "degC", "W m-2", "1"):'
            )
            return text, assign
    head = f"can't convert {from_units!r} to {to_units!r}, as {what} would need. "
    depth = _conversion(from_units, "mm", None)
    amount = depth is None or depth[0] <= LARGEST_AMOUNT  # nobody measures rain in miles
    if amount and _conversion(from_units, to_units, 1.0) is not None:
        methods = f"{cell_methods} time: sum".strip()
        return (
            f"{head}If its values are amounts per time step, say so:",
            f'{ref}.attrs["cell_methods"] = "{methods}"',
        )
    if any(_conversion(from_units, f"{to_units} m2", step) for step in (None, 1.0)):
        place = dims[0] if len(dims) == 1 else "basin"
        where = f'"{place}"' if len(dims) < 2 else repr(tuple(dims))
        return (
            f"{head}It can be divided by the area of the basin (on a grid: the area upstream of "
            "each cell), which the Dataset lacks. Add it, and xdpl converts:",
            f"area = ...  # of each {place if len(dims) < 2 else 'cell'}, in km2\n"
            f'ds["{"area" if len(dims) < 2 else "upstream_area"}"] = '
            f'({where}, area, {{"units": "km2"}})',
        )
    if depth is not None and _conversion("1", to_units, None) == (1.0, 0.0):
        first = f"thickness = {'...' if thickness is None else f'{thickness:g}'}  # of the layer, m"
        scaled = ref if depth[0] == 1.0 else f"{ref} * {depth[0]:g}"
        attrs = '"units": "m3 m-3", "standard_name": "volume_fraction_of_condensed_water_in_soil"'
        return (
            f"{head}It is water of a layer, so divide it by the thickness of the layer"
            f"{', which the Dataset does not tell' if thickness is None else ''}:",
            f"{first}\n{ref} = ({scaled} / (1000 * thickness))"
            f".assign_attrs({ref}.attrs | {{{attrs}}})",
        )
    heat = _conversion(from_units, "W m-2", None)
    if heat is not None and _conversion("kg m-2 s-1", to_units, None) is not None:
        scaled = ref if heat[0] == 1.0 else f"{ref} * {heat[0]:g}"
        again = (
            f'({scaled} / {LATENT_HEAT:g}).assign_attrs({ref}.attrs | {{"units": "kg m-2 s-1"}})'
        )
        return (
            f"{head}If it is the latent heat of evaporation, divide it by {LATENT_HEAT:g} J kg-1:",
            f"{ref} = {again}",
        )
    return f"{head}Choose another variable or, if the attribute is wrong, correct it:", assign


@functools.cache
def _registry() -> Any:
    # Imported on first use: pint takes longer to import than the rest of xdpl. Without matplotlib,
    # which xdpl can do without, the import warns.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from cf_xarray.units import units
    except Exception as problem:
        raise ImportError(
            "xdpl can't read units, since cf_xarray.units can't be imported "
            f"({type(problem).__name__}: {problem}). Update the packages: "
            "pip install --upgrade pint cf-xarray flexparser"
        ) from problem
    return units


def _spelled(units: str) -> str:
    """Units as pint reads them, from what is found in files."""
    text = _OF_WATER.sub("", _STEP.sub("", units.strip())).strip()
    plain = re.sub(r"[\s_.]+", " ", text.lower()).strip()
    for pattern, name in ((_DEGREES, "degC"), (_FAHRENHEIT, "degF"), (_KELVIN, "K")):
        if pattern.match(plain):
            return name
    text = _SPELLINGS.get(plain, text)
    if len(text) > 2 and text[0] + text[-1] in ("[]", "()") and text.count(text[0]) == 1:
        text = text[1:-1]
    text = _MILLION.sub("hm", _DOTS.sub(" ", text))
    return re.sub(
        r"[A-Za-z]+", lambda found: _WORDS.get(found.group().lower(), found.group()), text
    )


@functools.cache
def _parse(units: str) -> tuple[float, object] | None:
    """Factor and pint unit of a string; None if it is not a unit."""
    registry = _registry()  # not in the `try`: a package that is missing is no unknown unit
    every = _EVERY.match(units.strip())
    if every is not None:
        number = float(every["n"] or every["n2"])
        whole = _parse(f"({_spelled(every['what'])})/{every['t'] or every['t2']}")
        return None if whole is None or not number else (whole[0] / number, whole[1])
    text = _spelled(units)
    factor = _FACTOR.match(text)
    value = float(factor.group(1)) if factor else 1.0
    text = text[factor.end() :] if factor else text
    for spelling in (text, text.lower(), _GLUED.sub(" ", text)):
        try:
            return value, registry.parse_units(spelling)
        except Exception:  # noqa: S112  pint raises many kinds, AssertionError among them
            continue
    return None


@functools.cache
def _conversion(from_units: str, to_units: str, step: float | None) -> tuple[float, float] | None:
    source, target = _parse(from_units), _parse(to_units)
    if source is None or target is None or (per_step(from_units) and step is None):
        return None
    registry = _registry()
    water = registry.Quantity(WATER_DENSITY, "kg m-3")
    for through in (1.0, 1.0 / water, water):
        try:
            values = registry.Quantity([0.0, source[0]], source[1]) * through
            if step is not None:
                values = values / registry.Quantity(step, "day")
            low, high = values.to(target[1]).magnitude / target[0]
        except Exception:  # noqa: S112  pint raises many kinds
            continue
        return float(high - low), float(low)
    return None
