"""Weather that nobody observed: daily, plausible, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Series", "smooth_fields", "weather"]

_DAYS_A_YEAR = 365.25
_LATENT_HEAT = 2.45  # MJ kg-1
_SOLAR_CONSTANT = 118.1  # MJ m-2 day-1


@dataclass(frozen=True)
class Series:
    """A daily variable with its CF attributes.

    Parameters
    ----------
    values : array (time, cell)
    units, standard_name, long_name : str
    names : tuple of str
        What a model may call it.
    """

    values: NDArray[np.float64]
    units: str
    standard_name: str
    long_name: str
    names: tuple[str, ...]


def smooth_fields(
    x: NDArray[np.float64], y: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return fields that vary smoothly in space, with mean 0 and variance 1.

    Each is a sum of plane waves with random directions and phases, so that any set of points has
    values.

    Parameters
    ----------
    x, y : array (cell,)
        Place of each cell, from 0 to 1.
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    array (count, cell)
    """
    waves = 8
    cycles = rng.uniform(0.4, 2.0, (count, waves, 1))
    angle, phase = rng.uniform(0, 2 * np.pi, (2, count, waves, 1))
    along = x * np.cos(angle) + y * np.sin(angle)
    fields = np.sum(np.cos(2 * np.pi * cycles * along + phase) / cycles, axis=1)
    spread = fields.std(axis=1, keepdims=True)
    return (fields - fields.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)


def weather(
    days: int,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    latitude: NDArray[np.float64],
    elevation: NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[str, Series]:
    """Return daily weather of a temperate climate with snow in winter.

    Days are wet or dry by a Markov chain for the whole region; amounts are gamma distributed and
    vary smoothly in space and with elevation. Temperature has a season, persistence and a lapse
    rate of 6.5 K per km. Potential evaporation follows Oudin et al. 2005
    (doi:10.1016/j.jhydrol.2004.08.026) from temperature and extraterrestrial radiation.

    Parameters
    ----------
    days : int
        From 1 January on.
    x, y : array (cell,)
        Place of each cell, from 0 to 1.
    latitude : array (cell,)
        In degrees.
    elevation : array (cell,)
        In m.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to Series (time, cell)
        ``prcp``, ``tas``, ``pet``, ``rsds``.
    """
    day = np.arange(days)
    wet = _wet_days(days, rng)
    precipitation = _precipitation(wet, day, x, y, elevation, rng)
    temperature = _temperature(wet, day, latitude, elevation, rng)
    radiation = _extraterrestrial_radiation(day, latitude)
    potential = radiation / _LATENT_HEAT * np.maximum(temperature + 5, 0) / 100
    cloud = np.where(wet, rng.uniform(0.3, 0.6, days), rng.uniform(0.6, 0.78, days))
    shortwave = radiation * cloud[:, None] * 1e6 / 86400
    return {
        "prcp": Series(
            precipitation,
            "mm day-1",
            "lwe_precipitation_rate",
            "precipitation",
            ("precipitation", "pr", "precip", "rainfall", "rain"),
        ),
        "tas": Series(
            temperature,
            "degC",
            "air_temperature",
            "air temperature",
            ("temperature", "air_temperature", "temp"),
        ),
        "pet": Series(
            potential,
            "kg m-2 day-1",
            "water_potential_evaporation_flux",
            "potential evaporation (Oudin)",
            ("potential_evaporation", "potential_evapotranspiration"),
        ),
        "rsds": Series(
            shortwave,
            "W m-2",
            "surface_downwelling_shortwave_flux_in_air",
            "downward shortwave radiation",
            ("radiation", "shortwave_radiation", "solar_radiation"),
        ),
    }


def _season(day: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return -1 in mid January and 1 in mid July."""
    return -np.cos(2 * np.pi * (day - 15) / _DAYS_A_YEAR)


def _wet_days(days: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    chance = rng.random(days)
    wet = np.zeros(days, bool)
    for today in range(1, days):  # a chain: each day hangs on the one before
        wet[today] = chance[today] < (0.65 if wet[today - 1] else 0.3)
    return wet


def _precipitation(
    wet: NDArray[np.bool_],
    day: NDArray[np.int_],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    elevation: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    patterns = np.exp(0.5 * smooth_fields(x, y, 6, rng))
    amounts = rng.gamma(0.7, 9.0 / 6, (day.size, 6)) * (1 + 0.25 * _season(day))[:, None]
    wetter = 1 + 0.3 * (elevation - elevation.mean()) / 1000
    rain = np.where(wet[:, None], amounts, 0) @ patterns * wetter
    return np.where(rain < 0.1, 0.0, rain)


def _temperature(
    wet: NDArray[np.bool_],
    day: NDArray[np.int_],
    latitude: NDArray[np.float64],
    elevation: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    shock = rng.normal(0, 2, day.size)
    anomaly = np.zeros(day.size)
    for today in range(1, day.size):
        anomaly[today] = 0.75 * anomaly[today - 1] + shock[today]
    region = 12 + 10 * _season(day) + anomaly - np.where(wet, 1.0, 0.0)
    place = -0.0065 * elevation - 0.6 * (latitude - latitude.mean())
    return region[:, None] + place


def _extraterrestrial_radiation(
    day: NDArray[np.int_], latitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the radiation at the top of the atmosphere in MJ m-2 day-1 (Allen et al. 1998)."""
    angle = 2 * np.pi * (day % _DAYS_A_YEAR) / _DAYS_A_YEAR
    distance = 1 + 0.033 * np.cos(angle)
    declination = 0.409 * np.sin(angle - 1.39)
    phi, delta = np.radians(latitude)[None, :], declination[:, None]
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(delta), -1, 1))
    height = sunset * np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.sin(sunset)
    return _SOLAR_CONSTANT / np.pi * distance[:, None] * height
