"""Maps as GeoTIFF or cloud-optimised GeoTIFF, lazily where they are dask arrays."""

from __future__ import annotations

import math
import os
import sys
import tempfile
import threading
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio.windows import Window

from ..errors import RasterError, XdplWarning
from .crs import Grid, find_space, grid_of, north_up

__all__ = ["to_geotiff"]

_TILE = 512
"""Side of the tiles of a large file, in cells; a multiple of 16."""


@dataclass(frozen=True)
class _File:
    """One GeoTIFF to write: its bands, each a map with a description."""

    path: Path
    data: xr.DataArray  # (band, y, x)
    descriptions: tuple[str, ...]
    units: tuple[str, ...]
    band_tags: tuple[dict[str, str], ...]


def to_geotiff(
    ds: xr.Dataset | xr.DataArray,
    path: str | os.PathLike[str],
    *,
    driver: Literal["GTiff", "COG"] = "GTiff",
    banded: bool | None = None,
    nodata: float = math.nan,
    compress: str = "deflate",
    overwrite: bool = True,
    geometries: Any = None,
    resolution: float | tuple[float, float] | None = None,
) -> list[Path]:
    """Write maps as GeoTIFF: one file a variable, or one file with a band a variable.

    Parameters
    ----------
    ds : Dataset or DataArray
        Maps over (y, x) in any order and direction; a third dimension (such as component) becomes
        bands. Variables that depend on time or hold no numbers are left out with a warning.
    path : path
        A folder, made where missing; or a file that ends in .tif or .tiff, with a band a variable.
    driver : {"GTiff", "COG"}
    banded : bool, optional
        Whether all variables go into one file; by default where ``path`` ends in .tif or .tiff.
        In a folder that file is called ``parameters.tif``.
    nodata : float
        Stands for missing values; NaN by default. Whole numbers get none while it is NaN.
    compress : str
        GDAL's name of a compression without loss, such as "deflate", "zstd", "lzw", "none".
    overwrite : bool
        Whether files that exist are replaced.
    geometries : GeoDataFrame, optional
        Outlines of basins, for a Dataset of basins; see ``rasterize``.
    resolution : float or (float, float), optional
        Size of a cell (x, y) in units of the CRS: of the raster of basins, or of axes of one cell.

    Returns
    -------
    list of Path
        The files written.

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
    """
    if driver not in ("GTiff", "COG"):
        raise RasterError(f"driver {driver!r} is unknown here. Use 'GTiff' or 'COG'.")
    maps = _as_dataset(ds, Path(path))
    if find_space(maps) is None and (geometries is not None or _has_geometry(maps)):
        from .vector import rasterize  # noqa: PLC0415  (its geopandas is slow to import)

        maps = rasterize(maps, geometries, resolution=resolution)
        resolution = None
    maps = _writable(maps)
    space = find_space(maps)
    if space is not None:
        maps = north_up(maps, space)
    grid = grid_of(maps, resolution)
    folder, files = _plan(maps, grid, Path(path), banded)
    _check_folder(folder, files, overwrite)
    _write(files, grid, maps.attrs, driver, nodata, compress)
    return [file.path for file in files]


def _as_dataset(ds: xr.Dataset | xr.DataArray, path: Path) -> xr.Dataset:
    if isinstance(ds, xr.Dataset):
        return ds
    name = ds.name if ds.name is not None else (path.stem if path.suffix else "map")
    return ds.to_dataset(name=name)


def _has_geometry(ds: xr.Dataset) -> bool:
    return any(
        c.dtype.kind == "O" and c.size and hasattr(c.values.flat[0], "geom_type")
        for c in ds.coords.values()
    )


def _writable(maps: xr.Dataset) -> xr.Dataset:
    """Return the variables that can be maps; warn of the others, and raise where none is left."""
    space = find_space(maps)
    if space is None:
        grid_of(maps)  # raises and says what is missing
        raise AssertionError("unreachable")  # pragma: no cover
    left_out: dict[str, str] = {}
    for name, variable in maps.data_vars.items():
        others = [dim for dim in variable.dims if dim not in space]
        if not set(space) <= set(variable.dims):
            left_out[str(name)] = "no map"
        elif variable.dtype.kind not in "fiub":
            left_out[str(name)] = "no numbers"
        elif any(dim in maps.coords and _is_time(maps[dim]) for dim in others):
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
        if _worth_a_warning(maps, left_out):
            import warnings  # noqa: PLC0415

            warnings.warn(
                f"{len(left_out)} variables not written as GeoTIFF: {listed}.",
                XdplWarning,
                stacklevel=3,
            )
    elif not maps.data_vars:
        raise RasterError("nothing to write: the Dataset has no variables. Select some maps.")
    return maps.drop_vars(left_out)


def _worth_a_warning(maps: xr.Dataset, left_out: dict[str, str]) -> bool:
    """Whether more than a grid mapping (read as a variable) was left out."""
    return any(maps[name].ndim for name in left_out)


def _is_time(coord: xr.DataArray) -> bool:
    return coord.dtype.kind in "Mm" or (
        coord.dtype.kind == "O" and coord.size > 0 and hasattr(coord.values.flat[0], "calendar")
    )


def _plan(
    maps: xr.Dataset, grid: Grid, path: Path, banded: bool | None
) -> tuple[Path, list[_File]]:
    """Decide which bands go into which files."""
    is_file = path.suffix.lower() in (".tif", ".tiff")
    if banded is None:
        banded = is_file
    if is_file and not banded and len(maps.data_vars) > 1:
        raise RasterError(
            f"{path.name} is one file, but there are {len(maps.data_vars)} variables and "
            "banded=False. Give a folder, or leave banded out."
        )
    folder = path.parent if is_file else path
    names = list(maps.data_vars)
    if is_file or banded:
        groups = {path if is_file else folder / "parameters.tif": names}
    else:
        groups = {folder / f"{_safe(name)}.tif": [name] for name in names}
    return folder, [_file(target, maps[group], grid) for target, group in groups.items()]


def _safe(name: Hashable) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in str(name))


def _file(path: Path, maps: xr.Dataset, grid: Grid) -> _File:
    bands, descriptions, units, tags = [], [], [], []
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
    return _File(path, data, tuple(descriptions), tuple(units), tuple(tags))


def _layers(variable: xr.DataArray, dim: Hashable) -> list[tuple[str, xr.DataArray]]:
    labels = variable[dim].values if dim in variable.coords else range(variable.sizes[dim])
    return [(f"{variable.name} {dim} {v}", variable.isel({dim: i})) for i, v in enumerate(labels)]


def _gdal_dtype(dtype: np.dtype) -> np.dtype:
    if dtype.kind == "b":
        return np.dtype("uint8")
    return np.dtype("float32") if dtype == np.float16 else dtype


def _tags(attrs: dict[Any, Any]) -> dict[str, str]:
    """Return attributes as GDAL metadata, which is text."""
    kept = {str(k): v for k, v in attrs.items() if k not in ("grid_mapping", "_FillValue")}
    return {
        key: ", ".join(str(item) for item in np.ravel(value)) for key, value in kept.items()
    }


def _check_folder(folder: Path, files: list[_File], overwrite: bool) -> None:
    """Make the folder and prove that it can be written to, before any computing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RasterError(
            f"can't write to folder {str(folder)!r}: {error.strerror or error}. "
            "Give a folder in which you may make files."
        ) from error
    present = [file.path.name for file in files if file.path.exists()]
    if present and not overwrite:
        raise RasterError(
            f"{', '.join(present)} in {str(folder)!r} exists. Use overwrite=True or another path."
        )


def _write(
    files: list[_File],
    grid: Grid,
    attrs: dict[Any, Any],
    driver: str,
    nodata: float,
    compress: str,
) -> None:
    """Write all files at once, so that what their maps share is computed once."""
    with _partial([file.path for file in files]) as drafts:
        draft_compress = compress if driver == "GTiff" else "none"
        for file, draft in zip(files, drafts, strict=True):
            _create(file, draft, grid, attrs, nodata, draft_compress)
        _fill(files, drafts, grid)
        if driver == "COG":
            for index, draft in enumerate(drafts):
                drafts[index] = _to_cog(draft, compress, files[index].data.dtype)
        for file, draft in zip(files, drafts, strict=True):
            os.replace(draft, file.path)


@contextmanager
def _partial(paths: list[Path]) -> Iterator[list[Path]]:
    """Give names to write to; whatever is left under them afterwards is removed."""
    drafts = [path.with_name(f".{path.stem}.{os.getpid()}.partial.tif") for path in paths]
    try:
        yield list(drafts)
    finally:
        for draft in drafts:
            for left in (draft, _cog_name(draft)):
                left.unlink(missing_ok=True)


def _cog_name(draft: Path) -> Path:
    return draft.with_suffix(".cog.tif")


def _create(
    file: _File, draft: Path, grid: Grid, attrs: dict[Any, Any], nodata: float, compress: str
) -> None:
    data = file.data
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": grid.shape[1],
        "height": grid.shape[0],
        "count": data.sizes["band"],
        "dtype": data.dtype.name,
        "crs": rasterio.crs.CRS.from_wkt(grid.crs.to_wkt()),
        "transform": grid.transform,
        "interleave": "band",  # else a lazy write touches every band for each block
        "BIGTIFF": "IF_SAFER",
    }
    if data.dtype.kind == "f" or not math.isnan(nodata):
        profile["nodata"] = nodata
    if compress.lower() != "none":
        profile["compress"] = compress
        if compress.lower() in ("deflate", "lzw", "zstd"):
            profile["predictor"] = 3 if data.dtype.kind == "f" else 2
    if min(grid.shape) > _TILE:
        profile |= {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE}
    with rasterio.open(draft, "w", **profile) as raster:
        raster.update_tags(**_tags(attrs))
        for band, tags in enumerate(file.band_tags, start=1):
            raster.set_band_description(band, file.descriptions[band - 1])
            raster.set_band_unit(band, file.units[band - 1])
            raster.update_tags(band, **tags)


class _Writer:
    """A target for dask's ``store``: writes blocks of (band, y, x) into a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __setitem__(self, key: tuple[slice, ...], block: np.ndarray) -> None:
        bands, rows, columns = key
        indexes = list(range(bands.start + 1, bands.stop + 1))
        with rasterio.open(self.path, "r+") as raster:
            raster.write(_filled(block, raster.nodata), indexes, window=_window(rows, columns))


def _window(rows: slice, columns: slice) -> Window:
    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


def _filled(block: np.ndarray, nodata: float | None) -> np.ndarray:
    if block.dtype.kind != "f" or nodata is None or math.isnan(nodata):
        return block
    return np.where(np.isnan(block), block.dtype.type(nodata), block)


def _fill(files: list[_File], drafts: list[Path], grid: Grid) -> None:
    arrays, writers = [], []
    for file, draft in zip(files, drafts, strict=True):
        if file.data.chunks is None:
            _Writer(draft)[tuple(slice(0, n) for n in file.data.shape)] = file.data.values
            continue
        # Whole tiles only: a tile that is written twice is compressed twice and leaves a hole.
        chunks = {
            dim: _whole_tiles(sizes) for dim, sizes in zip((1, 2), file.data.chunks[1:], strict=True)
        }
        arrays.append(file.data.data.rechunk({0: 1, **chunks}))
        writers.append(_Writer(draft))
    if arrays:
        import dask.array  # noqa: PLC0415

        dask.array.store(arrays, writers, lock=_lock(), compute=True)


def _whole_tiles(sizes: tuple[int, ...]) -> int:
    return _TILE * max(1, round(max(sizes) / _TILE))


def _lock() -> AbstractContextManager[Any] | Any:
    """Return a lock that also holds between workers where the scheduler is distributed."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            distributed.get_client()
            return distributed.Lock("xdpl-geotiff")
        except ValueError:  # no client
            pass
    return threading.Lock()


def _to_cog(draft: Path, compress: str, dtype: np.dtype) -> Path:
    target = _cog_name(draft)
    options = {"compress": compress, "resampling": "average" if dtype.kind == "f" else "nearest"}
    if compress.lower() in ("deflate", "lzw", "zstd"):
        options["predictor"] = "yes"
    rasterio.shutil.copy(draft, target, driver="COG", **options)
    return target
