"""Losses: per cell, additive, blind to what was not observed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpl.errors import DeclarationError
from xdpl.losses import BUNDLED, KGE, MSE, NSE, WeightedSum
from xdpl.scores import score


def series(cells=6, steps=120, seed=0, gaps=0.3):
    draw = torch.Generator().manual_seed(seed)
    observed = torch.rand(steps, cells, generator=draw, dtype=torch.float64) * 5
    simulated = observed + torch.randn(steps, cells, generator=draw, dtype=torch.float64)
    missing = torch.rand(steps, cells, generator=draw) < gaps
    return simulated, torch.where(missing, torch.nan, observed)


@pytest.mark.parametrize("loss", [cls() for cls in BUNDLED], ids=lambda x: type(x).__name__)
@settings(deadline=None)  # the first call of all loads much
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


def test_weekly_means_are_compared_with_weekly_means():
    draw = torch.Generator().manual_seed(0)
    daily = torch.rand(70, 3, generator=draw, dtype=torch.float64)
    weekly = torch.full_like(daily, torch.nan)
    weekly[6::7] = daily.unflatten(0, (10, 7)).mean(1)
    loss = MSE(average=7)
    assert loss(loss.averaged(daily), weekly).item() < 1e-25
    assert MSE()(daily, weekly).item() > 0.01
    torch.testing.assert_close(loss.averaged(daily)[2], daily[:3].mean(0))
    assert MSE().averaged(daily) is daily


@pytest.mark.parametrize("number", [0, 2.5, True, "week"])
def test_observations_are_means_of_whole_steps(number):
    with pytest.raises(DeclarationError, match="average=.* of NSE can't be used. .* above 0"):
        NSE(average=number)


def test_the_spread_of_all_cells_stands_in_where_a_cell_has_too_few_observations():
    loss = NSE(softening=0.0, relative_softening=0.5)
    observed = torch.randn(400, 3, dtype=torch.float64) * torch.tensor([1.0, 3.0, 1.0])
    observed[1:, 2] = torch.nan  # one observation: no spread
    count = (~observed.isnan()).sum(0)
    scale = loss.settled(loss.scale(observed), count)
    mean = observed[:, :2].std(0, correction=0).mean()
    expected = [observed[:, 0].std(correction=0), observed[:, 1].std(correction=0), mean]
    torch.testing.assert_close(scale, (torch.stack(expected) + 0.5 * mean) ** -2)
    # in other units the loss is the same
    again = loss.settled(loss.scale(1000 * observed), count)
    torch.testing.assert_close(again * 1e6, scale)
    assert NSE().settled(scale, count) is scale
    nowhere = loss.settled(loss.scale(torch.zeros(20, 2)), torch.tensor([20, 20]))
    assert torch.isfinite(nowhere).all()


def test_losses_can_be_added_and_scaled():
    simulated, observed = series()
    loss = NSE(softening=0.2) + 0.5 * KGE() + MSE() * 2
    assert loss == WeightedSum(((1.0, NSE(softening=0.2)), (0.5, KGE()), (2.0, MSE())))
    assert repr(loss) == str(loss) == "NSE(softening=0.2) + 0.5 * KGE() + 2 * MSE()"
    assert WeightedSum(**loss.options) == loss and hash(loss)
    scale = loss.scale(observed)
    nse = NSE(softening=0.2)
    expected = nse(simulated, observed, nse.scale(observed))
    expected = expected + 0.5 * KGE()(simulated, observed) + 2 * MSE()(simulated, observed)
    torch.testing.assert_close(loss(simulated, observed, scale), expected)
    assert 2 * loss == loss * 2 == 2 * NSE(softening=0.2) + KGE() + 4 * MSE()
    assert sum([NSE(), KGE()]) == NSE() + KGE()


def test_terms_keep_their_own_average_over_the_cells():
    """NSE weighs cells by their observations, KGE leaves out those with few."""
    simulated, observed = series()
    observed[10:, 0] = torch.nan
    loss = MSE() + KGE()
    expected = MSE()(simulated, observed) + KGE()(simulated, observed)
    torch.testing.assert_close(loss(simulated, observed), expected)
    own = loss.of_each_cell(simulated, observed, loss.scale(observed))
    torch.testing.assert_close(own[0], MSE()(simulated[:, :1], observed[:, :1]))
    torch.testing.assert_close(own[1], loss(simulated[:, 1:2], observed[:, 1:2]))
    observed[:, 2] = torch.nan
    assert torch.isnan(loss.of_each_cell(simulated, observed, loss.scale(observed))[2])


def test_softening_by_the_spread_of_all_cells_works_within_a_sum():
    _, observed = series()
    nse, count = NSE(relative_softening=0.5), (~observed.isnan()).sum(0)
    scale = (nse + KGE()).settled((nse + KGE()).scale(observed), count)
    torch.testing.assert_close(scale[:, 0], nse.settled(nse.scale(observed), count))
    assert (scale[:, 1] == 1).all()


def test_a_sum_compares_means_over_one_number_of_steps():
    assert (NSE(average=7) + KGE(average=7)).average == 7
    with pytest.raises(DeclarationError, match=r"means over \[1, 7\] steps.* the same average="):
        NSE(average=7) + KGE()


@pytest.mark.parametrize("factor", [0, -1.0, float("nan"), float("inf")])
def test_factors_of_a_sum_are_above_zero(factor):
    with pytest.raises(DeclarationError, match=r"factor .* of KGE\(\) can't be used.* above 0"):
        NSE() + factor * KGE()


def test_only_losses_and_numbers_make_a_sum():
    for wrong in (lambda: NSE() + 1, lambda: 1 + NSE(), lambda: NSE() * True, lambda: "a" * NSE()):
        with pytest.raises(TypeError):
            wrong()
    for terms in ((), ((1.0, NSE() + KGE()),)):
        with pytest.raises(DeclarationError, match="one or more terms, none of them a sum"):
            WeightedSum(terms)
