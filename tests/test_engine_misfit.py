"""The squared misfit in one pass against torch's, operation by operation."""

import pytest
import torch

from xdpl.engine import misfit, squared_misfit


def draw(time, cells, dtype=torch.float64):
    random = torch.Generator().manual_seed(time + cells)
    simulated = torch.rand(time, cells, generator=random, dtype=dtype)
    observed = torch.rand(time, cells, generator=random, dtype=dtype)
    observed[torch.rand(time, cells, generator=random) < 0.3] = torch.nan
    return simulated.requires_grad_(), observed


@pytest.mark.parametrize(
    ("time", "cells"), [(1, 1), (3, 5), (33, 8), (70, 100), (32, 64), (5, 2050), (2, 3 * 512)]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_same_as_torch(time, cells, dtype, tolerance):
    simulated, observed = draw(time, cells, dtype)
    weights = torch.rand(cells, dtype=dtype)
    results = []
    for how in (squared_misfit, misfit._by_torch):
        total, count = how(simulated, observed)
        results.append((total, count, *torch.autograd.grad((weights * total).sum(), simulated)))
    for fused, torchs in zip(*results, strict=True):
        torch.testing.assert_close(fused, torchs, rtol=tolerance, atol=tolerance)


def test_gradcheck():
    simulated, observed = draw(9, 3)
    assert torch.autograd.gradcheck(lambda s: squared_misfit(s, observed)[0], simulated)


def test_nan_stays_in_its_cell_and_counts_only_where_observed():
    simulated, observed = draw(40, 20)
    with torch.no_grad():
        observed[:, :3] = 1.0
        observed[7, 1] = torch.nan
        simulated[7, :2] = torch.nan
    total, count = squared_misfit(simulated, observed)
    assert total.isnan().nonzero().ravel().tolist() == [0]
    assert count[:3].tolist() == [40, 39, 40]
    (gradient,) = torch.autograd.grad(total[1:].sum(), simulated)
    assert gradient[:, 1:].isfinite().all()
    assert gradient[7, 1] == 0


def test_an_infinite_slope_touches_no_step_without_observation():
    simulated, observed = draw(6, 2)
    total, _ = squared_misfit(simulated, observed)
    (gradient,) = torch.autograd.grad(total, simulated, torch.full((2,), torch.inf).double())
    assert (gradient[observed.isnan()] == 0).all()


def test_threads_change_nothing(monkeypatch):
    simulated, observed = draw(200, 5000, torch.float32)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr("xdpl.engine.columnwise.threads_for", lambda work, n=threads: n)
        total, count = squared_misfit(simulated, observed)
        results.append((total, count, *torch.autograd.grad(total.sum(), simulated)))
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_long_series_round_little():
    simulated, observed = draw(20_000, 3, torch.float32)
    total, _ = squared_misfit(simulated, observed)
    exact, _ = squared_misfit(simulated.double(), observed.double())
    torch.testing.assert_close(total.double(), exact, rtol=1e-6, atol=0)


def test_observations_that_want_a_gradient_get_one():
    simulated, observed = draw(5, 4)
    observed = observed.nan_to_num(0.5).requires_grad_()
    total, _ = squared_misfit(simulated, observed)
    ours, theirs = torch.autograd.grad(total.sum(), (simulated, observed))
    torch.testing.assert_close(ours, -theirs)
