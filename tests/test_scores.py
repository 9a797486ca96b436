"""Scores against independent formulas."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xdpl.scores import SCORES, median, score


def test_scores_of_one_cell_by_hand():
    draw = np.random.default_rng(0)
    obs = draw.gamma(2.0, size=300)
    sim = 0.8 * obs + draw.normal(size=300) * 0.2 + 0.1
    gaps = draw.random(300) < 0.4
    found = score(sim, np.where(gaps, np.nan, obs))
    s, o = sim[~gaps], obs[~gaps]
    r = np.corrcoef(s, o)[0, 1]
    expected = {
        "bias": s.mean() - o.mean(),
        "rmse": np.sqrt(((s - o) ** 2).mean()),
        "ubrmse": np.sqrt((((s - s.mean()) - (o - o.mean())) ** 2).mean()),
        "corr": r,
        "nse": 1 - ((s - o) ** 2).sum() / ((o - o.mean()) ** 2).sum(),
        "kge": 1
        - np.sqrt((r - 1) ** 2 + (s.std() / o.std() - 1) ** 2 + (s.mean() / o.mean() - 1) ** 2),
        "n": (~gaps).sum(),
    }
    assert set(found) == set(SCORES) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name


def test_undefined_scores_are_nan_and_counted():
    obs = np.array([[np.nan, 1.0, 1.0], [np.nan, 1.0, 2.0], [np.nan, 1.0, 3.0]])
    sim = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, np.nan], [1.0, 3.0, 3.0]])
    found = score(sim, obs)
    assert found["n"].tolist() == [0, 3, 2]
    assert np.isnan(found["rmse"][0]) and np.isnan(found["nse"][1])
    assert found["rmse"][1] == pytest.approx(np.sqrt(5 / 3))
    # a hole in the simulation makes all scores of the cell NaN: it may not look good by leaving out
    assert all(np.isnan(found[name][2]) for name in SCORES if name != "n")


def test_the_median_of_nothing_is_nan_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert median(np.array([np.nan, 3.0, 1.0, 2.0])) == 2.0
        assert np.isnan(median(np.full(3, np.nan))) and np.isnan(median(np.empty(0)))


def test_threads_leave_the_filters_of_warnings_alone():
    """Lazy scores run in threads, where a filter set for a moment may stay for good."""
    empty = np.full((200, 5), np.nan)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: score(np.ones((200, 5)), empty), range(400)))
    assert warnings.filters == before
    assert all(np.isnan(one["kge"]).all() for one in found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(np.ones((3, 1)), empty[:3, :1])
