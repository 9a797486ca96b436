"""Write GeoTIFF files: drafts first, all at once, block by block where maps are dask arrays."""

from __future__ import annotations

import math
import sys
import threading
import unicodedata
from collections.abc import Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio.windows import Window

from ..errors import RasterError, XdplError, warn
from ..runtime.files import Target, reason_of
from .georeference import check_crs, has_sidecar, put_sidecar
from .grid import Grid

__all__ = ["COMPRESSIONS", "File", "check_folder", "fits", "write"]

COMPRESSIONS = ("deflate", "zstd", "lzw", "lzma", "none")
"""Those of GDAL that lose nothing."""

_TILE = 512
"""Side of the tiles of a large file, in cells; a multiple of 16."""

_CACHE = 128 * 1024**2
"""Bytes that GDAL may keep while it copies; by default it takes a part of all memory."""

_PREDICTED = ("deflate", "lzw", "zstd")
"""Compressions that a predictor helps."""


@dataclass(frozen=True)
class File:
    """One GeoTIFF to write: its bands, each a map with a description.

    Parameters
    ----------
    target : Target
        Where it goes.
    data : DataArray (band, y, x)
        numpy or dask, north-up.
    descriptions, units : tuple of str (band,)
    band_tags : tuple of dict (band,)
    tags : dict of str to str
        Of the whole file.
    nodata : float or None
        Stands for missing values; NaN itself is allowed.
    """

    target: Target
    data: xr.DataArray
    descriptions: tuple[str, ...]
    units: tuple[str, ...]
    band_tags: tuple[dict[str, str], ...]
    tags: dict[str, str]
    nodata: float | None


def check_folder(folder: Target) -> None:
    """Make a folder and prove that it can be written to, or raise RasterError."""
    try:
        folder.make_folder()
    except OSError as error:
        raise RasterError(
            f"can't write to folder {folder.text!r}: {reason_of(error)}. "
            "Give a folder in which you may make files."
        ) from error


def distinct(names: Mapping[Hashable, str], thing: str) -> Mapping[Hashable, str]:
    """Return names of files or columns, or raise RasterError where two would become one.

    Many systems take upper and lower case for the same.

    Parameters
    ----------
    names : mapping of str to str
        What each variable would be called.
    thing : str
        What they would become.
    """
    found: dict[str, Hashable] = {}
    for variable, name in names.items():
        key = unicodedata.normalize("NFC", name).casefold()
        if key in found:
            raise RasterError(
                f"{found[key]!r} and {variable!r} would become one {thing}, {name!r}. Rename one "
                f"of them first: ds.rename({{{variable!r}: ...}})."
            )
        found[key] = variable
    return names


def fits(nodata: float, dtype: np.dtype) -> bool:
    """Whether a type can hold the value that stands for missing ones; NaN is left out of ints."""
    if math.isnan(nodata):
        return True
    if dtype.kind == "f":
        return abs(nodata) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return float(nodata).is_integer() and limits.min <= nodata <= limits.max


def write(files: list[File], grid: Grid, driver: str, compress: str) -> None:
    """Write all files at once, so that what their maps share is computed once.

    A file appears under its name only when all of them are complete, and were read back: GDAL
    closes a file that a full disk has cut off as if nothing had happened.

    Parameters
    ----------
    files : list of File
    grid : Grid
        Of all of them.
    driver : {"GTiff", "COG"}
    compress : str
        GDAL's name of a compression.

    Raises
    ------
    RasterError
        They can't be written, such as on a full disk. Files that were there are as they were.
    """
    with ExitStack() as held:
        with _telling(files[0].target.text):
            folder = held.enter_context(files[0].target.drafts())
        drafts = [folder / f"{number}.tif" for number in range(len(files))]
        draft_compress = compress if driver == "GTiff" else "none"
        for file, draft in zip(files, drafts, strict=True):
            with _telling(file.target.text):
                _create(file, draft, grid, draft_compress)
                check_crs(draft, grid, file.target.text)
        with _computing(files[0].target.text):
            _fill(files, drafts, grid)
        if driver == "COG":
            for index, draft in enumerate(drafts):
                with _telling(files[index].target.text):
                    drafts[index] = _to_cog(draft, compress, files[index])
        beside = [f.target.name for f, d in zip(files, drafts, strict=True) if has_sidecar(d)]
        for file, draft in zip(files, drafts, strict=True):
            with _telling(file.target.text):
                file.target.put(draft)
                put_sidecar(draft, file.target)
    _warn_of_sidecars(beside, grid)


def _warn_of_sidecars(names: list[str], grid: Grid) -> None:
    if names:
        which = names[0] if len(names) == 1 else f"each of {len(names)} files"
        warn(
            f"GeoTIFF can't hold the CRS {grid.crs.name!r}: for {which} it stands in a file beside "
            f"it, such as {names[0]}.aux.xml, which GDAL, QGIS and rioxarray read. Keep the two "
            'together, or write netCDF, which holds it: maps.to_netcdf("maps.nc").'
        )


@contextmanager
def _telling(text: str) -> Iterator[None]:
    """Say what to do where a file can't be written; GDAL's errors come in many classes."""
    try:
        yield
    except RasterError:
        raise
    except Exception as problem:
        first = problem.__cause__ or problem  # rasterio's own says no more than "see previous"
        raise _unwritten(text, reason_of(first)) from problem


@contextmanager
def _computing(text: str) -> Iterator[None]:
    """Say what to do where values can't be computed, such as where a chunk of theirs is broken."""
    try:
        yield
    except XdplError:
        raise
    except Exception as problem:  # of dask, or of what reads the source
        raise RasterError(
            f"maps for {text!r} can't be computed: {type(problem).__name__}: "
            f"{reason_of(problem)[:300]}. Repair what they are read from, or leave out what is "
            "broken with .isel(...). Files that were there are as they were."
        ) from problem


def _unwritten(text: str, reason: str) -> RasterError:
    return RasterError(
        f"can't write maps to {text!r}: {reason}. Files that were there are as they were: make "
        "room on the disk, or give another folder."
    )


def _create(file: File, draft: Path, grid: Grid, compress: str) -> None:
    data = file.data
    profile: dict[str, object] = {
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
    if file.nodata is not None:
        profile["nodata"] = file.nodata
    if compress.lower() != "none":
        profile["compress"] = compress
        if compress.lower() in _PREDICTED:
            profile["predictor"] = 3 if data.dtype.kind == "f" else 2
    if min(grid.shape) > _TILE:
        profile |= {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE}
    with rasterio.open(draft, "w", **profile) as raster:
        raster.update_tags(**file.tags)
        for band, tags in enumerate(file.band_tags, start=1):
            raster.set_band_description(band, file.descriptions[band - 1])
            raster.set_band_unit(band, file.units[band - 1])
            raster.update_tags(band, **tags)


class _Writer:
    """A target for dask's ``store``: writes blocks of (band, y, x) into a file.

    Parameters
    ----------
    path : Path
        The draft.
    text : str
        The file that it becomes, for messages.
    dtype : dtype
        Of the file.
    """

    def __init__(self, path: Path, text: str, dtype: np.dtype) -> None:
        self.path, self.text, self.dtype = path, text, dtype

    def __setitem__(self, key: tuple[slice, ...], block: np.ndarray) -> None:
        bands, rows, columns = key
        indexes = list(range(bands.start + 1, bands.stop + 1))
        block = _of_type(block, self.dtype, self.text)
        with _telling(self.text):
            with rasterio.open(self.path, "r+", num_threads="all_cpus") as raster:
                filled = _filled(block, raster.nodata)
                raster.write(filled, indexes, window=_window(rows, columns))
            with rasterio.open(self.path, num_threads="all_cpus") as raster:
                for start in range(rows.start, rows.stop, _TILE):
                    some = slice(start, min(start + _TILE, rows.stop))
                    found = raster.read(indexes, window=_window(some, columns))
                    written = filled[:, some.start - rows.start : some.stop - rows.start]
                    _check(self.text, written, found)


def _of_type(block: np.ndarray, dtype: np.dtype, text: str) -> np.ndarray:
    """Bring a block to the type of its file: dask's own word for it may be wrong."""
    if np.can_cast(block.dtype, dtype, "same_kind"):
        return block.astype(dtype, copy=False)
    raise RasterError(
        f"the map for {text!r} is declared as {dtype}, but its blocks turn out as {block.dtype}. "
        f"Convert it first: ds.astype({block.dtype.name!r})."
    )


def _check(text: str, written: np.ndarray, found: np.ndarray) -> None:
    if not np.array_equal(written, found, equal_nan=written.dtype.kind == "f"):
        raise _unwritten(text, "what was written is not what can be read back")


def _window(rows: slice, columns: slice) -> Window:
    return Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)


def _filled(block: np.ndarray, nodata: float | None) -> np.ndarray:
    if block.dtype.kind != "f" or nodata is None or math.isnan(nodata):
        return block
    return np.where(np.isnan(block), block.dtype.type(nodata), block)


def _fill(files: list[File], drafts: list[Path], grid: Grid) -> None:
    arrays, writers = [], []
    for file, draft in zip(files, drafts, strict=True):
        if file.data.chunks is None:
            whole = tuple(slice(0, n) for n in file.data.shape)
            _Writer(draft, file.target.text, file.data.dtype)[whole] = file.data.values
            continue
        # Whole tiles only: a tile that is written twice is compressed twice and leaves a hole.
        rows, columns = (_whole_tiles(sizes) for sizes in file.data.chunks[1:])
        arrays.append(file.data.data.rechunk({0: 1, 1: rows, 2: columns}))
        writers.append(_Writer(draft, file.target.text, file.data.dtype))
    if arrays:
        targets: Any = writers
        dask.array.store(arrays, targets, lock=_lock(), compute=True)


def _whole_tiles(sizes: tuple[int, ...]) -> int:
    return _TILE * max(1, round(max(sizes) / _TILE))


def _lock() -> Any:
    """Return a lock that also holds between workers where the scheduler is distributed."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            distributed.get_client()
            return distributed.Lock("xdpl-geotiff")
        except ValueError:  # no client
            pass
    return threading.Lock()


def _to_cog(draft: Path, compress: str, file: File) -> Path:
    target = draft.with_suffix(".cog.tif")
    resampling = "average" if file.data.dtype.kind == "f" else "nearest"
    options = {"compress": compress, "resampling": resampling}
    if compress.lower() in _PREDICTED:
        options["predictor"] = "yes"
    with rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_NUM_THREADS="ALL_CPUS"):
        rasterio.shutil.copy(draft, target, driver="COG", **options)
        _compare(draft, target, file.target.text)
    return target


def _compare(draft: Path, copy: Path, text: str) -> None:
    """Read a copy back, tile by tile, and all of its overviews."""
    with rasterio.open(draft) as one, rasterio.open(copy) as other:
        for band in one.indexes:
            for _, window in other.block_windows(band):
                _check(text, one.read(band, window=window), other.read(band, window=window))
        levels = len(other.overviews(1))
    for level in range(levels):
        with rasterio.open(copy, overview_level=level) as smaller:
            for band in smaller.indexes:
                for _, window in smaller.block_windows(band):
                    smaller.read(band, window=window)
