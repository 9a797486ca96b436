"""Models that others wrote, as black boxes: a Rust library, a BMI component, an executable.

Each is used as it comes from its package: ``pip install hydrogr``, ``pip install HBV``, and
``pip install raven-hydro`` (which compiles the program ``raven``).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import pandas as pd

import xdpl
from xdpl import Parameter
from xdpl.blackbox import BMI, Column, CommandLine, Forcings, Table
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


RVI = """:StartDate {first:%Y-%m-%d} 00:00:00
:Duration {steps}
:TimeStep 1.0
:Method ORDERED_SERIES
:SoilModel SOIL_MULTILAYER 4
:Routing ROUTE_NONE
:CatchmentRoute ROUTE_DUMP
:Evaporation PET_DATA
:RainSnowFraction RAINSNOW_DATA
:PotentialMeltMethod POTMELT_NONE
:HydrologicProcesses
  :Precipitation PRECIP_RAVEN ATMOS_PRECIP MULTIPLE
  :OpenWaterEvaporation OPEN_WATER_EVAP PONDED_WATER ATMOSPHERE
  :Infiltration INF_GR4J PONDED_WATER MULTIPLE
  :SoilEvaporation SOILEVAP_GR4J SOIL[0] ATMOSPHERE
  :Percolation PERC_GR4J SOIL[0] SOIL[2]
  :Flush RAVEN_DEFAULT SURFACE_WATER SOIL[2]
  :Split RAVEN_DEFAULT SOIL[2] CONVOLUTION[0] CONVOLUTION[1] 0.9
  :Convolve CONVOL_GR4J_1 CONVOLUTION[0] SOIL[1]
  :Convolve CONVOL_GR4J_2 CONVOLUTION[1] SOIL[2]
  :Percolation PERC_GR4JEXCH SOIL[1] SOIL[3]
  :Percolation PERC_GR4JEXCH2 SOIL[2] SOIL[3]
  :Flush RAVEN_DEFAULT SOIL[2] SURFACE_WATER
  :Baseflow BASE_GR4J SOIL[1] SURFACE_WATER
:EndHydrologicProcesses
:SilentMode
"""

RVP = """:SoilClasses
  :Attributes
  :Units
  PRODUCTION
  ROUTING
  PASSING
  GROUND
:EndSoilClasses
:SoilProfiles
  PROFILE, 4, PRODUCTION, {X1}, ROUTING, 0.3, PASSING, 1.0, GROUND, 1.0
:EndSoilProfiles
:VegetationClasses
  :Attributes, MAX_HT, MAX_LAI, MAX_LEAF_COND
  :Units, m, none, mm_per_s
  VEGETATION, 0.0, 0.0, 0.0
:EndVegetationClasses
:LandUseClasses
  :Attributes, IMPERM, FOREST_COV
  :Units, frac, frac
  LAND, 0.0, 0.0
:EndLandUseClasses
:SoilParameterList
  :Parameters, POROSITY, GR4J_X3, GR4J_X2
  :Units, none, mm, mm/d
  [DEFAULT], 1.0, {X3}, {X2}
:EndSoilParameterList
:LandUseParameterList
  :Parameters, GR4J_X4
  :Units, d
  [DEFAULT], {X4}
:EndLandUseParameterList
"""

RVH = """:SubBasins
  :Attributes, NAME, DOWNSTREAM_ID, PROFILE, REACH_LENGTH, GAUGED
  :Units, none, none, none, km, none
  1, outlet, -1, NONE, _AUTO, 1
:EndSubBasins
:HRUs
  :Attributes, AREA, ELEVATION, LATITUDE, LONGITUDE, BASIN_ID, LAND_USE_CLASS, VEG_CLASS, \
SOIL_PROFILE, AQUIFER_PROFILE, TERRAIN_CLASS, SLOPE, ASPECT
  :Units, km2, m, deg, deg, none, none, none, none, none, none, deg, deg
  1, 86.4, 100.0, 45.0, -90.0, 1, LAND, VEGETATION, PROFILE, [NONE], [NONE], 0.0, 0.0
:EndHRUs
"""  # an area of 86.4 km2 makes 1 m3 s-1 of 1 mm day-1

RVT = """:Gauge weather
  :Latitude 45.0
  :Longitude -90.0
  :Elevation 100.0
  :MultiData
    {first:%Y-%m-%d} 00:00:00 1.0 {steps}
    :Parameters, RAINFALL, SNOWFALL, PET, TEMP_DAILY_MIN, TEMP_DAILY_MAX, TEMP_DAILY_AVE
    :Units, mm/d, mm/d, mm/d, degC, degC, degC
"""


def raven() -> CommandLine:
    """GR4J as the Raven framework builds it: an executable in C++, and its five text files."""
    program = shutil.which("raven")
    if program is None:
        raise SystemExit("there is no program raven. Install it: pip install raven-hydro")
    metres = Parameter("m", bounds=(0.02, 3.0), scale="log", long_name="production store capacity")
    return CommandLine(
        [program, "model"],
        forcings={"precipitation": PRECIPITATION, "potential_evaporation": EVAPORATION},
        parameters={"X1": metres, "X2": GR4J.exchange_coefficient,
                    "X3": GR4J.routing_store_capacity, "X4": GR4J.unit_hydrograph_time},
        outputs={"streamflow": STREAMFLOW},
        files={
            "model.rvi": RVI,
            "model.rvp": RVP,
            "model.rvh": RVH,
            "model.rvc": "",
            "model.rvt": Table(
                "{precipitation:.4f} 0 {potential_evaporation:.4f} 10 10 10",
                header=RVT,
                footer="  :EndMultiData\n:EndGauge\n",
            ),
        },
        read={"streamflow": Column("Hydrographs.csv", -1, skip=2, delimiter=",")},
        timeout=60.0,
        name="raven-GR4J",
    )  # fmt: skip
