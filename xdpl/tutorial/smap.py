"""SMAP soil moisture over the United States: from the raw text files to a Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from ..rasters.coordinates import with_grid

__all__ = ["assemble"]

_FOLDER = "example/data/CONUSv4f1"
_YEARS = (2015, 2016)
_MISSING = -9999
_CRS = 6933  # EASE-Grid 2.0, global
_CELL = 36_032.220840584  # m
_CORNER = (-17_367_530.44516, 7_314_540.83064)  # m, upper left of that grid
_EVERY = 4  # cells of that grid from one to the next that is kept

_SERIES = {
    # file: name, factor, units, standard_name, long_name
    "SMAP_AM": (
        "SMAP",
        1.0,
        "m3 m-3",
        "volume_fraction_of_condensed_water_in_soil",
        "SMAP L3 passive surface (0-5 cm) soil moisture, descending (6 AM) overpass",
    ),
    "APCP_FORA": ("prcp", 24.0, "mm day-1", "lwe_precipitation_rate", "precipitation"),
    "TMP_2_FORA": ("tas", 1.0, "K", "air_temperature", "2 m air temperature"),
    "SPFH_2_FORA": ("huss", 1.0, "kg kg-1", "specific_humidity", "2 m specific humidity"),
    "DSWRF_FORA": (
        "rsds",
        1.0,
        "W m-2",
        "surface_downwelling_shortwave_flux_in_air",
        "downward shortwave radiation",
    ),
    "DLWRF_FORA": (
        "rlds",
        1.0,
        "W m-2",
        "surface_downwelling_longwave_flux_in_air",
        "downward longwave radiation",
    ),
    "UGRD_10_FORA": ("uas", 1.0, "m s-1", "eastward_wind", "10 m eastward wind"),
    "VGRD_10_FORA": ("vas", 1.0, "m s-1", "northward_wind", "10 m northward wind"),
}

_CONSTANTS = {
    # file: name, units, long_name
    "Bulk": ("bulk_density", "g cm-3", "soil bulk density"),
    "Capa": ("water_capacity", "1", "soil available water capacity (source units not documented)"),
    "Clay": ("clay", "percent", "clay fraction of soil"),
    "Sand": ("sand", "percent", "sand fraction of soil"),
    "Silt": ("silt", "percent", "silt fraction of soil"),
    "NDVI": ("ndvi", "1", "mean NDVI"),
    "flag_albedo": ("albedo", "1", "SMAP ancillary albedo"),
    "flag_landcover": ("landcover", None, "SMAP ancillary land cover class (IGBP)"),
    "flag_roughness": ("roughness", "1", "SMAP ancillary surface roughness coefficient"),
    "flag_vegDense": ("vegetation_density_flag", "1", "SMAP dense-vegetation flag"),
    "flag_waterbody": ("water_fraction", "1", "SMAP ancillary water body fraction"),
}

_LANDCOVER = (
    "water evergreen_needleleaf_forest evergreen_broadleaf_forest deciduous_needleleaf_forest "
    "deciduous_broadleaf_forest mixed_forest closed_shrubland open_shrubland woody_savanna savanna "
    "grassland permanent_wetland cropland urban cropland_natural_mosaic snow_ice barren"
)

_ATTRS = {
    "Conventions": "CF-1.11",
    "title": "SMAP soil moisture with NLDAS-2 forcing and soil and vegetation attributes, CONUS, "
    "every fourth cell of the 36 km EASE-Grid 2.0",
    "source": "SMAP L3 passive and NLDAS-2 (NASA, public domain), as compiled in the public "
    "repository mhpi/hydroDL, example/data/CONUSv4f1",
    "references": "Tsai et al. 2021, doi:10.1038/s41467-021-26107-z; Fang et al. 2017, "
    "doi:10.1002/2017GL075619",
}


def assemble(files: Mapping[str, Path]) -> xr.Dataset:
    """Return the Dataset that raw files make.

    Parameters
    ----------
    files : mapping of str to Path
        Path in the source repository to the file on disk.

    Returns
    -------
    Dataset
        Forcings and soil moisture over (time, y, x), attributes over (y, x), in EPSG:6933; NaN
        where there is no cell.
    """
    place = np.loadtxt(files[f"{_FOLDER}/crd.csv"], delimiter=",", ndmin=2)
    rows, columns, coords = _grid(place)
    shape = (coords["y"].size, coords["x"].size)
    time = np.concatenate([_times(files[f"{_FOLDER}/{year}/timeStr.csv"]) for year in _YEARS])
    ds = xr.Dataset(coords={"time": time, **coords}, attrs=_ATTRS)
    for file, (name, factor, units, standard_name, long_name) in _SERIES.items():
        parts = [_table(files[f"{_FOLDER}/{year}/{file}.csv"]) for year in _YEARS]
        values = np.full((time.size, *shape), np.nan, "f4")
        values[:, rows, columns] = np.concatenate(parts, axis=1).T * factor
        attrs = {"units": units, "standard_name": standard_name, "long_name": long_name}
        ds[name] = (("time", "y", "x"), values, attrs)
    for file, (name, units_or_none, long_name) in _CONSTANTS.items():
        values = np.full(shape, np.nan, "f4")
        values[rows, columns] = _table(files[f"{_FOLDER}/const/{file}.csv"])[:, 0]
        attrs = {"long_name": long_name} | ({"units": units_or_none} if units_or_none else {})
        ds[name] = (("y", "x"), values, attrs)
    ds["ndvi"].attrs["standard_name"] = "normalized_difference_vegetation_index"
    ds["landcover"].attrs |= {
        "flag_values": np.arange(17, dtype="f4"),
        "flag_meanings": _LANDCOVER,
    }
    return with_grid(ds, CRS.from_epsg(_CRS))


def _table(path: Path) -> NDArray[np.float64]:
    values = np.loadtxt(path, delimiter=",", ndmin=2)
    return np.where(values == _MISSING, np.nan, values)


def _times(path: Path) -> NDArray[np.datetime64]:
    return np.array(path.read_text(encoding="utf-8").split(), dtype="M8[ns]")


def _grid(place: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp], dict[str, Any]]:
    """Return row and column of each cell, and the coordinates of the regular grid they lie on."""
    transformer = Transformer.from_crs(4326, _CRS, always_xy=True)
    x, y = transformer.transform(place[:, 1], place[:, 0])
    column = np.rint((x - _CORNER[0]) / _CELL - 0.5).astype(int)
    row = np.rint((_CORNER[1] - y) / _CELL - 0.5).astype(int)
    all_columns = np.arange(column.min(), column.max() + 1, _EVERY)
    all_rows = np.arange(row.min(), row.max() + 1, _EVERY)
    xs = _CORNER[0] + _CELL * (all_columns + 0.5)
    ys = _CORNER[1] - _CELL * (all_rows + 0.5)
    longitude, _ = transformer.transform(xs, np.zeros(xs.size), direction="INVERSE")
    _, latitude = transformer.transform(np.zeros(ys.size), ys, direction="INVERSE")
    coords = {"y": ys, "x": xs, "lat": ("y", latitude), "lon": ("x", longitude)}
    return (row - row.min()) // _EVERY, (column - column.min()) // _EVERY, coords
