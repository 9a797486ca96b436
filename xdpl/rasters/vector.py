"""Basins as polygons and as rasters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely
import xarray as xr
from pyproj import CRS

from ..errors import RasterError, warn
from ..public import public
from ..runtime.files import PathLike, as_target, reason_of
from ..spatial import find_basin, find_grid, is_geometry, varies_in_time
from ..spatial.identifiers import identifier
from ._write import check_folder, distinct
from .coordinates import with_grid
from .coverage import Coverage, cover
from .quality import without_fill

if TYPE_CHECKING:
    import geopandas

__all__ = ["has_geometry", "outlines_of", "rasterize", "to_geopackage"]


@public()
def to_geopackage(ds: xr.Dataset, path: PathLike, geometries: object = None) -> Path | str:
    """Write basins as polygons with a column a parameter.

    Parameters
    ----------
    ds : Dataset
        One value a basin and variable; a layer dimension such as component becomes columns
        ``name_0``, ``name_1``. Variables that depend on time are left out with a warning.
    path : path
        A file that ends in .gpkg; replaced where it exists. Or a URL of fsspec.
    geometries : GeoDataFrame or GeoSeries, optional
        Outlines, with the basins' ids as index or in a column; by default the geometry coordinate
        of ``ds`` (xvec). Several rows of one id are parts of one basin.

    Returns
    -------
    Path or str
        The file, or its URL. Attributes of ``ds`` and units are its metadata.

    Raises
    ------
    RasterError
        No basins, no outlines, no CRS, no id in common, another suffix, or no permission.

    Examples
    --------
    >>> import geopandas, numpy as np, shapely, xarray as xr, xdpl
    >>> ds = xr.Dataset({"k": ("basin", [1.0, 2.0])}, {"basin": ["a", "b"]})
    >>> shapes = [shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)]
    >>> outlines = geopandas.GeoDataFrame(geometry=shapes, index=["a", "b"], crs="EPSG:4326")
    >>> ds.dpl.to_geopackage("basins.gpkg", outlines).name
    'basins.gpkg'
    """
    target = as_target(path)
    if not target.name.lower().endswith(".gpkg"):
        raise RasterError(f"{target.name!r} is no GeoPackage. Give a path that ends in .gpkg.")
    check_folder(target.parent)
    dim = _basin_dimension(ds)
    outlines = _outlines(ds, dim, geometries)
    table = outlines.to_frame("geometry")
    kept = _basins(ds, dim, outlines)
    for name, values in _columns(kept, dim).items():
        table[name] = values
    metadata = {str(key): str(value) for key, value in ds.attrs.items()}
    for label, variable in kept.data_vars.items():
        if variable.attrs.get("units"):
            metadata[f"{label}_units"] = str(variable.attrs["units"])
    try:
        with target.drafts() as folder:
            draft = folder / "parameters.gpkg"
            table.to_file(
                draft, driver="GPKG", layer="parameters", engine="pyogrio", layer_metadata=metadata
            )
            target.put(draft)
    except (OSError, RuntimeError) as problem:  # GDAL's errors are of the second kind
        raise RasterError(
            f"can't write {target.text!r}: {reason_of(problem)}. What was there before is as it "
            "was: make room on the disk, or give another path."
        ) from problem
    return target.result


@public()
def rasterize(
    ds: xr.Dataset,
    geometries: object = None,
    *,
    resolution: float | tuple[float, float] | None = None,
    crs: object = None,
    bounds: tuple[float, float, float, float] | None = None,
) -> xr.Dataset:
    """Return maps of basins: each cell takes the mean of the basins in it, and of flags the mode.

    Parameters
    ----------
    ds : Dataset
        One value a basin and variable, perhaps with further dimensions, which are kept.
    geometries : GeoDataFrame or GeoSeries, optional
        As in ``to_geopackage``.
    resolution : float or (float, float)
        Size of a cell (x, y) in units of the CRS.
    crs : Any, optional
        Of the maps; that of the outlines by default. Whatever pyproj understands.
    bounds : (float, float, float, float), optional
        Left, bottom, right and top of the maps; by default those of all basins, widened to
        multiples of the resolution.

    Returns
    -------
    Dataset
        Over (y, x), north-up, with a grid mapping; NaN where no basin is.

    Raises
    ------
    RasterError
        No basins, no outlines, no CRS, no id in common, no resolution, or bounds without basins.

    Notes
    -----
    Weights are exact areas of the part of a basin within a cell, not centres of cells, so a basin
    smaller than a cell counts, and so does a hole. A cell that a basin touches with any part of its
    area has a value. Where basins overlap, such as nested catchments, the cell takes the mean of
    all of them by their areas within it, and a warning counts such pairs; give the outlines of
    subcatchments without the upstream parts if that isn't wanted. A basin without value is not
    part of the mean. Basins without outline, without area or outside the bounds are counted in a
    warning.

    Examples
    --------
    >>> import geopandas, numpy as np, shapely, xarray as xr, xdpl
    >>> ds = xr.Dataset({"k": ("basin", [1.0, 2.0])}, {"basin": ["a", "b"]})
    >>> shapes = [shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)]
    >>> outlines = geopandas.GeoDataFrame(geometry=shapes, index=["a", "b"], crs="EPSG:4326")
    >>> ds.dpl.rasterize(outlines, resolution=0.5).k.shape
    (2, 4)
    """
    if resolution is None:
        raise RasterError(
            "basins have no cells of their own, so a raster needs a size of cells. "
            "Give resolution=... in units of the CRS."
        )
    dim = _basin_dimension(ds)
    outlines = _outlines(ds, dim, geometries)
    if crs is not None:
        outlines = outlines.to_crs(CRS.from_user_input(crs))
    sizes = np.broadcast_to(np.asarray(resolution, dtype=float), (2,))
    covered = cover(np.asarray(outlines.values), (float(sizes[0]), float(sizes[1])), bounds)
    _warn_of_coverage(covered)
    kept = _basins(ds, dim, outlines, timed=True).compute()
    maps = xr.Dataset({name: _map(v, dim, covered) for name, v in kept.data_vars.items()})
    maps = maps.assign_coords({c: kept[c] for c in kept.coords if dim not in kept[c].dims})
    maps = maps.assign_coords(y=covered.y, x=covered.x)
    maps.attrs = {key: value for key, value in ds.attrs.items() if key != "featureType"}
    cell = (float(sizes[0]), -float(sizes[1]))
    return with_grid(maps, CRS.from_user_input(outlines.crs), cell)


def outlines_of(ds: xr.Dataset, geometries: object = None) -> geopandas.GeoSeries:
    """Return one outline a basin, indexed by its position in ``ds``; see ``to_geopackage``."""
    return _outlines(ds, _basin_dimension(ds), geometries)


def has_geometry(ds: xr.Dataset) -> bool:
    """Whether a coordinate holds the outlines of basins."""
    return any(is_geometry(coord) for coord in ds.coords.values())


def _basin_dimension(ds: xr.Dataset) -> Hashable:
    dim = next((c.dims[0] for c in ds.coords.values() if is_geometry(c) and c.ndim == 1), None)
    if dim is None and find_grid(ds) is None:
        dim = find_basin(ds)
    if dim is None:
        raise RasterError(
            f"no basins found: the dimensions are {', '.join(map(str, ds.dims)) or 'none'}. "
            "Give a Dataset with one dimension of basins that all its variables share."
        )
    return dim


def _outlines(ds: xr.Dataset, dim: Hashable, geometries: object) -> geopandas.GeoSeries:
    """Return one outline a basin, indexed by position in ``ds``; basins without are left out."""
    import geopandas  # slow to import, and only basins need it

    if geometries is None:
        series = _own_outlines(ds, dim)
    elif not hasattr(geometries, "geometry"):
        raise RasterError(
            f"geometries is a {type(geometries).__name__}. Give a geopandas.GeoDataFrame with the "
            "ids of the basins as its index or in a column."
        )
    else:
        series = _matched(ds, dim, geometries)
    if series.crs is None:
        raise RasterError(
            "the outlines have no coordinate reference system (CRS). State it first, for instance "
            "with geometries = geometries.set_crs('EPSG:4326')."
        )
    found = series[~(series.isna() | series.is_empty)]
    missing = ds.sizes[dim] - len(found)
    if missing:
        warn(f"{missing} of {ds.sizes[dim]} basins have no outline and are left out.")
    # What collapses to a line has no area; a mixture of areas and lines can't be intersected.
    mended = shapely.make_valid(found.values, method="structure", keep_collapsed=False)
    return geopandas.GeoSeries(mended, index=found.index, crs=series.crs)


def _own_outlines(ds: xr.Dataset, dim: Hashable) -> geopandas.GeoSeries:
    import geopandas

    for name, coord in ds.coords.items():
        if is_geometry(coord) and coord.dims == (dim,):
            crs = getattr(ds.xindexes.get(name), "crs", None) or coord.attrs.get("crs")
            return geopandas.GeoSeries(list(coord.values), index=range(coord.size), crs=crs)
    raise RasterError(
        "these basins have no outlines. Give geometries=, a geopandas.GeoDataFrame with the ids "
        "of the basins as its index or in a column."
    )


def _matched(ds: xr.Dataset, dim: Hashable, geometries: Any) -> geopandas.GeoSeries:
    import geopandas

    labels = ds[dim].values if dim in ds.coords else np.arange(ds.sizes[dim])
    ids = [_id(label) for label in labels]
    columns = {"index": geometries.index}
    if hasattr(geometries, "columns"):
        active = geometries.geometry.name
        columns |= {str(c): geometries[c] for c in geometries.columns if c != active}
    named = {name: [_id(value) for value in values] for name, values in columns.items()}
    numbered = isinstance(geometries.index, pd.RangeIndex) and geometries.index.name is None
    found = [_rows(ids, these) for these in named.values()]
    found += [
        _rows(*_stored_alike(ids, these))
        for name, these in named.items()
        if not (numbered and name == "index")  # numbers of rows are no ids
    ]
    rows = max(found, key=lambda one: len({position for position, _ in one}))
    if not rows:
        raise RasterError(
            f"no outline belongs to a basin: ids such as {ids[0]!r} are neither in the index "
            f"(such as {next(iter(named['index']), 'none')!r}) nor in a column of geometries. "
            "Set the index to the ids: geometries = geometries.set_index('the column of ids')."
        )
    shapes = geometries.geometry.iloc[[row for _, row in rows]]
    positions = [position for position, _ in rows]
    series = geopandas.GeoSeries(shapes.values, index=positions, crs=geometries.crs)
    if series.index.has_duplicates:  # several rows a basin: islands, or pieces of one outline
        series = series.groupby(level=0).agg(lambda parts: parts.union_all())
        series = geopandas.GeoSeries(series, crs=geometries.crs)
    return series.sort_index()


def _rows(ids: Sequence[str], these: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of a basin and a row that has its id."""
    position = {label: place for place, label in enumerate(ids)}
    return [(position[label], row) for row, label in enumerate(these) if label in position]


def _stored_alike(ids: Sequence[str], these: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Both without leading zeros and the like, where that keeps different ids apart."""
    plain = [identifier(one) for one in ids], [identifier(one) for one in these]
    apart = all(len(set(a)) == len(set(b)) for a, b in zip(plain, (ids, these), strict=True))
    return plain if apart else (ids, these)


def _id(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value).strip()


def _basins(
    ds: xr.Dataset, dim: Hashable, outlines: geopandas.GeoSeries, *, timed: bool = False
) -> xr.Dataset:
    """Return the variables of numbers over basins, for the basins with outlines only."""
    left_out = [
        str(name)
        for name, v in ds.data_vars.items()
        if dim not in v.dims
        or v.dtype.kind not in "fiub"
        or (not timed and any(varies_in_time(ds, d) for d in v.dims))
    ]
    kept = ds.drop_vars(left_out)
    worth_saying = [name for name in left_out if ds[name].ndim]
    if not kept.data_vars:
        raise RasterError(
            f"no variable has one number a basin{': ' if left_out else ''}{', '.join(left_out)}. "
            "Take one time with .isel(time=...) or a mean with .mean('time') first."
        )
    if worth_saying:
        many = "variables" if len(worth_saying) > 1 else "variable"
        warn(f"{len(worth_saying)} {many} left out: {', '.join(worth_saying)}.")
    return kept.isel({dim: outlines.index.to_numpy()})


def _columns(ds: xr.Dataset, dim: Hashable) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    names: dict[Hashable, str] = {"the geometry": "geometry", "the number of a row": "fid"}
    if dim in ds.coords and not is_geometry(ds[dim]):
        columns[str(dim)] = np.array([_id(label) for label in ds[dim].values])
        names[f"the coordinate {dim}"] = str(dim)
    for name, given in ds.compute().data_vars.items():
        variable = without_fill(given)
        others = [d for d in variable.dims if d != dim]
        if not others:
            columns[str(name)] = variable.values
            names[name] = str(name)
            continue
        layers = variable.transpose(..., dim).values.reshape(-1, ds.sizes[dim])
        columns |= {f"{name}_{i}": layer for i, layer in enumerate(layers)}
        names |= {f"layer {i} of {name}": f"{name}_{i}" for i in range(len(layers))}
    distinct(names, "column")
    return columns


def _map(variable: xr.DataArray, dim: Hashable, covered: Coverage) -> xr.Variable:
    """Return the mean by area of the basins in each cell; of a flag the value of most area."""
    variable = without_fill(variable)
    ordered = variable.transpose(..., dim)
    flagged = "flag_values" in variable.attrs
    dtype = np.float32 if variable.dtype.kind != "f" else variable.dtype
    layers = ordered.values.reshape(-1, variable.sizes[dim]).astype("f8")
    reduce = covered.most if flagged else covered.mean
    result = np.stack([reduce(layer) for layer in layers]).astype(dtype)
    shape = (*ordered.shape[:-1], *covered.shape)
    attrs = {k: v for k, v in variable.attrs.items() if k != "grid_mapping"}
    attrs["cell_methods"] = "area: mode" if flagged else "area: mean"
    if flagged:  # of the type of the data, as CF wants it
        attrs["flag_values"] = np.asarray(attrs["flag_values"], dtype)
    return xr.Variable((*ordered.dims[:-1], "y", "x"), result.reshape(shape), attrs)


def _warn_of_coverage(covered: Coverage) -> None:
    lost = covered.without_area
    if lost:
        has, is_ = ("basins have", "are") if lost > 1 else ("basin has", "is")
        warn(f"{lost} {has} no area within the bounds and {is_} in no cell.")
    if covered.overlapping:
        pairs = "pairs of basins overlap" if covered.overlapping > 1 else "pair of basins overlaps"
        warn(
            f"{covered.overlapping} {pairs}; a cell in both takes the mean of them by their areas "
            "within it."
        )
