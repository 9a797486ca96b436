"""What xdpl knows of the quantities of hydrology: names, units, limits and usual magnitudes.

A forcing or output that is none of these is still recognised by its own standard name, names and
units; only its values are then taken on trust.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

from ..units import conversion, convertible

__all__ = ["PROPERTIES", "QUANTITIES", "Quantity", "limits", "names_of", "quantity_of"]


class Declared(Protocol):
    """What forcings and outputs have in common."""

    @property
    def units(self) -> str: ...
    @property
    def standard_name(self) -> str | None: ...
    @property
    def names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Quantity:
    """One physical quantity, whatever a file calls it.

    Parameters
    ----------
    units : str
        The units of the figures below.
    possible : (float, float)
        Lowest and highest value that can occur; others are treated as missing.
    usual : (float, float)
        Where the middle of many values lies; outside, the units must be wrong.
    standard_names : tuple of str
        CF standard names, the best first.
    names : tuple of str
        Usual variable names.
    alternatives : tuple of str
        Units with which values of this quantity are found, to guess the right one.
    skip_zeros : bool
        The middle is that of the values above zero: most days are dry.
    rounding : float
        Values this far below the lowest possible one are set to it: rounding, dew, or the offset
        of a radiometer at night.
    """

    units: str
    possible: tuple[float, float]
    usual: tuple[float, float]
    standard_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    skip_zeros: bool = False
    rounding: float = 0.0


_WATER_RATES = ("mm day-1", "kg m-2 s-1", "mm h-1", "m s-1", "m day-1", "inch day-1")

QUANTITIES: dict[str, Quantity] = {
    "precipitation": Quantity(
        "mm day-1",
        (0.0, 2000.0),
        (0.02, 150.0),
        (
            "lwe_precipitation_rate",
            "precipitation_flux",
            "lwe_thickness_of_precipitation_amount",
            "precipitation_amount",
        ),
        ("precipitation", "prcp", "pr", "precip", "ppt", "tp", "total_precipitation", "rr"),
        _WATER_RATES,
        skip_zeros=True,
        rounding=0.01,
    ),
    "rainfall": Quantity(
        "mm day-1",
        (0.0, 2000.0),
        (0.02, 150.0),
        ("rainfall_flux", "rainfall_rate", "lwe_rainfall_rate"),
        ("rainfall", "rainf", "rain"),
        _WATER_RATES,
        skip_zeros=True,
        rounding=0.01,
    ),
    "snowfall": Quantity(
        "mm day-1",
        (0.0, 2000.0),
        (0.0, 150.0),
        ("snowfall_flux", "lwe_snowfall_rate"),
        ("snowfall", "snowf", "prsn"),
        _WATER_RATES,
        skip_zeros=True,
        rounding=0.01,
    ),
    "air temperature": Quantity(
        "degC",
        (-90.0, 60.0),
        (-60.0, 45.0),
        ("air_temperature",),
        ("temperature", "tas", "tair", "t2m", "tmean", "tavg", "temp"),
        ("degC", "K", "degF"),
    ),
    "maximum temperature": Quantity(
        "degC",
        (-90.0, 65.0),
        (-60.0, 55.0),
        (),
        ("tasmax", "tmax", "t_max", "tx", "mx2t", "t2m_max", "temperature_max", "tairmax"),
        ("degC", "K", "degF"),
    ),
    "minimum temperature": Quantity(
        "degC",
        (-95.0, 60.0),
        (-65.0, 45.0),
        (),
        ("tasmin", "tmin", "t_min", "tn", "mn2t", "t2m_min", "temperature_min", "tairmin"),
        ("degC", "K", "degF"),
    ),
    "potential evaporation": Quantity(
        "mm day-1",
        (0.0, 50.0),
        (0.005, 25.0),
        (
            "water_potential_evaporation_flux",
            "water_potential_evapotranspiration_flux",
            "lwe_water_potential_evaporation_rate",
            "water_potential_evaporation_amount",
        ),
        ("potential_evaporation", "pet", "evspsblpot", "pev", "etp", "eto", "potevap"),
        _WATER_RATES,
        skip_zeros=True,
        rounding=5.0,
    ),
    "shortwave radiation": Quantity(
        "W m-2",
        (0.0, 1600.0),
        (0.5, 1000.0),
        ("surface_downwelling_shortwave_flux_in_air", "surface_downwelling_shortwave_flux"),
        ("rsds", "srad", "ssrd", "swdown", "dswrf", "solar_radiation", "swin"),
        ("W m-2", "MJ m-2 day-1"),
        skip_zeros=True,
        rounding=20.0,
    ),
    "longwave radiation": Quantity(
        "W m-2",
        (20.0, 800.0),
        (60.0, 600.0),
        ("surface_downwelling_longwave_flux_in_air", "surface_downwelling_longwave_flux"),
        ("rlds", "strd", "lwdown", "dlwrf", "lwin"),
        ("W m-2", "MJ m-2 day-1"),
    ),
    "net radiation": Quantity(
        "W m-2",
        (-300.0, 1300.0),
        (-200.0, 700.0),
        ("surface_net_downward_radiative_flux",),
        ("net_radiation", "rnet"),
        ("W m-2", "MJ m-2 day-1"),
    ),
    "streamflow": Quantity(
        "mm day-1",
        (0.0, 5000.0),
        (0.0, 300.0),
        (
            "runoff_flux",
            "runoff_amount",
            "lwe_runoff_rate",
            "water_volume_transport_in_river_channel",
        ),
        (
            "streamflow",
            "qobs",
            "q_obs",
            "discharge",
            "runoff",
            "q",
            "flow",
            "mrro",
            "qsim",
            "dis",
            "discharge_spec",
            "discharge_vol",
            "dis24",
            "flow_cfs",
            "flow_cms",
        ),
        _WATER_RATES,
    ),
    "evaporation": Quantity(
        "mm day-1",
        (0.0, 50.0),
        (0.0, 25.0),
        (
            "lwe_water_evaporation_rate",
            "water_evapotranspiration_flux",
            "water_evaporation_flux",
            "water_evaporation_amount",
        ),
        ("evapotranspiration", "actual_evapotranspiration", "aet", "evspsbl"),
        _WATER_RATES,
        rounding=5.0,
    ),
    "soil moisture": Quantity(
        "1",
        (0.0, 1.0),
        (0.005, 1.0),
        ("volume_fraction_of_condensed_water_in_soil", "volume_fraction_of_water_in_soil"),
        ("smap", "soil_moisture", "sm", "ssm", "surface_soil_moisture", "swvl1"),
        ("m3 m-3", "percent"),
    ),
}

PROPERTIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "elevation": (("surface_altitude",), ("elevation", "elev", "altitude", "dem")),
    # by standard name alone: in some files, "albedo" is the scattering albedo of microwaves
    "albedo": (("surface_albedo",), ()),
    "area": (
        ("area", "drainage_area"),
        (
            "area",
            "basin_area",
            "catchment_area",
            "drainage_area",
            "area_gages2",
            "area_geospa_fabric",
            "area_calc",
            "area_km2",
            "drain_sqkm",
            "drain_area",
            "drainage_area_km2",
            "drain_area_va",
            "shape_area",
            "upstream_area",
            "uparea",
            "upa",
        ),
    ),
    "upstream area": (
        ("drainage_area",),
        ("upstream_area", "uparea", "upa", "drainage_area", "drain_area", "catchment_area"),
    ),
}
"""Standard names and usual names of static properties, the best first."""


def names_of(key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Standard names and usual names of a property of the cells or a quantity."""
    if key in PROPERTIES:
        return PROPERTIES[key]
    return QUANTITIES[key].standard_names, QUANTITIES[key].names


def quantity_of(name: str, declared: Declared) -> str | None:
    """Name of the quantity that a model's forcing or output is, if it is one of the known.

    By standard name where one is declared, else by name; the units have to agree.
    """
    for key, quantity in QUANTITIES.items():
        if declared.standard_name is not None:
            same = declared.standard_name in quantity.standard_names
        else:
            usual = {n.lower() for n in quantity.names}
            same = name.lower() in usual or any(n.lower() in usual for n in declared.names)
        if same and convertible(quantity.units, declared.units):
            return key
    return None


@functools.cache
def limits(key: str, units: str) -> tuple[float, float, float]:
    """Lowest and highest possible value and the rounding, in the units given."""
    quantity = QUANTITIES[key]
    scale, offset = conversion(quantity.units, units)
    low, high = (edge * scale + offset for edge in quantity.possible)
    return low, high, quantity.rounding * abs(scale)
