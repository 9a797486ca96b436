"""Recognition of attributes: the static variables that a network reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from ..errors import LayoutError, UnitsError, warn
from ..spatial.axes import LATITUDE, LONGITUDE
from ..units import conversion
from .attribute_hints import hints
from .attribute_values import Look, look_at, sparse
from .axes import close
from .bands import Band, are_edges, bands_of
from .records import AttributeRole

__all__ = ["match_attributes", "recognise_attributes"]

_MOST_CLASSES = 200
_SPARSE = "missing in nearly all cells that have the others"
_POSITIONS = frozenset(
    "lat latitude lon longitude nav_lat nav_lon xlat xlong gauge_lat gauge_lon "
    "outlet_lat outlet_lon".split()
)


def recognise_attributes(
    ds: xr.Dataset,
    time: str,
    space: tuple[str, ...],
    *,
    names: Sequence[str] | None = None,
    categorical: Iterable[str] = (),
    exclude: Iterable[str] = (),
    observed: Iterable[str] = (),
) -> tuple[tuple[AttributeRole, ...], tuple[str, ...]]:
    """Find the attributes: those named, or every numeric variable without time.

    Text, constant, infinite, empty and sparse ones are left out with a warning that names them;
    the warnings are returned, too. Latitude and longitude say where a cell lies, and are
    attributes only where they are named.

    Parameters
    ----------
    ds : Dataset
    time : str
        Its time dimension, or empty.
    space : tuple of str
        Its dimensions of cells.
    names : sequence of str, optional
        The attributes; by default all.
    categorical : iterable of str
        Attributes that are classes.
    exclude : iterable of str
        Variables with another role.
    observed : iterable of str
        Quantities that are observed, from which no attribute may be made.

    Raises
    ------
    LayoutError
        If one that is named does not exist or depends on time, or if none is left.
    """
    classed = [categorical] if isinstance(categorical, str) else list(categorical)
    if isinstance(names, str):
        names = [names]
    for name in [*(names or ()), *classed]:
        _check_named(ds, time, space, name)
    candidates = list(names) if names is not None else _default(ds, time, space, exclude)
    candidates += [name for name in classed if name not in candidates]
    roles: dict[Band, AttributeRole] = {}
    looks: dict[Band, Look] = {}
    left_out: dict[str, list[str]] = {}
    for name in dict.fromkeys(candidates):
        for band in _bands(ds, space, name, left_out):
            looks[band] = look = look_at(ds, band, _most(ds[name], name in classed))
            role, reason = _judge(ds, space, band, look, name in classed)
            if role is not None:
                roles[band] = role
            else:
                left_out.setdefault(reason, []).append(band.name)
    if names is None:
        for band in sparse(ds, space, [(band, looks[band]) for band in roles]):
            left_out.setdefault(_SPARSE, []).append(roles.pop(band).name)
    notes = [_left_out(reason, these) for reason, these in left_out.items()]
    notes += hints([(ds[b.variable], role, looks[b]) for b, role in roles.items()], observed)
    for note in notes:
        warn(note)
    if not roles:
        raise LayoutError(
            "the Dataset has no attributes: no numeric variable without time that differs between "
            f"cells{' is left' if left_out else ''}. Add some, such as soil, vegetation or "
            "climate, or name coordinates: attributes=['lat', 'lon']."
        )
    if names is None:
        places = [str(name) for name, array in ds.data_vars.items() if _is_position(array)]
        notes += [f"{name}: a position, not an attribute." for name in places]
    return tuple(roles.values()), tuple(notes)


def _left_out(reason: str, these: Sequence[str]) -> str:
    text = f"{len(these)} attribute{'s' if len(these) > 1 else ''} left out, {reason}: "
    text += f"{', '.join(these)}."
    if reason == _SPARSE:
        zeros = ", ".join(f'"{name}": 0' for name in these)
        text += f" Where missing means none, fill them: ds = ds.fillna({{{zeros}}})."
    return text


def _bands(
    ds: xr.Dataset, space: tuple[str, ...], name: str, left_out: dict[str, list[str]]
) -> list[Band]:
    found = bands_of(ds, space, name)
    if found is None:
        left_out.setdefault(f"of {_extra(ds, space, name)}", []).append(name)
        return []
    return found


def _extra(ds: xr.Dataset, space: tuple[str, ...], name: str) -> str:
    """What of a variable's dimensions is too much."""
    extra = [str(dim) for dim in ds[name].dims if dim not in space]
    sizes = " and ".join(f"{dim} ({ds.sizes[dim]})" for dim in extra)
    return f"the further dimension{'s' if len(extra) > 1 else ''} {sizes}; choose with ds.isel"


def _check_named(ds: xr.Dataset, time: str, space: tuple[str, ...], name: str) -> None:
    if name not in ds.variables:
        raise LayoutError(
            f"attribute {name!r} is no variable of the Dataset. {close(name, ds.variables)}"
            f"Static variables: {', '.join(_default(ds, time, space, ())) or 'none'}."
        )
    dims = set(map(str, ds[name].dims))
    if time and time in dims:
        raise LayoutError(
            f"attribute {name!r} depends on {time!r}, and attributes are static. Give a statistic "
            f'of it: ds["{name}_mean"] = ds["{name}"].mean("{time}").'
        )
    if bands_of(ds, space, name) is None:
        extra = sorted(dims - set(space))[0]
        raise LayoutError(
            f"attribute {name!r} has the dimension {extra!r}, which the cells don't have. "
            f"Choose one of its items, for example ds = ds.isel({extra}=0)."
        )


def _default(
    ds: xr.Dataset, time: str, space: tuple[str, ...], exclude: Iterable[str]
) -> list[str]:
    """Data variables over the cells that describe the cells and not the Dataset."""
    technical = set(exclude)
    for variable in ds.variables.values():
        for key in ("bounds", "climatology", "grid_mapping", "geometry", "ancillary_variables"):
            for about in (variable.attrs, variable.encoding):
                technical.update(str(about.get(key, "")).replace(":", " ").split())
    found = []
    for name, array in ds.data_vars.items():
        described = {"crs_wkt", "spatial_ref", "grid_mapping_name", "cf_role", "geometry_type"}
        if str(name) in technical or described & set(array.attrs) or _is_position(array):
            continue
        dims = list(map(str, array.dims))
        if (not dims and space) or (time and time in dims):
            continue
        extra = [dim for dim in dims if dim not in space]
        if extra and (len(extra) == len(dims) or any(map(are_edges, extra))):
            continue  # a table of its own, or corners of cells
        found.append(str(name))
    return found


def _is_position(array: xr.DataArray) -> bool:
    """Whether a variable says where a cell lies, which no soil or vegetation follows from."""
    standard = array.attrs.get("standard_name")
    if standard is not None:
        return standard in (LATITUDE, LONGITUDE)
    return str(array.name).lower() in _POSITIONS


def _most(array: xr.DataArray, classed: bool) -> int:
    """Different values to keep of a variable: all of classes."""
    return 50 * _MOST_CLASSES if classed or "flag_values" in array.attrs else 40


def _judge(
    ds: xr.Dataset, space: tuple[str, ...], band: Band, look: Look, classed: bool
) -> tuple[AttributeRole | None, str]:
    """The role of an attribute, or None and why it has none."""
    array = ds[band.variable]
    if array.attrs.get("flag_values") is not None or classed:
        return _judge_classes(array, band, look)
    if array.dtype.kind not in "fiub":
        return None, "not numeric (name it in categorical= if it holds classes)"
    if look.infinite:
        return None, "infinite somewhere"
    if look.empty:
        return None, "without any value"
    cells = int(np.prod([ds.sizes[dim] for dim in space], dtype=int))
    if cells > 1 and look.high - look.low <= 1e-12 * max(abs(look.low), abs(look.high)):
        return None, "constant"
    units = array.attrs.get("units")
    return _role(array, band, look, None if units is None else str(units), None), ""


def _role(
    array: xr.DataArray,
    band: Band,
    look: Look,
    units: str | None,
    classes: tuple[float | str, ...] | None,
) -> AttributeRole:
    return AttributeRole(
        band.name,
        units,
        classes,
        variable=band.variable,
        standard_name=array.attrs.get("standard_name"),
        fills=look.fills,
        dim=band.dim,
        item=band.item,
    )


def _judge_classes(array: xr.DataArray, band: Band, look: Look) -> tuple[AttributeRole | None, str]:
    """Classes that occur: one that does not can't be learned from."""
    found = set(look.found)
    flags = array.attrs.get("flag_values")
    if flags is not None and array.dtype.kind not in "UTSO":
        try:
            found &= set(np.atleast_1d(np.asarray(flags, dtype=float)).tolist())
        except (TypeError, ValueError) as problem:
            raise LayoutError(
                f"the flag_values of {band.variable!r} are {str(flags)[:60]!r}, not numbers. Give "
                f'them as a list: ds["{band.variable}"].attrs["flag_values"] = [1, 2].'
            ) from problem
    if len(found) > _MOST_CLASSES:
        return None, f"of more than {_MOST_CLASSES} classes"
    if not found:
        return None, "without any value"
    if len(found) == 1:
        return None, "constant"
    return _role(array, band, look, None, tuple(sorted(found))), ""


def match_attributes(
    ds: xr.Dataset, time: str, space: tuple[str, ...], roles: Sequence[AttributeRole]
) -> tuple[AttributeRole, ...]:
    """Find the attributes of a fit in another Dataset, with conversion to the fit's units.

    Raises
    ------
    LayoutError
        If one is missing.
    UnitsError
        If its units can't be converted to those of the fit.
    """
    found, missing = [], []
    for role in roles:
        band = _namesake(ds, space, role)
        if band is None:
            missing.append(role.name)
            continue
        _check_named(ds, time, space, band.variable)
        scale, offset = (
            (1.0, 0.0) if role.classes is not None else _to_units_of_fit(ds, band.variable, role)
        )
        found.append(
            replace(
                role,
                variable=band.variable,
                scale=scale,
                offset=offset,
                fills=role.fills if offset == 0.0 else (),
                dim=band.dim,
                item=band.item,
            )
        )
    if missing:
        kept = ", ".join(repr(role.name) for role in found)
        again = f", or fit again with attributes=[{kept}]" if found else ", or make another fit"
        raise LayoutError(
            f"the fit used {len(roles)} attributes, and the Dataset lacks {len(missing)} of them: "
            f"{', '.join(missing)}. Add them{again}."
        )
    return tuple(found)


def _to_units_of_fit(ds: xr.Dataset, name: str, role: AttributeRole) -> tuple[float, float]:
    """Scale and offset from the units of a variable to those that a numeric attribute had."""
    if ds[name].dtype.kind not in "fiub":
        raise LayoutError(
            f"attribute {name!r} is no number here, but it was one at the fit. Give it as a number."
        )
    units = ds[name].attrs.get("units")
    if role.units is not None:
        return conversion(units, role.units, variable=name)
    if units is not None:
        raise UnitsError(
            f"attribute {name!r} has units {units!r}, but had none at the fit. If both "
            f'are the same, remove them: del ds["{name}"].attrs["units"].'
        )
    return 1.0, 0.0


def _namesake(ds: xr.Dataset, space: tuple[str, ...], role: AttributeRole) -> Band | None:
    """The variable of an attribute, by its name, by that of its band, or by standard name."""
    if role.name in ds.variables:
        return _only_band(ds, space, role.name)
    if role.dim and role.variable in ds.variables:
        bands = bands_of(ds, space, role.variable) or []
        same = [band for band in bands if band.name == role.name]
        return same[0] if len(same) == 1 else None
    if role.standard_name is None or role.dim:
        return None
    alike = [
        str(name)
        for name, v in ds.data_vars.items()
        if v.attrs.get("standard_name") == role.standard_name
    ]
    return _only_band(ds, space, alike[0]) if len(alike) == 1 else None


def _only_band(ds: xr.Dataset, space: tuple[str, ...], name: str) -> Band:
    bands = bands_of(ds, space, name)
    if bands is None or len(bands) > 1:
        extra = next(str(dim) for dim in ds[name].dims if str(dim) not in space)
        raise LayoutError(
            f"attribute {name!r} has the dimension {extra!r} here, and had none at the fit. "
            f"Choose one of its items, for example ds = ds.isel({extra}=0)."
        )
    return bands[0]
