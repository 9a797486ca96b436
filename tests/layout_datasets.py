"""Small Datasets, and a model that only declares, for the tests of the border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from xdpl.variables import Forcing, Output

RAIN = Forcing("mm day-1", "lwe_precipitation_rate", names=("prcp", "pr", "P"))
WARMTH = Forcing("degC", "air_temperature", names=("tas", "T"))
PET = Forcing("mm day-1", "water_potential_evaporation_flux", names=("pet",))
FLOW = Output("mm day-1", names=("streamflow", "qobs"))
MOISTURE = Output("m3 m-3", "volume_fraction_of_condensed_water_in_soil", names=("SMAP", "sm"))


@dataclass(frozen=True)
class Declares:
    """What the border asks of a process model."""

    name: str
    forcings: dict[str, Forcing]
    outputs: dict[str, Output]
    timesteps: tuple[float, float] = (1.0, 1.0)


RAINY = Declares("Rainy", {"precipitation": RAIN}, {"streamflow": FLOW}, (1 / 24, 1.0))
WARM = Declares("Warm", {"precipitation": RAIN, "temperature": WARMTH}, {"streamflow": FLOW})
FULL = Declares(
    "Full",
    {"precipitation": RAIN, "temperature": WARMTH, "potential_evaporation": PET},
    {"streamflow": FLOW, "soil_moisture": MOISTURE},
)
SOIL = Declares("Soil", {"precipitation": RAIN}, {"soil_moisture": MOISTURE, "runoff": FLOW})


def basins(days: int = 60, cells: int = 4, start: str = "2001-01-01") -> xr.Dataset:
    """Basins with precipitation, temperature, potential evaporation, streamflow, attributes."""
    draw = np.random.default_rng(1)
    dims, shape = ("basin", "time"), (cells, days)

    def series(values: np.ndarray, units: str, **attrs: str) -> tuple:
        return dims, values.astype("f4"), {"units": units, **attrs}

    season = 10 * np.sin(2 * np.pi * np.arange(days) / 365.25)
    return xr.Dataset(
        {
            "prcp": series(draw.gamma(0.5, 8.0, shape), "mm day-1"),
            "tas": series(10 + season + draw.normal(0, 3, shape), "degC"),
            "pet": series(draw.uniform(1, 5, shape), "mm day-1"),
            "qobs": series(draw.gamma(1.0, 1.5, shape), "mm day-1"),
            "slope": ("basin", np.linspace(0.1, 0.4, cells), {"units": "1"}),
            "height": ("basin", np.linspace(100.0, 900.0, cells), {"units": "m"}),
        },
        coords={
            "basin": [f"{i:05d}" for i in range(7, 7 + cells)],
            "time": pd.date_range(start, periods=days),
            "lat": ("basin", np.linspace(35.0, 45.0, cells), {"standard_name": "latitude"}),
        },
    )


def grid(days: int = 40, ny: int = 3, nx: int = 4) -> xr.Dataset:
    """A latitude-longitude grid with the same variables."""
    cells = basins(days, ny * nx)
    place = pd.MultiIndex.from_product(
        [np.linspace(50.0, 48.0, ny), np.linspace(5.0, 8.0, nx)], names=["lat", "lon"]
    )
    cells = cells.drop_vars(["basin", "lat"])
    coords = xr.Coordinates.from_pandas_multiindex(place, "basin")
    ds = cells.assign_coords(coords).unstack("basin").transpose("time", "lat", "lon")
    ds["lat"].attrs.update(units="degrees_north", standard_name="latitude")
    ds["lon"].attrs.update(units="degrees_east", standard_name="longitude")
    return ds.sortby("lat", ascending=False)


def extremes(ds: xr.Dataset) -> xr.Dataset:
    """The same with daily maximum and minimum temperature in place of the mean."""
    attrs = {"units": "degC", "standard_name": "air_temperature"}
    high = (ds["tas"] + 5).assign_attrs(attrs, cell_methods="time: maximum")
    low = (ds["tas"] - 5).assign_attrs(attrs, cell_methods="time: minimum")
    return ds.assign(tasmax=high, tasmin=low).drop_vars("tas")


def radiation(ds: xr.Dataset, *, longwave: bool = True) -> xr.Dataset:
    """The same with downwelling radiation in place of potential evaporation."""
    level = xr.zeros_like(ds["tas"]).assign_attrs(units="W m-2")
    ds = ds.drop_vars("pet").assign(rsds=level + 200.0)
    ds["rsds"].attrs.update(
        units="W m-2", standard_name="surface_downwelling_shortwave_flux_in_air"
    )
    if longwave:
        ds["rlds"] = (level + 300.0).assign_attrs(
            units="W m-2", standard_name="surface_downwelling_longwave_flux_in_air"
        )
    return ds
