"""Why a map can't be a GeoTIFF as it is, and what to do: remedies that fit its axes."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from ..spatial import direction
from ..spatial.axes import Labelled, is_degrees, is_rotated_axis
from ..spatial.crs import find_grid_mapping

__all__ = ["missing_crs", "state_pole", "without_coordinate"]

_CODE = 'ds = ds.rio.write_crs("EPSG:...")'


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
        'if they are latitude and longitude, ds = ds.rio.write_crs("EPSG:4326").'
    )


def state_pole(ds: Labelled, y: Hashable) -> str:
    """What to do where the axes are those of a rotated pole whose place is not known."""
    return (
        "State where the pole is, with the two numbers that the source of the data names: "
        'ds = ds.assign_coords(rotated_pole=((), 0, {"grid_mapping_name": '
        '"rotated_latitude_longitude", "grid_north_pole_latitude": ..., '
        '"grid_north_pole_longitude": ...})).'
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
