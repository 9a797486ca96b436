"""Maps as GeoTIFF or cloud-optimised GeoTIFF, lazily where they are dask arrays."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from ..errors import RasterError, warn
from ..public import public
from ..runtime.files import PathLike, Target, as_target
from ..spatial import find_grid, find_grid_mapping, varies_in_time
from ._write import COMPRESSIONS, File, check_folder, distinct, fits, write
from .grid import Grid, grid_of, north_up, require_space
from .quality import missing_value_of, without_fill
from .vector import has_geometry, rasterize

__all__ = ["to_geotiff"]


@public()
def to_geotiff(
    ds: xr.Dataset | xr.DataArray,
    path: PathLike,
    *,
    driver: Literal["GTiff", "COG"] = "GTiff",
    banded: bool | None = None,
    nodata: float = math.nan,
    compress: str = "deflate",
    overwrite: bool = True,
    geometries: object = None,
    resolution: float | tuple[float, float] | None = None,
) -> list[Path | str]:
    """Write maps as GeoTIFF: one file a variable, or one file with a band a variable.

    Parameters
    ----------
    ds : Dataset or DataArray
        Maps over (y, x) in any order and direction; a third dimension (such as component) becomes
        bands. Variables that depend on time or hold no numbers are left out with a warning.
    path : path
        A folder, made where missing; or a file that ends in .tif or .tiff, with a band a variable.
        Or a URL of fsspec, such as ``"s3://bucket/maps/"``: files are written here, then copied.
    driver : {"GTiff", "COG"}
    banded : bool, optional
        Whether all variables go into one file; by default where ``path`` ends in .tif or .tiff.
        In a folder that file is called ``parameters.tif``.
    nodata : float
        Stands for missing values; NaN by default. Whole numbers keep their own fill value, such as
        that of a flag, and get none while this is NaN.
    compress : str
        One without loss: "deflate", "zstd", "lzw", "lzma" or "none".
    overwrite : bool
        Whether files that exist are replaced.
    geometries : GeoDataFrame, optional
        Outlines of basins, for a Dataset of basins; see ``rasterize``.
    resolution : float or (float, float), optional
        Size of a cell (x, y) in units of the CRS: of the raster of basins, or of axes of one cell.

    Returns
    -------
    list of Path or str
        The files written, or their URLs.

    Raises
    ------
    RasterError
        No grid, no CRS, irregular axes, nothing to write, or no permission; before any computing.

    Notes
    -----
    Files are north-up. Longitudes of 0 to 360 degrees are rolled to -180 to 180, except for a
    region across the 180th meridian, which stays in one piece. Axes in degrees with the standard
    names latitude and longitude and no CRS are taken as EPSG:4326. Band descriptions are the
    variables' names, units are GDAL band units, the Dataset's attributes (model, observation,
    scores, ...) are tags. A file appears under its name only when it is complete.

    Examples
    --------
    >>> import xdpl
    >>> ds = xdpl.tutorial.synthetic(cells=9, years=1)
    >>> files = ds[["elevation", "slope"]].dpl.to_geotiff("maps")
    >>> [file.name for file in files]
    ['elevation.tif', 'slope.tif']
    """
    target = as_target(path)
    if driver not in ("GTiff", "COG"):
        raise RasterError(f"driver {driver!r} is unknown here. Use 'GTiff' or 'COG'.")
    if compress.lower() not in COMPRESSIONS:
        raise RasterError(
            f"compress {compress!r} is unknown here. Use one of {', '.join(COMPRESSIONS)}."
        )
    maps = _as_dataset(ds, target)
    if find_grid(maps) is None and (geometries is not None or has_geometry(maps)):
        maps = rasterize(maps, geometries, resolution=resolution)
    space = require_space(maps)
    maps = north_up(_writable(maps, space), space)
    grid = grid_of(maps, resolution)
    folder, files = _plan(maps, grid, target, banded, nodata)
    _check_files(folder, files, overwrite)
    write(files, grid, driver, compress)
    return [file.target.result for file in files]


def _as_dataset(ds: xr.Dataset | xr.DataArray, target: Target) -> xr.Dataset:
    if isinstance(ds, xr.Dataset):
        if not ds.data_vars:
            raise RasterError("nothing to write: the Dataset has no variables. Select some maps.")
        mapping = find_grid_mapping(ds)  # a variable like others in a file that was opened plainly
        return ds if mapping is None else ds.set_coords(mapping)
    stem, dot, _ = target.name.rpartition(".")
    name = ds.name if ds.name is not None else (stem if dot else "map")
    return ds.to_dataset(name=name)


def _writable(maps: xr.Dataset, space: tuple[Hashable, Hashable]) -> xr.Dataset:
    """Return the variables that can be maps; warn of the others, and raise where none is left."""
    left_out: dict[str, str] = {}
    for name, variable in maps.data_vars.items():
        others = [dim for dim in variable.dims if dim not in space]
        if not set(space) <= set(variable.dims):
            left_out[str(name)] = "no map"
        elif variable.dtype.kind not in "fiub":
            left_out[str(name)] = "no numbers"
        elif any(varies_in_time(maps, dim) for dim in others):
            left_out[str(name)] = "depends on time"
        elif len(others) > 1:
            left_out[str(name)] = f"more than one dimension besides {space}"
    if left_out:
        listed = ", ".join(f"{name} ({why})" for name, why in left_out.items())
        if len(left_out) == len(maps.data_vars):
            raise RasterError(
                f"nothing to write as a map: {listed}. Take one time with "
                ".isel(time=...) or a mean with .mean('time') first."
            )
        many = "variables" if len(left_out) > 1 else "variable"
        warn(f"{len(left_out)} {many} not written as GeoTIFF: {listed}.")
    return maps.drop_vars(left_out)


def _plan(
    maps: xr.Dataset, grid: Grid, target: Target, banded: bool | None, nodata: float
) -> tuple[Target, list[File]]:
    """Decide which bands go into which files."""
    is_file = target.name.lower().endswith((".tif", ".tiff"))
    if banded is None:
        banded = is_file
    if is_file and not banded and len(maps.data_vars) > 1:
        raise RasterError(
            f"{target.name} is one file, but there are {len(maps.data_vars)} variables and "
            "banded=False. Give a folder, or leave banded out."
        )
    folder = target.parent if is_file else target
    names = list(maps.data_vars)
    if is_file:
        return folder, [_file(target, maps[names], grid, nodata)]
    if banded:
        return folder, [_file(folder.child("parameters.tif"), maps[names], grid, nodata)]
    safe = distinct({name: _safe(name) for name in names}, "file")
    return folder, [
        _file(folder.child(f"{safe[name]}.tif"), maps[[name]], grid, nodata) for name in names
    ]


def _safe(name: Hashable) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in str(name)) or "_"


def _file(target: Target, maps: xr.Dataset, grid: Grid, nodata: float) -> File:
    bands, descriptions, units, tags = [], [], [], []
    maps, fill = _with_one_fill(maps)
    dtype = _gdal_dtype(np.result_type(*[v.dtype for v in maps.data_vars.values()]))
    for name, variable in maps.data_vars.items():
        extra = [dim for dim in variable.dims if dim not in (grid.y, grid.x)]
        layers = _layers(variable, extra[0]) if extra else [(str(name), variable)]
        for description, layer in layers:
            plain = layer.drop_vars([c for c in layer.coords if c not in (grid.y, grid.x)])
            bands.append(plain.transpose(grid.y, grid.x).astype(dtype))
            descriptions.append(description)
            units.append(str(variable.attrs.get("units", "")))
            tags.append(_tags(variable.attrs))
    data = xr.concat(bands, dim="band", coords="minimal", compat="override", join="override")
    if fill is None and (dtype.kind == "f" or not math.isnan(nodata)):
        fill = nodata
    about = tuple(descriptions), tuple(units), tuple(tags), _tags(maps.attrs)
    return File(target, data, *about, nodata=fill)


def _with_one_fill(maps: xr.Dataset) -> tuple[xr.Dataset, float | None]:
    """Maps of whole numbers that share a fill value, and that; else maps with NaN instead."""
    fills = {missing_value_of(variable) for variable in maps.data_vars.values()}
    whole = all(variable.dtype.kind in "iu" for variable in maps.data_vars.values())
    if whole and len(fills) == 1:
        return maps, fills.pop()
    return maps.assign({name: without_fill(v) for name, v in maps.data_vars.items()}), None


def _layers(variable: xr.DataArray, dim: Hashable) -> list[tuple[str, xr.DataArray]]:
    labels = variable[dim].values if dim in variable.coords else range(variable.sizes[dim])
    return [(f"{variable.name} {dim} {v}", variable.isel({dim: i})) for i, v in enumerate(labels)]


def _gdal_dtype(dtype: np.dtype) -> np.dtype:
    if dtype.kind == "b":
        return np.dtype("uint8")
    return np.dtype("float32") if dtype == np.float16 else dtype


def _tags(attrs: dict[Hashable, Any]) -> dict[str, str]:
    """Return attributes as GDAL metadata, which is text."""
    kept = {str(k): v for k, v in attrs.items() if k not in ("grid_mapping", "_FillValue")}
    return {key: ", ".join(str(item) for item in np.ravel(value)) for key, value in kept.items()}


def _check_files(folder: Target, files: list[File], overwrite: bool) -> None:
    """Raise where files can't be written, before any computing."""
    for file in files:
        if file.nodata is not None and not fits(file.nodata, file.data.dtype):
            raise RasterError(
                f"nodata={file.nodata} is no {file.data.dtype} number, the type of "
                f"{file.target.name}. Give another, or convert the map with .astype('float32')."
            )
    check_folder(folder)
    present = [] if overwrite else [file.target.name for file in files if file.target.exists()]
    if present:
        raise RasterError(
            f"{', '.join(present)} in {folder.text!r} exists. Use overwrite=True or another path."
        )
