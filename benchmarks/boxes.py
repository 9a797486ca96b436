"""Models that others wrote, as black boxes: a Rust library, a BMI component, an executable.

Each is used as it comes from its package: ``pip install hydrogr``, ``pip install HBV``, and
``pip install raven-hydro`` (which compiles the program ``raven``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

import xdpl
from xdpl import Parameter
from xdpl.blackbox import BMI, Forcings
from xdpl.models import GR4J, HBV

PRECIPITATION = GR4J().forcings["precipitation"]
EVAPORATION = GR4J().forcings["potential_evaporation"]
STREAMFLOW = GR4J().outputs["streamflow"]


class HydroGR4J(xdpl.BlackBox):
    """GR4J of the package hydrogr, written in Rust; bounds as of this library's own GR4J."""

    precipitation = PRECIPITATION
    potential_evaporation = EVAPORATION
    X1 = GR4J.production_store_capacity
    X2 = GR4J.exchange_coefficient
    X3 = GR4J.routing_store_capacity
    X4 = GR4J.unit_hydrograph_time
    streamflow = STREAMFLOW

    def run(self, forcings: Forcings, parameters: Mapping[str, float]) -> dict[str, Any]:
        from hydrogr import ModelGr4j

        weather = pd.DataFrame(
            {
                "precipitation": forcings["precipitation"],
                "evapotranspiration": forcings["potential_evaporation"],
            },
            index=forcings.time,
        )
        return {"streamflow": ModelGr4j(dict(parameters)).run(weather)["flow"].to_numpy()}


def bmi_hbv() -> BMI:
    """HBV of the package HBV (eWaterCycle): files of weather, a configuration, nine parameters."""
    from HBV import HBV as Component

    parameters = {
        "Imax": Parameter("mm", bounds=(0.5, 8.0)),
        "Ce": Parameter("1", bounds=(0.2, 1.0)),
        "Sumax": Parameter("mm", bounds=(40.0, 800.0), scale="log"),
        "Beta": Parameter("1", bounds=(0.5, 4.0)),
        "Pmax": Parameter("mm day-1", bounds=(0.001, 3.0)),
        "Tlag": Parameter("day", bounds=(1.0, 10.0)),
        "Kf": Parameter("day-1", bounds=(0.01, 0.8), scale="log"),
        "Ks": Parameter("day-1", bounds=(0.0001, 0.1), scale="log"),
        "FM": Parameter("mm K-1 day-1", bounds=(0.5, 6.0)),
    }
    config = (
        '{{"precipitation_file": "{folder}/weather.nc", '
        '"potential_evaporation_file": "{folder}/weather.nc", '
        '"mean_temperature_file": "{folder}/weather.nc", '
        '"parameters": "' + ",".join(f"{{{name}}}" for name in parameters) + '", '
        '"initial_storage": "0,100,0,5,0"}}'
    )
    return BMI(
        Component,
        name="HBV-bmi",
        forcings=HBV().forcings,
        parameters=parameters,
        outputs={"streamflow": STREAMFLOW},
        config="config.json",
        files={"config.json": config, "weather.nc": _weather},
        variables={"streamflow": "Q"},
    )


def _weather(path: Any, forcings: Forcings, parameters: Mapping[str, float]) -> None:
    """Write what the component reads, under the names that it wants."""
    names = {"precipitation": "pr", "potential_evaporation": "evspsblpot", "temperature": "tas"}
    forcings.to_dataset().rename(names).to_netcdf(path)
