"""Scores of simulated against observed series, per cell."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCORES", "score"]

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
    obs = np.where(seen, obs, np.nan)
    sim = np.where(seen, sim, np.nan)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # empty cells: NaN is the answer
        error = sim - obs
        bias = np.nanmean(error, axis=0)
        mse = np.nanmean(error**2, axis=0)
        sim_mean, obs_mean = np.nanmean(sim, axis=0), np.nanmean(obs, axis=0)
        sim_var, obs_var = np.nanvar(sim, axis=0), np.nanvar(obs, axis=0)
        covariance = np.nanmean((sim - sim_mean) * (obs - obs_mean), axis=0)
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
