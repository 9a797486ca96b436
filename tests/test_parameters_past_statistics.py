"""Statistics of past observations: gaps are masked, and what is unknown stays unknown."""

import numpy as np
import pandas as pd
import torch

from xdpl.parameters.past_statistics import MONTHS, statistics

DAYS = pd.date_range("2001-02-01", "2001-11-30")
MONTH = torch.from_numpy(DAYS.month.to_numpy().astype("i8"))


def series(cells=4):
    draw = torch.Generator().manual_seed(0)
    observed = torch.rand(len(DAYS), cells, generator=draw)
    gaps = torch.rand(observed.shape, generator=draw) < 0.6
    return torch.where(gaps, torch.nan, observed), torch.rand(len(DAYS), cells, generator=draw)


def test_they_are_those_of_pandas():
    observed, rain = series()
    found = statistics({"flow": observed}, {"rain": rain}, MONTH)
    assert found.shape == (4, 5 + MONTHS + 1)
    table = pd.DataFrame(observed.double().numpy(), DAYS)
    monthly = (table.groupby(table.index.month).mean() - table.mean()).reindex(range(1, 13))
    expected = [
        table.mean(), table.std(ddof=0), table.quantile(0.05), table.quantile(0.95),
        table.notna().mean(), *monthly.to_numpy(), rain.numpy().mean(0),
    ]  # fmt: skip
    np.testing.assert_allclose(found.T, np.stack(expected), rtol=1e-6, atol=1e-9)
    assert torch.isnan(found[:, [5, 16]]).all()  # January, December


def test_a_cell_without_observations_has_no_statistics():
    observed, rain = series()
    observed[:, 1] = torch.nan
    found = statistics({"flow": observed, "snow": observed}, {"rain": rain}, MONTH)
    assert torch.isnan(found[1]).all()
    assert torch.isfinite(found[0, [0, 1, 2, 3, 4, -1]]).all()


def test_one_variable_unseen_leaves_the_other(monkeypatch):
    observed, rain = series()
    unseen = torch.full_like(observed, torch.nan)
    found = statistics({"flow": observed, "snow": unseen}, {"rain": rain}, MONTH)
    assert torch.isnan(found[:, 17:21]).all() and (found[:, 21] == 0).all()
    monkeypatch.setattr("xdpl.parameters.past_statistics.AT_A_TIME", 1)
    again = statistics({"flow": observed, "snow": unseen}, {"rain": rain}, MONTH)
    torch.testing.assert_close(again, found, equal_nan=True)
