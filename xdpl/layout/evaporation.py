"""Potential evaporation where the data have none: Priestley-Taylor, Hargreaves and Oudin.

Radiation of the atmosphere and the psychrometrics follow Allen et al. (1998), FAO Irrigation and
Drainage Paper 56, whose equation numbers are given. All arrays broadcast as (time, cell);
temperatures in degC, radiation in W m-2, latitude in degrees, elevation in m.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["extraterrestrial_radiation", "hargreaves", "net_radiation", "oudin", "priestley_taylor"]

Array = NDArray[np.float64]

ALBEDO = 0.23
"""Albedo of the grass reference surface (Allen et al. 1998, eq. 38)."""
ALPHA = 1.26
"""Coefficient of Priestley and Taylor (1972)."""
STEFAN_BOLTZMANN = 5.670374419e-8
SOLAR_CONSTANT = 1367.0
LATENT_HEAT = 2.45e6
"""Latent heat of vaporisation in J kg-1 (Allen et al. 1998, eq. 8)."""
KELVIN = 273.15
SECONDS_A_DAY = 86400.0
W_TO_MM = SECONDS_A_DAY / LATENT_HEAT


def extraterrestrial_radiation(day_of_year: Array, latitude: Array) -> Array:
    """Daily mean radiation at the top of the atmosphere in W m-2.

    Parameters
    ----------
    day_of_year : array (time,)
        1 to 366.
    latitude : array (cell,)
        In degrees, north positive.

    Notes
    -----
    Allen et al. (1998), eqs. 21 to 25.
    """
    angle = 2 * np.pi * np.asarray(day_of_year, dtype=float)[:, None] / 365.0
    phi = np.deg2rad(np.asarray(latitude, dtype=float))[None, :]
    distance = 1 + 0.033 * np.cos(angle)
    declination = 0.409 * np.sin(angle - 1.39)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    geometry = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(
        declination
    ) * np.sin(sunset)
    return np.maximum(SOLAR_CONSTANT / np.pi * distance * geometry, 0.0)


def net_radiation(
    shortwave: Array,
    temperature: Array,
    *,
    longwave: Array | None = None,
    top: Array | None = None,
    albedo: Array | float = ALBEDO,
    elevation: Array | float = 0.0,
) -> Array:
    """Net radiation of the surface in W m-2.

    Parameters
    ----------
    shortwave : array (time, cell)
        Downwelling shortwave radiation.
    temperature : array (time, cell)
        Air temperature, taken for that of the surface.
    longwave : array (time, cell), optional
        Downwelling longwave radiation. Without it the net longwave radiation of the clear sky
        (Idso & Jackson 1969, doi:10.1029/JC074i023p05397) is reduced by the cloudiness that the
        shortwave radiation tells (Allen et al. 1998, eqs. 37 and 39), which needs ``top``.
    top : array (time, cell), optional
        Radiation at the top of the atmosphere.
    albedo, elevation : array (cell,) or float
        Of the surface.
    """
    emitted = STEFAN_BOLTZMANN * (temperature + KELVIN) ** 4
    absorbed = (1 - albedo) * shortwave
    if longwave is not None:
        return absorbed + longwave - emitted
    assert top is not None
    clear = (0.75 + 2e-5 * np.asarray(elevation)) * top
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(clear > 1.0, shortwave / clear, 0.7)  # 0.7: a usual sky in polar night
    cloudiness = 1.35 * np.clip(share, 0.3, 1.0) - 0.35
    emissivity = 0.261 * np.exp(-7.77e-4 * temperature**2)
    return absorbed - cloudiness * emissivity * emitted


def priestley_taylor(net: Array, temperature: Array, elevation: Array | float = 0.0) -> Array:
    """Potential evaporation in mm day-1 from net radiation and temperature.

    Parameters
    ----------
    net : array (time, cell)
        Net radiation in W m-2; the heat into the ground is taken as zero.
    temperature : array (time, cell)
        Air temperature in degC.
    elevation : array (cell,) or float
        In m, for the air pressure.

    Notes
    -----
    Priestley & Taylor (1972), doi:10.1175/1520-0493(1972)100<0081:OTAOSH>2.3.CO;2; slope of the
    saturation vapour pressure, psychrometric constant and pressure from Allen et al. (1998),
    eqs. 13, 8 and 7. Never negative: dew is no evaporation.
    """
    vapour = 0.6108 * np.exp(17.27 * temperature / (temperature + 237.3))
    slope = 4098 * vapour / (temperature + 237.3) ** 2
    pressure = 101.3 * ((293 - 0.0065 * np.asarray(elevation, dtype=float)) / 293) ** 5.26
    psychrometric = 0.665e-3 * pressure
    evaporation = ALPHA * slope / (slope + psychrometric) * net * W_TO_MM
    return np.maximum(evaporation, 0.0)


def hargreaves(maximum: Array, minimum: Array, top: Array) -> Array:
    """Potential evaporation in mm day-1 from the daily range of temperature.

    Parameters
    ----------
    maximum, minimum : array (time, cell)
        Daily extremes of air temperature in degC.
    top : array (time, cell)
        Radiation at the top of the atmosphere in W m-2.

    Notes
    -----
    Hargreaves & Samani (1985), doi:10.13031/2013.26773.
    """
    span = np.maximum(maximum - minimum, 0.0)
    mean = (maximum + minimum) / 2
    return np.maximum(0.0023 * (mean + 17.8) * np.sqrt(span) * top * W_TO_MM, 0.0)


def oudin(temperature: Array, top: Array) -> Array:
    """Potential evaporation in mm day-1 from daily mean temperature alone.

    Parameters
    ----------
    temperature : array (time, cell)
        Daily mean air temperature in degC.
    top : array (time, cell)
        Radiation at the top of the atmosphere in W m-2.

    Notes
    -----
    Oudin et al. (2005), doi:10.1016/j.jhydrol.2004.08.026, eq. 3 with K1 = 100 and K2 = 5 degC:
    zero at and below -5 degC.
    """
    return np.maximum((temperature + 5.0) / 100.0 * top * W_TO_MM, 0.0)
