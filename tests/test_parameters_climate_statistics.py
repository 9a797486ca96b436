"""Climate of cells: right numbers, and the same bits whatever block they are computed in."""

from __future__ import annotations

import numpy as np
import torch

from xdpl.parameters.climate_statistics import climate_statistics


def test_mean_and_spread_of_each_forcing():
    rain = torch.tensor([[0.0, 2.0], [4.0, 2.0], [torch.nan, 2.0]])
    warmth = torch.tensor([[10.0, -1.0], [20.0, 1.0], [30.0, torch.nan]])
    found = climate_statistics({"rain": rain, "warmth": warmth})
    assert found.dtype == torch.float32
    expected = [[2.0, 2.0, 20.0, np.std([10, 20, 30])], [2.0, 0.0, 0.0, 1.0]]
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_cell_without_values_is_unknown():
    found = climate_statistics({"rain": torch.tensor([[1.0, torch.nan], [3.0, torch.nan]])})
    assert torch.isfinite(found[0]).all() and torch.isnan(found[1]).all()


def test_blocks_of_any_size_give_the_same_bits(monkeypatch):
    series = torch.rand(3000, 37, generator=torch.Generator().manual_seed(0)) ** 4 * 50
    whole = climate_statistics({"rain": series})
    single = torch.cat([climate_statistics({"rain": series[:, i : i + 1]}) for i in range(37)])
    assert torch.equal(whole, single)
    monkeypatch.setattr("xdpl.parameters.climate_statistics.AT_A_TIME", 7000)
    assert torch.equal(climate_statistics({"rain": series}), whole)
