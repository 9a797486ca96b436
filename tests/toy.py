"""A model of two parameters and Datasets made for it: what many tests learn from in a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  registers ds.rio
import torch
import xarray as xr

from xdpl import Forcing, Output, Parameter, State, StepModel


@dataclass(frozen=True)
class Bucket(StepModel):
    """One storage that rain fills, and that evaporation and a linear outlet empty."""

    precipitation = Forcing(
        "mm day-1", standard_name="lwe_precipitation_rate", names=("prcp", "pr", "precipitation")
    )
    potential_evaporation = Forcing("mm day-1", names=("pet", "potential_evaporation"))
    recession = Parameter("day-1", bounds=(0.01, 0.9), scale="log", long_name="recession")
    evaporation_factor = Parameter("1", bounds=(0.2, 1.5), long_name="share of potential")
    storage = State("mm", initial=20.0)
    streamflow = Output("mm day-1", long_name="streamflow", names=("streamflow", "qobs"))
    water = Output("mm", long_name="water stored")

    timesteps = (1 / 24, 1.0)

    def step(self, forcing, state, parameter, dt):
        """Fill, evaporate, drain."""
        full = state.storage + forcing.precipitation * dt
        demand = parameter.evaporation_factor * forcing.potential_evaporation * dt
        evaporated = torch.minimum(demand, 0.5 * full)
        left = full - evaporated
        out = (1 - (1 - parameter.recession) ** dt) * left
        return {"storage": left - out}, {"streamflow": out / dt, "water": left - out}


def truth(elevation: np.ndarray, forest: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters that follow from the attributes."""
    return {
        "recession": np.exp(-3 + 0.001 * elevation),
        "evaporation_factor": 0.4 + 0.8 * forest,
    }


def grid(ny: int = 5, nx: int = 6, days: int = 800, seed: int = 0) -> xr.Dataset:
    """A grid in EPSG:6933 with forcings, two attributes and the Bucket's own streamflow."""
    draw = np.random.default_rng(seed)
    time = pd.date_range("2000-01-01", periods=days)
    shape = (days, ny, nx)
    rain = np.where(draw.random(shape) < 0.3, draw.gamma(1.0, 8.0, shape), 0.0)
    season = 3 + 2 * np.sin(2 * np.pi * (np.arange(days) - 100) / 365.25)
    pet = np.broadcast_to(season[:, None, None], shape) * (0.8 + 0.4 * draw.random((1, ny, nx)))
    elevation = draw.uniform(0, 2000, (ny, nx))
    forest = draw.uniform(0, 1, (ny, nx))
    parameter = truth(elevation, forest)
    flows, _ = Bucket().simulate(
        {
            "precipitation": torch.tensor(rain.reshape(days, -1)),
            "potential_evaporation": torch.tensor(pet.reshape(days, -1)),
        },
        {name: torch.tensor(value.reshape(-1, 1)) for name, value in parameter.items()},
        engine="eager",
    )
    space = ("time", "y", "x")
    ds = xr.Dataset(
        {
            "prcp": (space, rain.astype("f4"), {"units": "mm day-1"}),
            "pet": (space, pet.astype("f4"), {"units": "mm day-1"}),
            "qobs": (
                space,
                flows["streamflow"].numpy().reshape(shape).astype("f4"),
                {"units": "mm day-1", "long_name": "streamflow"},
            ),
            "elevation": (("y", "x"), elevation.astype("f4"), {"units": "m"}),
            "forest": (("y", "x"), forest.astype("f4"), {"units": "1"}),
        },
        coords={
            "time": time,
            "y": ("y", 5e6 - 36e3 * np.arange(ny), {"units": "m", "axis": "Y"}),
            "x": ("x", -9e6 + 36e3 * np.arange(nx), {"units": "m", "axis": "X"}),
        },
    )
    ds["prcp"].attrs["standard_name"] = "lwe_precipitation_rate"
    ds["y"].attrs["standard_name"] = "projection_y_coordinate"
    ds["x"].attrs["standard_name"] = "projection_x_coordinate"
    return ds.rio.write_crs("EPSG:6933")


def basins(count: int = 12, days: int = 800) -> xr.Dataset:
    """The same as basins with identifiers, longitudes and latitudes."""
    ds = grid(1, count, days).isel(y=0, drop=True).drop_vars("spatial_ref").rename(x="basin")
    for variable in ds.variables.values():
        variable.attrs.pop("grid_mapping", None)
        variable.encoding.pop("grid_mapping", None)
    ds["basin"] = ("basin", [f"{i:08d}" for i in range(count)])
    return ds.assign_coords(
        lat=("basin", np.linspace(30, 45, count), {"units": "degrees_north"}),
        lon=("basin", np.linspace(-110, -80, count), {"units": "degrees_east"}),
    )


QUICK = {"model": Bucket(), "epochs": 3, "batch_size": 16, "progress": False, "learning_rate": 0.01}
"""Keywords of a fit that takes a second."""
