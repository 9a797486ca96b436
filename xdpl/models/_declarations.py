"""Forcings and outputs that several models share, so that a variable is recognised alike by all."""

from __future__ import annotations

from ..variables import Forcing, Output

PRECIPITATION = Forcing(
    "mm day-1",
    standard_name="lwe_precipitation_rate",
    long_name="precipitation, rain and snow",
    names=("precipitation", "prcp", "pr", "precip", "ppt", "tp", "rainfall", "rain"),
)
TEMPERATURE = Forcing(
    "degC",
    standard_name="air_temperature",
    long_name="mean air temperature of the step",
    names=("temperature", "tas", "tair", "t2m", "tmean", "tavg", "temp"),
)
POTENTIAL_EVAPORATION = Forcing(
    "mm day-1",
    standard_name="water_potential_evaporation_flux",
    long_name="potential evaporation",
    names=(
        "potential_evaporation",
        "pet",
        "PET",
        "evspsblpot",
        "pev",
        "potential_evapotranspiration",
        "etp",
        "eto",
    ),
)
# CF knows runoff and discharge, but no depth of streamflow per time: no standard_name is claimed
STREAMFLOW = Output(
    "mm day-1",
    long_name="streamflow as depth over the cell",
    names=("streamflow", "qobs", "discharge", "runoff", "q", "Q", "qsim", "flow", "mrro", "ro"),
)
EVAPOTRANSPIRATION = Output(
    "mm day-1",
    standard_name="lwe_water_evaporation_rate",
    long_name="actual evapotranspiration",
    names=("evapotranspiration", "et", "ET", "aet", "evspsbl", "evaporation"),
)
SNOW_WATER_EQUIVALENT = Output(
    "mm",
    standard_name="lwe_thickness_of_surface_snow_amount",
    long_name="water equivalent of the snow, its liquid water included",
    names=("snow_water_equivalent", "swe", "SWE", "snw", "sd"),
)
