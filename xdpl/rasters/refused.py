"""Why a map can't be a GeoTIFF as it is, and what to do: remedies that fit its axes."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from pyproj import CRS

from ..spatial import direction
from ..spatial.axes import Labelled, is_degrees, is_rotated_axis
from ..spatial.crs import find_grid_mapping

__all__ = [
    "metres_per_unit",
    "missing_crs",
    "other_units",
    "state_pole",
    "without_coordinate",
]

_KILOMETRES = {"km", "kilometer", "kilometers", "kilometre", "kilometres"}
_RADIANS = {"rad", "radian", "radians"}
_METRES = {"m", "metre", "meter", "metres", "meters"}
_CODE = 'import rioxarray; ds = ds.rio.write_crs("EPSG:...")'


def missing_crs(ds: Labelled, space: tuple[Hashable, Hashable]) -> str:
    """Message about axes without a CRS; what it proposes depends on what they are."""
    y, x = space
    damaged = find_grid_mapping(ds)
    found = f"axes {y!r} and {x!r} have no coordinate reference system (CRS)"
    if damaged is not None:
        found += f", since the grid mapping {damaged!r} describes none that PROJ knows"
    if any(is_rotated_axis(ds, dim) for dim in space):
        return f"{found}, and they are those of a rotated pole. {state_pole(ds, y)}"
    units = {str(ds[dim].attrs.get("units", "")) for dim in space} - {""}
    beyond = any(np.abs(ds[dim].values).max() > most for dim, most in ((y, 90), (x, 360)))
    if beyond or (units and not all(map(is_degrees, units))):
        return (
            f"{found}, and they are no degrees. State the CRS of their projection: {_CODE}, with "
            "the code that the source of the data names."
        )
    return (
        f"{found}. State what they are: {_CODE}, with the code that the source of the data names; "
        'if they are latitude and longitude, "EPSG:4326".'
    )


def state_pole(ds: Labelled, y: Hashable) -> str:
    """What to do where the axes are those of a rotated pole whose place is not known."""
    return (
        "State where the pole is, with the two numbers that the source of the data names: "
        'ds = ds.assign_coords(rotated_pole=((), 0, {"grid_mapping_name": '
        '"rotated_latitude_longitude", "grid_north_pole_latitude": ..., '
        '"grid_north_pole_longitude": ...})).'
    )


def metres_per_unit(ds: Labelled, space: tuple[Hashable, Hashable], crs: CRS) -> float:
    """Metres that a unit of the axes of a projection is; 1 where they are in metres or say nothing.

    Axes of a geostationary satellite are angles of its scan, in radians, also where no unit says so
    (CF-1.11, appendix F): the distance is the angle times the height of the satellite.
    """
    units = {str(ds[dim].attrs.get("units", "")).strip().lower() for dim in space}
    if units & _KILOMETRES:
        return 1000.0
    height = float(crs.to_cf().get("perspective_point_height", 0))  # to_dict would warn
    angles = all(np.abs(ds[dim].values.astype(float)).max() < 1 for dim in space if ds[dim].size)
    if units & _RADIANS or (height and angles and not units & _METRES):
        return height or np.nan
    return 1.0


def other_units(ds: Labelled, space: tuple[Hashable, Hashable], factor: float) -> str:
    """Message about axes in other units than their CRS, with the conversion."""
    y, x = space
    if not np.isfinite(factor):
        return (
            f"axes {y!r} and {x!r} are in radians, but the CRS is in metres and is no "
            f"geostationary one. Correct the units of the axes, or the CRS: {_CODE}."
        )
    found = "km" if factor == 1000 else "radians"
    code = ", ".join(
        f'{dim}=(ds["{dim}"] * {factor:.15g}).assign_attrs(units="m")' for dim in (y, x)
    )
    return (
        f"axis {y!r} is in {found}, but the CRS is in metres. Convert both axes: "
        f"ds = ds.assign_coords({code})."
    )


def without_coordinate(ds: Labelled, space: tuple[Hashable, Hashable], dim: Hashable) -> str:
    """Message about a dimension that has no coordinate: of a curvilinear grid, or of none."""
    curved = [
        str(name)
        for name, coord in ds.coords.items()
        if set(coord.dims) == set(space) and direction(ds, name) is not None
    ]
    if len(curved) >= 2:
        return (
            f"the grid is curvilinear: its cells lie at {' and '.join(curved[:2])} over {space}, "
            "and a GeoTIFF has straight rows. Write netCDF, which keeps it: "
            'ds.to_netcdf("maps.nc"). Or regrid it, or give the axes of its projection and their '
            f"CRS: ds = ds.assign_coords({space[1]}=..., {space[0]}=...); {_CODE}."
        )
    return (
        f"dimension {dim!r} has no coordinate, so the place of its cells is unknown. "
        f"Assign it: ds = ds.assign_coords({dim}=...)."
    )
