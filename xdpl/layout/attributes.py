"""Recognition of attributes: the static variables that a network reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from ..errors import LayoutError, UnitsError, warn
from ..units import conversion
from .axes import close
from .quality import looks_filled
from .records import AttributeRole
from .sample import load, tiles

__all__ = ["match_attributes", "recognise_attributes"]

_MOST_CLASSES = 200


def recognise_attributes(
    ds: xr.Dataset,
    time: str,
    space: tuple[str, ...],
    *,
    names: Sequence[str] | None = None,
    categorical: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> tuple[tuple[AttributeRole, ...], tuple[str, ...]]:
    """Find the attributes: those named, or every numeric variable without time.

    Text, constant, infinite and empty ones are left out with a warning that names them; the
    warnings are returned, too.

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
    roles: list[AttributeRole] = []
    left_out: dict[str, list[str]] = {}
    for name in dict.fromkeys(candidates):
        role, reason = _judge(ds, space, name, name in classed)
        if role is not None:
            roles.append(role)
        else:
            left_out.setdefault(reason, []).append(name)
    notes = tuple(
        f"{len(these)} attribute{'s' if len(these) > 1 else ''} left out, {reason}: "
        f"{', '.join(these)}."
        for reason, these in left_out.items()
    )
    for note in notes:
        warn(note)
    if not roles:
        raise LayoutError(
            "the Dataset has no attributes: no numeric variable without time that differs between "
            f"cells{' is left' if left_out else ''}. Add some, such as soil, vegetation or "
            "climate, or name coordinates: attributes=['lat', 'lon']."
        )
    return tuple(roles), notes


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
    if not dims <= set(space):
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
        if str(name) in technical or described & set(array.attrs):
            continue
        if array.ndim == 0 and space:
            continue
        if set(map(str, array.dims)) <= set(space):
            found.append(str(name))
    return found


def _judge(
    ds: xr.Dataset, space: tuple[str, ...], name: str, classed: bool
) -> tuple[AttributeRole | None, str]:
    """The role of a variable, or None and why it has none."""
    array = ds[name]
    if array.attrs.get("flag_values") is not None or classed:
        return _judge_classes(array, name)
    if array.dtype.kind not in "fiub":
        return None, "not numeric (name it in categorical= if it holds classes)"
    low, high, infinite = np.inf, -np.inf, False
    for tile in tiles(array.variable, ""):
        values = np.asarray(load(array.variable.isel(tile), name), dtype=float)
        infinite |= bool(np.isinf(values).any())
        values = values[np.isfinite(values) & ~looks_filled(values)]
        if values.size:
            low, high = min(low, values.min()), max(high, values.max())
    if infinite:
        return None, "infinite somewhere"
    if low > high:
        return None, "without any value"
    cells = int(np.prod([ds.sizes[dim] for dim in space], dtype=int))
    if cells > 1 and high - low <= 1e-12 * max(abs(low), abs(high)):
        return None, "constant"
    units = array.attrs.get("units")
    return _role(array, name, None if units is None else str(units), None), ""


def _role(
    array: xr.DataArray, name: str, units: str | None, classes: tuple[float | str, ...] | None
) -> AttributeRole:
    standard = array.attrs.get("standard_name")
    return AttributeRole(name, units, classes, variable=name, standard_name=standard)


def _judge_classes(array: xr.DataArray, name: str) -> tuple[AttributeRole | None, str]:
    """Classes that occur: one that does not can't be learned from."""
    text = array.dtype.kind in "UTSO"
    found: set[float | str] = set()
    for tile in tiles(array.variable, ""):
        values = load(array.variable.isel(tile), name).ravel()
        if text:
            found.update(str(v) for v in values if not _missing_text(v))
        else:
            values = np.unique(values.astype(float))
            found.update(values[np.isfinite(values) & ~looks_filled(values)].tolist())
        if len(found) > 50 * _MOST_CLASSES:
            break
    flags = array.attrs.get("flag_values")
    if flags is not None and not text:
        try:
            found &= set(np.atleast_1d(np.asarray(flags, dtype=float)).tolist())
        except (TypeError, ValueError) as problem:
            raise LayoutError(
                f"the flag_values of {name!r} are {str(flags)[:60]!r}, not numbers. Give them as "
                f'a list: ds["{name}"].attrs["flag_values"] = [1, 2].'
            ) from problem
    if len(found) > _MOST_CLASSES:
        return None, f"of more than {_MOST_CLASSES} classes"
    if not found:
        return None, "without any value"
    if len(found) == 1:
        return None, "constant"
    return _role(array, name, None, tuple(sorted(found))), ""


def _missing_text(value: object) -> bool:
    return value is None or value == "" or value != value


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
        name = _namesake(ds, role)
        if name is None:
            missing.append(role.name)
            continue
        _check_named(ds, time, space, name)
        scale, offset = 1.0, 0.0
        if role.classes is None:
            if ds[name].dtype.kind not in "fiub":
                raise LayoutError(
                    f"attribute {name!r} is no number here, but it was one at the fit. "
                    "Give it as a number."
                )
            units = ds[name].attrs.get("units")
            if role.units is not None:
                scale, offset = conversion(units, role.units, variable=name)
            elif units is not None:
                raise UnitsError(
                    f"attribute {name!r} has units {units!r}, but had none at the fit. If both "
                    f'are the same, remove them: del ds["{name}"].attrs["units"].'
                )
        found.append(
            AttributeRole(
                role.name, role.units, role.classes, name, scale, offset, role.standard_name
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


def _namesake(ds: xr.Dataset, role: AttributeRole) -> str | None:
    if role.name in ds.variables:
        return role.name
    if role.standard_name is None:
        return None
    same = [
        str(name)
        for name, v in ds.data_vars.items()
        if v.attrs.get("standard_name") == role.standard_name
    ]
    return same[0] if len(same) == 1 else None
