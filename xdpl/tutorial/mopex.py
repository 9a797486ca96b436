"""MOPEX basins in the United States: from the raw text files to a Dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["assemble"]

_SQUARE_MILE = 2.589988110336  # km2
_FEATURES = "Basin_characteristics"
_HYDRAULIC = f"{_FEATURES}/Noah Soils Properties/HYD_PROP.438"
_EVAPORATION = f"{_FEATURES}/PE Climate Normals/PE_CLIM.438"
_SOIL = f"{_FEATURES}/Soils/S0_100.438"
_VEGETATION = f"{_FEATURES}/Vegetation/IGBPTABP.438"
_GREENNESS = f"{_FEATURES}/Greenness_fraction/GFRAC438.MON"
_INDICES = f"{_FEATURES}/Basin_indices.txt"

_SERIES = {
    # name: units, standard_name, cell_methods, long_name, lowest, highest
    "prcp": (
        "mm day-1",
        "lwe_precipitation_rate",
        "",
        "mean areal precipitation",
        0.0,
        np.inf,
    ),
    "pet": (
        "kg m-2 day-1",
        "water_potential_evaporation_flux",
        "",
        "climatological potential evaporation (NOAA Evaporation Atlas)",
        0.0,
        np.inf,
    ),
    "qobs": ("mm day-1", "", "", "observed streamflow as depth over the basin", 0.0, np.inf),
    "tasmax": (
        "degC",
        "air_temperature",
        "time: maximum",
        "daily maximum air temperature",
        -60.0,
        60.0,
    ),
    "tasmin": (
        "degC",
        "air_temperature",
        "time: minimum",
        "daily minimum air temperature",
        -60.0,
        60.0,
    ),
}

_ATTRS = {
    "Conventions": "CF-1.11",
    "featureType": "timeSeries",
    "title": "MOPEX daily hydrometeorology and basin characteristics, continental United States",
    "source": "NOAA NWS MOPEX US data set (public domain), as kept in the public repository "
    "feng-ecohydro/MOPEX",
    "references": "Schaake et al. 2006, IAHS Publ. 307",
}

_Table = dict[str, NDArray[np.float64]]


def assemble(files: Mapping[str, Path]) -> xr.Dataset:
    """Return the Dataset that raw files make.

    Parameters
    ----------
    files : mapping of str to Path
        Path in the source repository to the file on disk.

    Returns
    -------
    Dataset
        Daily series over (basin, time), missing values as NaN, and attributes over basin. What
        derives from streamflow, such as the runoff ratio, is left out: it would tell the answer.
    """
    daily = {Path(name).stem: path for name, path in files.items() if name.endswith(".dly")}
    basins = sorted(daily)
    records = {basin: _read_daily(daily[basin]) for basin in basins}
    first = min(times[0] for times, _ in records.values())
    last = max(times[-1] for times, _ in records.values())
    time = np.arange(first, last + np.timedelta64(1, "D"))
    values = np.full((len(_SERIES), len(basins), time.size), np.nan, "f4")
    for row, basin in enumerate(basins):
        times, columns = records[basin]
        values[:, row, (times - first).astype(int)] = columns
    climate = _read_table(files[_EVAPORATION], 15)
    place = {
        "lon": ("basin", _column(climate, basins, 0), _east()),
        "lat": ("basin", _column(climate, basins, 1), _north()),
    }
    coords = {"basin": basins, "time": time.astype("M8[ns]"), **place}
    ds = xr.Dataset(coords=coords, attrs=_ATTRS)
    for (name, about), series in zip(_SERIES.items(), values, strict=True):
        ds[name] = (("basin", "time"), series, _series_attrs(about))
    for name, (units, long_name, numbers) in _characteristics(ds, files, basins).items():
        ds[name] = ("basin", numbers.astype("f4"), {"units": units, "long_name": long_name})
    return ds


def _series_attrs(about: tuple[str, str, str, str, float, float]) -> dict[str, str]:
    units, standard_name, cell_methods, long_name, _, _ = about
    attrs = {
        "units": units,
        "standard_name": standard_name,
        "cell_methods": cell_methods,
        "long_name": long_name,
    }
    return {key: value for key, value in attrs.items() if value}


def _east() -> dict[str, str]:
    return {"units": "degrees_east", "standard_name": "longitude"}


def _north() -> dict[str, str]:
    return {"units": "degrees_north", "standard_name": "latitude"}


def _read_daily(path: Path) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return days and the five columns (column, time) of one basin; impossible values as NaN."""
    lines = [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    dates = [f"{line[:4]}-{int(line[4:6]):02}-{int(line[6:8]):02}" for line in lines]
    columns = np.array([[float(line[at : at + 10]) for at in range(8, 58, 10)] for line in lines]).T
    for column, (*_, low, high) in zip(columns, _SERIES.values(), strict=True):
        column[(column < low) | (column > high)] = np.nan  # -99 is missing
    return np.array(dates, dtype="M8[D]"), columns


def _read_table(path: Path, width: int, separator: str | None = None) -> _Table:
    """Return the last numbers of each gauge's line, which begins with its id of 8 digits."""
    table = {}
    for line in path.read_text(encoding="ascii").splitlines():
        parts = [part.strip() for part in line.split(separator)]
        if parts and parts[0].isdigit():
            table[parts[0].zfill(8)] = np.array([float(part) for part in parts[1:][-width:]])
    return table


def _column(table: _Table, basins: list[str], position: int | slice) -> NDArray[np.float64]:
    """Return one number a basin: of a column, or the sum of several; NaN where it isn't listed."""
    return np.array(
        [np.sum(table[basin][position]) if basin in table else np.nan for basin in basins]
    )


def _characteristics(
    ds: xr.Dataset, files: Mapping[str, Path], basins: list[str]
) -> dict[str, tuple[str, str, NDArray[np.float64]]]:
    climate = _read_table(files[_EVAPORATION], 15)
    green = _read_table(files[_GREENNESS], 12)
    hydraulic = _read_table(files[_HYDRAULIC], 6)
    soil = _read_table(files[_SOIL], 16)
    cover = _read_table(files[_VEGETATION], 17)
    indices = _read_table(files[_INDICES], 5, ",")
    months = slice(3, 15)  # after longitude, latitude and area
    evaporation = _column(climate, basins, months)
    evaporation[evaporation < 0] = np.nan
    rain = ds["prcp"].sel(time=slice("1970", "1980")).mean("time").values * 365.25
    greatest = np.array([green[b].max() if b in green else np.nan for b in basins])

    def of_soil(text: str, *classes: slice) -> tuple[str, str, NDArray[np.float64]]:
        return "1", text, np.sum([_column(soil, basins, c) for c in classes], axis=0)

    def of_cover(text: str, *classes: slice) -> tuple[str, str, NDArray[np.float64]]:
        return "1", text, np.sum([_column(cover, basins, c) for c in classes], axis=0)

    def of_hydraulics(units: str, text: str, at: int) -> tuple[str, str, NDArray[np.float64]]:
        return units, text, _column(hydraulic, basins, at)

    return {
        "area": ("km2", "basin area", _column(climate, basins, 2) * _SQUARE_MILE),
        "pet_annual": (
            "mm year-1",
            "mean annual potential evaporation (Evaporation Atlas)",
            evaporation,
        ),
        "greenness_mean": (
            "percent",
            "mean of monthly greenness fraction",
            _column(green, basins, slice(None)) / 12,
        ),
        "greenness_max": ("percent", "maximum of monthly greenness fraction", greatest),
        "porosity": of_hydraulics("1", "soil porosity", 0),
        "field_capacity": of_hydraulics("1", "upper limit of unsaturated soil water content", 1),
        "wilting_point": of_hydraulics("1", "soil water content at wilting point", 2),
        "retention_slope": of_hydraulics("1", "slope of the soil water retention curve", 3),
        "k_sat": of_hydraulics("m s-1", "saturated hydraulic conductivity", 5),
        "sand_fraction": of_soil(
            "fraction of basin with sand, loamy sand or sandy loam, 0-100 cm", slice(0, 3)
        ),
        "clay_fraction": of_soil(
            "fraction with clay loam, sandy clay, silty clay or clay, 0-100 cm", slice(8, 12)
        ),
        "rock_fraction": of_soil("fraction with bedrock, 0-100 cm", slice(14, 15)),
        "organic_fraction": of_soil("fraction with organic material, 0-100 cm", slice(12, 13)),
        "forest_fraction": of_cover("IGBP forest classes", slice(0, 5)),
        "shrub_fraction": of_cover("IGBP shrubland classes", slice(5, 7)),
        "grass_fraction": of_cover("IGBP savanna and grassland classes", slice(7, 10)),
        "crop_fraction": of_cover("IGBP cropland classes", slice(11, 12), slice(13, 14)),
        "snow_fraction": (
            "1",
            "fraction of precipitation falling as snow",
            _column(indices, basins, 3),
        ),
        "temperature_mean": ("degC", "mean daily air temperature", _column(indices, basins, 4)),
        "precipitation_annual": ("mm year-1", "mean annual precipitation, 1970-1980", rain),
        "aridity": (
            "1",
            "mean annual potential evaporation over precipitation",
            evaporation / rain,
        ),
    }
