"""Scores of simulated against observed series, per cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCORES", "median", "score"]

SCORES = ("bias", "rmse", "ubrmse", "corr", "nse", "kge", "n")
"""Names of the scores; bias, rmse and ubrmse bear the observation's units."""


def score(
    simulated: NDArray[np.floating], observed: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    """Score each cell over the times at which it was observed.

    Parameters
    ----------
    simulated, observed : array (time, ...)
        In the same units; NaN in ``observed`` where nothing was observed.

    Returns
    -------
    dict of str to array (...)
        ``bias``, ``rmse``, ``ubrmse``, ``corr``, ``nse`` (Nash & Sutcliffe 1970,
        doi:10.1016/0022-1694(70)90255-6), ``kge`` (Gupta et al. 2009,
        doi:10.1016/j.jhydrol.2009.08.003) and ``n``. NaN where undefined: without observations,
        and without variance for ``corr``, ``nse`` and ``kge``.
    """
    sim, obs = np.asarray(simulated, "f8"), np.asarray(observed, "f8")
    seen = np.isfinite(obs) & np.isfinite(sim)
    n = seen.sum(0)
    # a gap in the simulation is no reason to score the rest as if nothing had happened
    broken = (np.isfinite(obs) & ~np.isfinite(sim)).any(0)
    counted = np.where(n > 0, n, np.nan)  # empty cells: NaN is the answer

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Over what was seen; without filters of warnings, which threads can't set."""
        found: NDArray[np.float64] = np.where(seen, values, 0.0).sum(0) / counted
        return found

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = sim - obs
        bias, mse = mean(error), mean(error**2)
        sim_mean, obs_mean = mean(sim), mean(obs)
        sim_var, obs_var = mean((sim - sim_mean) ** 2), mean((obs - obs_mean) ** 2)
        covariance = mean((sim - sim_mean) * (obs - obs_mean))
        corr = np.where(
            (sim_var > 0) & (obs_var > 0), covariance / np.sqrt(sim_var * obs_var), np.nan
        )
        nse = np.where(obs_var > 0, 1 - mse / obs_var, np.nan)
        alpha, beta = np.sqrt(sim_var / obs_var), sim_mean / obs_mean
        kge = 1 - np.sqrt((corr - 1) ** 2 + (alpha - 1) ** 2 + (beta - 1) ** 2)
        ubrmse = np.sqrt(np.maximum(mse - bias**2, 0))
    scores = {
        "bias": bias,
        "rmse": np.sqrt(mse),
        "ubrmse": ubrmse,
        "corr": corr,
        "nse": nse,
        "kge": np.where(np.isfinite(kge), kge, np.nan),
    }
    scores = {name: np.where(broken, np.nan, value) for name, value in scores.items()}
    scores["n"] = n.astype("f8")
    return scores


def median(values: NDArray[np.floating]) -> float:
    """Median of the values that are not NaN; NaN, without a warning, where there are none."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else float("nan")
