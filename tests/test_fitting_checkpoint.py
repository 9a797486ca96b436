"""Checkpoints: an interrupted fit goes on to the same bits; another one's are refused."""

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.errors import FitFileError
from xdpl.fitting import checkpoint as module
from xdpl.fitting.checkpoint import Checkpoint
from xdpl.networks import MLP

KEYWORDS = {**QUICK, "epochs": 6, "network": MLP(hidden=(8,), dropout=0.2)}


@pytest.fixture(scope="module")
def ds():
    return grid(days=500)


@pytest.fixture(scope="module")
def expected(ds):
    return xdpl.fit(ds, obs="qobs", **KEYWORDS)


def interrupted(ds, folder, monkeypatch, after):
    """A fit that stops after so many epochs, as if the machine had gone down."""
    write = Checkpoint.write

    def write_and_die(self, trainer, history):
        write(self, trainer, history)
        if len(history.loss) == after:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_die)
        with pytest.raises(SystemExit):
            xdpl.fit(ds, obs="qobs", checkpoint=folder, **KEYWORDS)


def test_resumed_to_the_same_bits(ds, expected, tmp_path, monkeypatch):
    interrupted(ds, tmp_path, monkeypatch, after=3)
    assert len(list(tmp_path.glob("epoch-*"))) == 2  # the last good two
    fit = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    xr.testing.assert_equal(fit.parameters(ds), expected.parameters(ds))
    assert fit.record["loss"] == expected.record["loss"]


def test_a_torn_file_falls_back_to_the_one_before(ds, expected, tmp_path, monkeypatch):
    interrupted(ds, tmp_path, monkeypatch, after=4)
    newest = max(tmp_path.glob("epoch-*"))
    newest.write_bytes(newest.read_bytes()[:100])
    fit = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    xr.testing.assert_equal(fit.parameters(ds), expected.parameters(ds))


def test_a_finished_run_is_not_run_again(ds, expected, tmp_path, monkeypatch):
    xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    monkeypatch.setattr(module.Checkpoint, "write", None)  # writing again would fail
    again = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    xr.testing.assert_equal(again.parameters(ds), expected.parameters(ds))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": 3}, "its seed is 0, not 3"),
        ({"learning_rate": 0.02}, "its learning_rate is 0.01, not 0.02"),
        ({"network": MLP()}, "its network is "),
        ({"cells": True}, "its cells is "),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused(ds, tmp_path, change, match):
    xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **{**KEYWORDS, "epochs": 1})
    if "cells" in change:
        change = {"cells": ds.elevation > float(np.median(ds.elevation))}
    with pytest.raises(FitFileError, match=match):
        xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **{**KEYWORDS, "epochs": 1, **change})


def test_the_folder_must_be_writable(ds, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(FitFileError, match="can't write checkpoints"):
        xdpl.fit(ds, obs="qobs", checkpoint=blocked / "inside", **KEYWORDS)
