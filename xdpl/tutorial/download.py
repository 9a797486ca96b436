"""Real data: from a folder, from the cache, or downloaded once."""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import xarray as xr

from ..errors import DataError
from ..runtime.files import as_path, draft_folder, put_safely
from . import mopex, smap

__all__ = ["open_dataset"]

_URL = "https://raw.githubusercontent.com/{repository}/{commit}/{path}"

_ASSEMBLE: dict[str, Callable[[Mapping[str, Path]], xr.Dataset]] = {
    "smap-conus": smap.assemble,
    "mopex": mopex.assemble,
}


def open_dataset(
    name: str, *, cache: str | os.PathLike[str] | None = None, **options: Any
) -> xr.Dataset:
    """Open a Dataset of real observations, which is downloaded where it isn't at hand.

    Parameters
    ----------
    name : {"smap-conus", "mopex"}
        "smap-conus": SMAP surface soil moisture with NLDAS-2 forcing and attributes of soil and
        vegetation, daily from 2015-04-01 to 2017-03-31, every fourth cell of the 36 km EASE-Grid
        2.0 over the United States (Fang et al. 2017, doi:10.1002/2017GL075619).
        "mopex": streamflow of basins in the United States, with daily forcing and
        characteristics (Schaake et al. 2006, IAHS Publ. 307).
    cache : path, optional
        Folder for what is downloaded; the user's cache folder by default.
    **options : Any
        For ``xarray.open_dataset``, such as ``chunks={}``.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        The name is unknown, pooch is missing, or a file can't be downloaded or isn't the one that
        was expected.

    Notes
    -----
    A folder that the environment variable ``XDPL_DATA`` names is looked into first, for
    ``smap_conus.nc`` or ``mopex.nc``; these may be parts of the whole. Else the raw files are
    downloaded once, checked by their hashes, and kept together as netCDF.
    """
    if name not in _ASSEMBLE:
        raise DataError(f"there is no dataset {name!r}. Choose one of {', '.join(_ASSEMBLE)}.")
    file = f"{name.replace('-', '_')}.nc"
    folder = os.environ.get("XDPL_DATA")
    if folder and (as_path(folder) / file).is_file():
        return xr.open_dataset(as_path(folder) / file, **options)
    source = _sources()[name]
    kept = _cache_folder(cache) / f"{source['commit'][:8]}_{file}"
    if not kept.is_file():
        paths = _fetch(name, source, kept.parent / "raw" / name)
        _keep(_ASSEMBLE[name](paths), kept)
    return xr.open_dataset(kept, **options)


def _sources() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("_sources.json").read_text(encoding="utf-8")
    sources: dict[str, Any] = json.loads(text)
    return sources


def _pooch() -> ModuleType:
    try:
        import pooch
    except ImportError as error:
        raise DataError(
            'downloading needs pooch, which is not installed. Run pip install "xdpl[tutorials]", '
            "or let XDPL_DATA name a folder that holds the file."
        ) from error
    return pooch


def _cache_folder(cache: str | os.PathLike[str] | None) -> Path:
    return Path(_pooch().os_cache("xdpl")) if cache is None else as_path(cache, "cache")


def _fetch(name: str, source: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Download the raw files that are not there yet; return their paths by name."""
    from ..runtime.progress import tqdm

    repository = source["repository"].removeprefix("https://github.com/")
    urls = {
        path: _URL.format(
            repository=repository, commit=source["commit"], path=urllib.parse.quote(path)
        )
        for path in source["files"]
    }
    pooch = _pooch()
    pooch.get_logger().setLevel("WARNING")
    fetcher = pooch.create(path=folder, base_url="", registry=source["files"], urls=urls)
    files: Iterable[str] = tqdm(source["files"], desc=f"downloading {name}", unit="file")
    try:
        return {path: Path(fetcher.fetch(path)) for path in files}
    except (OSError, ValueError) as error:  # no network; or another hash than the known one
        raise DataError(
            f"can't download {name}: {error}. Try again, or get the file elsewhere and let the "
            "environment variable XDPL_DATA name its folder."
        ) from error


def _keep(ds: xr.Dataset, path: Path) -> None:
    """Write a Dataset so that it is there whole or not at all."""
    encoding = {n: {"zlib": True, "complevel": 1} for n, v in ds.data_vars.items() if v.ndim > 1}
    with draft_folder(path.parent) as folder:
        draft = folder / path.name
        ds.to_netcdf(draft, engine="netcdf4", encoding=encoding)
        put_safely(draft, path)
