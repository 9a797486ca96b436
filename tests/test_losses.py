"""Losses: per cell, additive, blind to what was not observed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xdpl.errors import DeclarationError
from xdpl.losses import BUNDLED, KGE, MSE, NSE
from xdpl.scores import score


def series(cells=6, steps=120, seed=0, gaps=0.3):
    draw = torch.Generator().manual_seed(seed)
    observed = torch.rand(steps, cells, generator=draw, dtype=torch.float64) * 5
    simulated = observed + torch.randn(steps, cells, generator=draw, dtype=torch.float64)
    missing = torch.rand(steps, cells, generator=draw) < gaps
    return simulated, torch.where(missing, torch.nan, observed)


@pytest.mark.parametrize("loss", [cls() for cls in BUNDLED], ids=lambda x: type(x).__name__)
@given(cut=st.integers(1, 5), seed=st.integers(0, 50))
def test_any_split_of_the_cells_adds_up(loss, cut, seed):
    simulated, observed = series(seed=seed)
    scale = loss.scale(observed)
    whole, weight = loss.per_cell(simulated, observed)
    parts = [loss.per_cell(simulated[:, s], observed[:, s]) for s in (slice(cut), slice(cut, None))]
    total = sum(
        (t * scale[s]).sum()
        for (t, _), s in zip(parts, (slice(cut), slice(cut, None)), strict=True)
    )
    torch.testing.assert_close((whole * scale).sum(), total)
    torch.testing.assert_close(weight.sum(), sum(w.sum() for _, w in parts))


@pytest.mark.parametrize("loss", [cls() for cls in BUNDLED], ids=lambda x: type(x).__name__)
def test_what_was_not_observed_carries_no_gradient(loss):
    simulated, observed = series()
    observed[:, 2] = torch.nan
    simulated = torch.where(torch.isnan(observed), 1e6, simulated).requires_grad_()
    loss(simulated, observed, loss.scale(observed)).backward()
    assert torch.isfinite(simulated.grad).all()
    assert (simulated.grad[torch.isnan(observed)] == 0).all()
    assert (simulated.grad[:, 0] != 0).any()


@pytest.mark.parametrize("loss", [cls() for cls in BUNDLED], ids=lambda x: type(x).__name__)
def test_a_perfect_simulation_has_no_loss(loss):
    _, observed = series()
    assert loss(torch.nan_to_num(observed), observed).item() < 1e-5


@pytest.mark.parametrize("loss", [cls() for cls in BUNDLED], ids=lambda x: type(x).__name__)
def test_constant_and_empty_cells_give_finite_losses_and_gradients(loss):
    simulated, observed = series()
    observed[:, 0], observed[:, 1], observed[:, 3] = 0.0, 2.0, torch.nan
    simulated[:, 4] = 0.0
    simulated.requires_grad_()
    value = loss(simulated, observed, loss.scale(observed))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(simulated.grad).all()


def test_mse_and_nse_agree_with_the_scores():
    simulated, observed = series(gaps=0.0)
    found = score(simulated.numpy(), observed.numpy())
    assert MSE()(simulated, observed).item() == pytest.approx(float((found["rmse"] ** 2).mean()))
    loss = NSE(softening=0.0)
    assert loss(simulated, observed, loss.scale(observed)).item() == pytest.approx(
        float(np.mean(1 - found["nse"]))
    )
    assert KGE()(simulated, observed).item() == pytest.approx(
        float(np.mean(1 - found["kge"])), rel=1e-4
    )


def test_bias_per_cell_counts_more_on_request():
    observed = torch.zeros(10, 1, dtype=torch.float64)
    assert MSE(per_cell_bias=1.0)(observed + 2, observed).item() == pytest.approx(8.0)


def test_kge_leaves_out_windows_with_few_observations():
    simulated, observed = series(cells=1, gaps=0.0)
    observed[10:] = torch.nan
    assert KGE(at_least=20).per_cell(simulated, observed)[1].item() == 0


def test_exponent_of_nse_must_be_positive():
    with pytest.raises(DeclarationError, match="must be positive"):
        NSE(exponent=0.0)


def test_nse_with_an_exponent_weighs_low_flows():
    observed = torch.tensor([[0.1], [0.2], [10.0], [12.0]], dtype=torch.float64)
    low, high = observed.clone(), observed.clone()
    low[0] += 0.5
    high[2] += 0.5
    plain, root = NSE(), NSE(exponent=0.5)
    assert plain(low, observed) == pytest.approx(plain(high, observed).item())
    assert root(low, observed) > 5 * root(high, observed)
