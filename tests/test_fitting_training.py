"""Keywords of `fit` that reach into training: callbacks, windows, optimizers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.errors import DeclarationError
from xdpl.training import Callback, TrainState

SGD = {k: v for k, v in QUICK.items() if k != "learning_rate"}


def momentum(weights):
    return torch.optim.SGD(weights, lr=0.05, momentum=0.9)


@pytest.fixture(scope="module")
def ds():
    return grid(days=500)


@pytest.fixture(scope="module")
def plain(ds):
    return xdpl.fit(ds, obs="qobs", **QUICK)


class Log(Callback):
    def __init__(self):
        self.losses, self.rates, self.ended = [], [], 0

    def on_step(self, state):
        self.rates.append(state.optimizer.param_groups[0]["lr"])

    def on_epoch(self, state):
        assert isinstance(state, TrainState)
        self.losses.append(state.history.loss[-1])

    def on_end(self, state):
        self.ended += 1


def test_callbacks_see_every_step_and_change_nothing(ds, plain):
    log = Log()
    fit = xdpl.fit(ds, obs="qobs", callbacks=[log], **QUICK)
    assert tuple(log.losses) == fit.record.loss == plain.record.loss
    assert len(log.rates) == fit.record.batches * 3 and log.ended == 1
    assert max(log.rates) <= fit.settings.learning_rate
    two = Log()
    xdpl.fit(ds, obs="qobs", callbacks=[two], ensemble=2, **QUICK)
    assert len(two.losses) == 6 and two.ended == 2


def test_a_callback_ends_training(ds, plain):
    class Enough(Callback):
        def on_epoch(self, state):
            state.stop = True

    fit = xdpl.fit(ds, obs="qobs", callbacks=[Enough()], **QUICK)
    assert fit.record.loss == plain.record.loss[:1]
    assert np.isfinite(fit.parameters(ds).recession).all()


@pytest.mark.parametrize("wrong", [Log(), [Log], [print], Log])
def test_what_is_no_callback_is_refused(ds, wrong):
    with pytest.raises(DeclarationError, match="callbacks has .*callbacks=\\[MyCallback"):
        xdpl.fit(ds, obs="qobs", callbacks=wrong, **QUICK)


def test_the_window_is_what_carries_loss(ds, plain):
    class Steps(Callback):
        def on_start(self, state):
            self.seen = state

    yearly = xdpl.fit(ds, obs="qobs", window=365, **QUICK)
    assert yearly.record.loss == plain.record.loss
    half = xdpl.fit(ds, obs="qobs", window="180D", **QUICK)
    # every cell comes once for each window's length of the period
    assert half.record.batches == 3 * plain.record.batches
    assert half.settings["window_days"] == 180 and "window_days" not in plain.settings


@pytest.mark.parametrize(
    ("window", "match"),
    [
        (0, "window=0 can't be used. Give days above 0"),
        (0.1, "window=0.1 is shorter than a time step of 1 days"),
        ("soon", "window='soon' can't be read as a span of time"),
        (True, "window=True is no span of time. Give days: window=365"),
        (float("inf"), "window=inf can't be used"),
    ],
)
def test_impossible_windows_are_refused(ds, window, match):
    with pytest.raises(DeclarationError, match=match):
        xdpl.fit(ds, obs="qobs", window=window, **QUICK)


def test_an_optimizer_of_your_own_trains_saves_and_goes_on(ds, tmp_path, plain):
    log = Log()
    keywords = {
        "optimizer": momentum,
        "epochs": 4,
        **{k: v for k, v in SGD.items() if k != "epochs"},
    }
    fit = xdpl.fit(ds, obs="qobs", callbacks=[log], checkpoint=tmp_path / "kept", **keywords)
    assert fit.record.loss[-1] < fit.record.loss[0] and fit.record.loss != plain.record.loss
    assert max(log.rates) == pytest.approx(0.05) == fit.settings.learning_rate
    assert fit.settings.optimizer.startswith("SGD(lr=0.05, momentum=0.9")
    again = xdpl.load(fit.save(tmp_path / "fit.xdpl"), model=QUICK["model"])
    assert again.settings.optimizer == fit.settings.optimizer
    newest = max((tmp_path / "kept").glob("epoch-*"))
    newest.unlink()
    resumed = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path / "kept", **keywords)
    xr.testing.assert_equal(resumed.parameters(ds), fit.parameters(ds))


def test_deviations_learn_at_three_times_the_rate_whatever_the_optimizer(ds):
    class Groups(Callback):
        def on_step(self, state):
            self.rates = [group["lr"] for group in state.optimizer.param_groups]

    groups = Groups()
    xdpl.fit(ds, obs="qobs", optimizer=momentum, callbacks=[groups], **{**SGD, "epochs": 1})
    network, deviations = groups.rates
    assert deviations == pytest.approx(3 * network)


@pytest.mark.parametrize(
    ("factory", "match"),
    [
        (lambda: None, "can't be called with the weights"),
        (lambda weights: None, "gives NoneType, not a torch.optim.Optimizer"),
        (lambda weights: torch.optim.SGD([torch.zeros(1)], lr=1.0), "leaves out some of the"),
    ],
)
def test_what_makes_no_optimizer_is_refused(ds, factory, match):
    with pytest.raises(DeclarationError, match=match):
        xdpl.fit(ds, obs="qobs", optimizer=factory, **SGD)


def test_there_is_one_learning_rate(ds):
    with pytest.raises(DeclarationError, match="both give a learning rate.*optimizer alone"):
        xdpl.fit(ds, obs="qobs", optimizer=momentum, **QUICK)


def test_the_gradient_is_clipped_or_not(ds, plain, tmp_path):
    default = xdpl.fit(ds, obs="qobs", gradient_clip=1.0, **QUICK)
    assert default.record.loss == plain.record.loss and plain.settings.gradient_clip == 1.0
    # SGD moves by the gradient itself: held at a millionth, next to nothing is learned
    held = xdpl.fit(ds, obs="qobs", optimizer=momentum, gradient_clip=1e-6, **SGD)
    free = xdpl.fit(ds, obs="qobs", optimizer=momentum, gradient_clip=None, **SGD)
    assert free.record.loss[-1] < held.record.loss[-1]
    again = xdpl.load(free.save(tmp_path / "fit.xdpl"), model=QUICK["model"])
    assert again.settings.gradient_clip is None
    with pytest.raises(DeclarationError, match="gradient_clip=0 can't be used. Give a number"):
        xdpl.fit(ds, obs="qobs", gradient_clip=0, **QUICK)


def test_fits_in_threads_are_those_of_one_after_the_other(ds):
    def fitted(seed):
        return xdpl.fit(ds, obs="qobs", seed=seed, **QUICK)

    threads = torch.get_num_threads()
    seeds = (0, 1, 2)
    expected = [fitted(seed).record.loss for seed in seeds]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        found = [fit.record.loss for fit in pool.map(fitted, seeds)]
    assert found == expected and len(set(found)) == 3
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
