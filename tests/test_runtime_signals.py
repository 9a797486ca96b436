"""`fit` interrupted: at a prompt, in a script, after the last step."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy import QUICK, grid

import xdpl
from xdpl.errors import Interrupted
from xdpl.interrupts import interactive
from xdpl.parameters.learner import Learner
from xdpl.training import whole_step


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_an_interrupt_is_raised_with_the_fit_so_far(ds, monkeypatch, tmp_path, times, checkpoint):
    interrupt(monkeypatch, signal.SIGINT, times)
    keywords = QUICK | ({"checkpoint": tmp_path} if checkpoint else {})
    with pytest.raises(KeyboardInterrupt, match=r"after \d of 3 epochs. The weights") as stopped:
        xdpl.fit(ds, obs="qobs", **keywords)
    assert isinstance(stopped.value, Interrupted)
    message = f"goes on from the checkpoint in {str(tmp_path)!r}" if checkpoint else "They are lost"
    assert message in str(stopped.value)
    fit = stopped.value.fit
    assert "interrupted" in fit.record["stopped"]
    assert "interrupted" in repr(fit)
    assert np.isfinite(fit.parameters(ds).recession).all()


def test_the_accessor_remembers_the_fit_of_an_interrupt(ds, monkeypatch):
    ds = ds.copy()
    interrupt(monkeypatch, signal.SIGINT, 1)
    with pytest.raises(Interrupted) as stopped:
        ds.dpl.fit(obs="qobs", **QUICK)
    assert ds.dpl.parameters().equals(stopped.value.fit.parameters(ds))


def test_an_interrupt_ends_loops_over_seeds_members_and_folds(ds, monkeypatch):
    interrupt(monkeypatch, signal.SIGINT, 1)
    ended = []

    def seeds():
        for seed in range(3):
            xdpl.fit(ds, obs="qobs", ensemble=3, **{**QUICK, "seed": seed})
            ended.append(seed)

    with pytest.raises(Interrupted) as stopped:
        seeds()
    assert not ended
    assert len(stopped.value.fit.members) == 1
    with pytest.raises(Interrupted, match="in run 1 of 4 and gives no scores") as stopped:
        xdpl.cross_validate(ds, "qobs", space="random", folds=2, seeds=(0, 1), **QUICK)
    assert "interrupted" in stopped.value.fit.record["stopped"]


def test_an_interrupt_while_data_are_read_has_no_fit(ds, monkeypatch):
    def read(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("xdpl.fitting.problem.Cells", read)
    with pytest.raises(Interrupted, match="fit was interrupted and gives no result") as stopped:
        xdpl.fit(ds, obs="qobs", **QUICK)
    assert stopped.value.fit is None


SCRIPT = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import xdpl
from toy import QUICK, grid

def read(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)

import xdpl.fitting.problem
xdpl.fitting.problem.Cells = read
atexit.register(print, "at exit", file=sys.stderr)
try:
    xdpl.fit(grid(days=500), obs="qobs", **QUICK)
except KeyboardInterrupt:
    print("caught")
    if len(sys.argv) == 1:
        raise
"""


@pytest.mark.parametrize("catching", [False, True])
def test_a_script_that_is_interrupted_ends_as_its_shell_expects(catching):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *["caught"] * catching],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "caught\n"
    assert done.returncode == (0 if catching else -signal.SIGINT), done.stderr
    assert done.stderr.count("Interrupted: fit was interrupted") == (not catching)
    assert done.stderr.endswith("at exit\n")


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
    with pytest.raises(KeyboardInterrupt):
        xdpl.fit(ds, obs="qobs", ensemble=ensemble, **QUICK)
    assert heard


def test_a_script_that_imports_ipython_is_no_prompt(monkeypatch):
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not interactive()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    assert interactive()
