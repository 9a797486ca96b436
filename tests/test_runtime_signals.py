"""`fit` interrupted: at a prompt, in a script, after the last step."""

import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from toy import QUICK, grid

import xdpl
from xdpl.parameters.learner import Learner
from xdpl.runtime.signals import interactive
from xdpl.training import whole_step


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_at_a_prompt_returns_the_fit_so_far(ds, monkeypatch, times):
    interrupt(monkeypatch, signal.SIGINT, times)
    monkeypatch.setattr("xdpl.training.run.interactive", lambda: True)
    monkeypatch.setattr("xdpl.runtime.signals.interactive", lambda: True)
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    assert "interrupted" in fit.record["stopped"]
    assert "interrupted" in repr(fit)
    assert np.isfinite(fit.parameters(ds).recession).all()


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_ends_a_script(ds, monkeypatch, times):
    interrupt(monkeypatch, signal.SIGINT, times)
    monkeypatch.setattr("xdpl.training.run.interactive", lambda: False)
    monkeypatch.setattr("xdpl.runtime.signals.interactive", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        xdpl.fit(ds, obs="qobs", **QUICK)


def interrupt(monkeypatch, number, times):
    """Send a signal in the middle of the third step."""

    def interrupted(state, *rest):
        if state.done == 3:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return whole_step(state, *rest)

    monkeypatch.setattr("xdpl.training.step.whole_step", interrupted)


@pytest.mark.parametrize("ensemble", [1, 2])
def test_a_signal_after_the_last_step_is_not_lost(ds, monkeypatch, ensemble):
    eval_ = Learner.eval
    heard = []

    def late(self):
        if not heard and signal.getsignal(signal.SIGINT).__name__ == "_hear":
            heard.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return eval_(self)

    monkeypatch.setattr(Learner, "eval", late)  # the last thing that train does
    monkeypatch.setattr("xdpl.runtime.signals.interactive", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        xdpl.fit(ds, obs="qobs", ensemble=ensemble, **QUICK)
    assert heard


def test_a_script_that_imports_ipython_is_no_prompt(monkeypatch):
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not interactive()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    assert interactive()
