"""Checkpoints: an interrupted fit goes on to the same bits; another one's are refused."""

import errno
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy import QUICK, grid

import xdpl
from xdpl.errors import FitFileError, XdplWarning
from xdpl.networks import MLP
from xdpl.runtime import signals as watch
from xdpl.runtime.signals import Keeper, Stopped
from xdpl.training import checkpoint as module
from xdpl.training.checkpoint import Checkpoint
from xdpl.training.signature import Signature, same_signature

KEYWORDS = {**QUICK, "epochs": 6, "network": MLP(hidden=(8,), dropout=0.2)}
LONG = {**KEYWORDS, "epochs": 2, "batch_size": 5}
"""Epochs of six steps."""


@pytest.fixture(scope="module")
def ds():
    return grid(days=500)


@pytest.fixture(scope="module")
def expected(ds):
    return xdpl.fit(ds, obs="qobs", **KEYWORDS)


def interrupted(ds, folder, monkeypatch, after):
    """A fit that stops after so many epochs, as if the machine had gone down."""
    write = Checkpoint.write

    def write_and_die(self, state):
        write(self, state)
        if len(state.history.loss) == after:
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
    turned = ds[list(ds.data_vars)[::-1]]  # as a store may list its variables the next time
    again = xdpl.fit(turned, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    assert again.record["loss"] == fit.record["loss"]
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


@pytest.mark.parametrize("after", [1, 2, 3])
def test_resumed_from_within_an_epoch(ds, expected, tmp_path, monkeypatch, after):
    """Kept after every step; the machine goes down after some of them, the newest file torn."""
    monkeypatch.setattr(watch, "EVERY", 0.0)
    original, steps = Checkpoint.write, []

    def write_and_die(self, state):
        original(self, state)
        steps.append(state.done)
        if state.done == 2 + after and state.history.step:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_die)
        patch.setattr(Keeper, "due", lambda self: True)
        with pytest.raises(SystemExit):
            xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **LONG)
    newest = max(tmp_path.glob("epoch-*"))
    assert newest.name.endswith(f"-{2 + after:08d}.safetensors")
    fit = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **LONG)
    whole = xdpl.fit(ds, obs="qobs", **LONG)
    xr.testing.assert_equal(fit.parameters(ds), whole.parameters(ds))
    assert fit.record["loss"] == whole.record["loss"]


def test_the_state_is_kept_now_and_then():
    times = []
    keeper = Keeper(lambda: times.append(1), every=3600)
    assert not keeper.due()
    keeper.every = 0.0
    assert keeper.due()
    keeper.rest()
    keeper.every = 3600
    assert not keeper.due() and times == [1]
    keeper.asked = signal.SIGTERM
    assert keeper.due()
    with pytest.raises(Stopped):
        keeper.rest()
    assert times == [1, 1]


SCRIPT = """
import os, signal, sys
import xdpl
from toy import QUICK, grid
from xdpl.training import step as module

whole_step = module.whole_step
def signalled(state, *rest):
    if state.done == 2:
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
    return whole_step(state, *rest)
module.whole_step = signalled
xdpl.fit(grid(days=500), obs="qobs", checkpoint=sys.argv[1], **QUICK)
print("went on")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_finishes_the_step_keeps_the_state_and_ends(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), name],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if name == "SIGTERM":
        assert done.returncode == -signal.SIGTERM, done.stderr
    else:
        assert done.returncode == -signal.SIGINT and "Interrupted: fit was" in done.stderr
    assert "went on" not in done.stdout
    (kept,) = tmp_path.glob("epoch-*")
    with safe_open(kept, "pt") as file:
        assert json.loads(file.metadata()["xdpl"])["done"] == 2


def test_a_full_disk_is_told_and_the_last_state_stays(ds, expected, tmp_path, monkeypatch):
    def full(descriptor):
        if len(list(tmp_path.glob("epoch-*.safetensors"))) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(FitFileError, match="No space left on device. The one before it is"):
            xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    assert not list(tmp_path.glob("*.part"))
    fit = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    xr.testing.assert_equal(fit.parameters(ds), expected.parameters(ds))


@pytest.mark.parametrize("damage", ["text", "shape", "empty", "nested"])
def test_what_cannot_be_read_is_told_and_changes_nothing(ds, expected, tmp_path, damage):
    xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    for path in tmp_path.glob("epoch-*"):
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            header = file.metadata()["xdpl"]
        if damage == "shape":
            last = [name for name in tensors if name.startswith("learner.network")][-1]
            tensors[last] = torch.zeros(3, 3, 3)
        changed = {"text": "{", "nested": "[" * 100_000}.get(damage, header)
        save_file(tensors, path, metadata={"xdpl": changed})
        if damage == "empty":
            path.write_bytes(b"")
    with pytest.warns(XdplWarning, match="epoch-000006.*can't be read.* from the beginning"):
        fit = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    xr.testing.assert_equal(fit.parameters(ds), expected.parameters(ds))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": 3}, "its seed is 0, not 3"),
        ({"learning_rate": 0.02}, "its learning_rate is 0.01, not 0.02"),
        ({"network": MLP()}, "its network is "),
        ({"precision": "mixed"}, "its precision is float32, not mixed"),
        ({"cells": True}, "its cells is "),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused(ds, tmp_path, change, match):
    xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **{**KEYWORDS, "epochs": 1})
    if "cells" in change:
        change = {"cells": ds.elevation > float(np.median(ds.elevation))}
    with pytest.raises(FitFileError, match=match):
        xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **{**KEYWORDS, "epochs": 1, **change})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"elevation": lambda d: d.elevation + 1}, "its attributes is "),
        ({"qobs": lambda d: d.qobs * 1.01}, "its mean weight is "),
    ],
)
def test_the_checkpoint_of_other_values_is_refused(ds, tmp_path, change, match):
    keywords = {**KEYWORDS, "epochs": 1}
    xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **keywords)
    with pytest.raises(FitFileError, match=match):
        xdpl.fit(ds.assign(change), obs="qobs", checkpoint=tmp_path, **keywords)


def test_the_folder_must_be_writable(ds, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(FitFileError, match="can't write checkpoints"):
        xdpl.fit(ds, obs="qobs", checkpoint=blocked / "inside", **KEYWORDS)


def test_other_forcings_are_other_data(ds, tmp_path):
    xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **KEYWORDS)
    wetter = ds.assign(prcp=(ds.prcp * 1.1).assign_attrs(ds.prcp.attrs))
    with pytest.raises(FitFileError, match="mean forcing"):
        xdpl.fit(wetter, obs="qobs", checkpoint=tmp_path, **KEYWORDS)


def corrected(values):
    values = values.copy()
    values[(100,) + (0,) * (values.ndim - 1)] += 1.0
    return values


@pytest.mark.parametrize(
    "change",
    [lambda v: v[::-1].copy(), lambda v: np.roll(v, 1, axis=0), corrected],
    ids=["reversed", "shifted by a day", "one value"],
)
@pytest.mark.parametrize("name", ["prcp", "qobs"])
def test_data_that_were_changed_are_not_gone_on_with(ds, tmp_path, name, change):
    few = {**KEYWORDS, "epochs": 2}
    xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **few)
    other = ds.assign({name: ds[name].copy(data=change(ds[name].values))})  # time comes first
    with pytest.raises(FitFileError, match="a fit to other data: the values of|of another fit"):
        xdpl.fit(other, obs="qobs", checkpoint=tmp_path, **few)
    xdpl.fit(ds.chunk(time=100), obs="qobs", checkpoint=tmp_path, **few)  # chunks don't matter


def test_a_signature_sees_order_and_forgives_rounding():
    values = torch.from_numpy(np.random.default_rng(0).random((400, 6)).astype("f4"))

    def text(v):
        found = Signature(6)
        found.add(np.arange(3), {"q": v[:, :3]})
        found.add(np.arange(3, 6), {"q": v[:, 3:]})
        return found.text()

    gap = values.clone()
    gap[5, 2] = torch.nan
    one = values.clone()
    one[200, 3] += 0.05
    for other in (values.flip(0), values.roll(1, 0), values.flip(1), gap, one, values * 1.001):
        assert same_signature(text(values), text(other)) == ["q"]
    assert same_signature(text(values), text(values * (1 + 2e-7))) == []
    for damaged in ("", "3", "{", "[1]"):
        assert same_signature(text(values), damaged) is None
    assert same_signature(text(values), '{"q": 3}') == ["q"]


def test_checkpoints_of_an_earlier_version_know_no_values(ds, tmp_path):
    few = {**KEYWORDS, "epochs": 2}
    expected = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **few)
    for path in tmp_path.glob("epoch-*"):
        with safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["xdpl"])
        del header["identity"]["values"]
        save_file(load_file(path), path, metadata={"xdpl": json.dumps(header)})
    fit = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **few)
    xr.testing.assert_equal(fit.parameters(ds), expected.parameters(ds))


def test_fits_with_one_folder_at_the_same_time_give_the_same(ds, tmp_path):
    few, maps, problems = {**KEYWORDS, "epochs": 3}, [], []

    def run():
        try:
            fit = xdpl.fit(ds, obs="qobs", checkpoint=tmp_path, **few)
            maps.append(fit.parameters(ds))
        except Exception as problem:  # noqa: BLE001
            problems.append(problem)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems and len(maps) == 3
    for one in maps[1:]:
        xr.testing.assert_equal(one, maps[0])
    assert all(path.name.startswith("epoch-") for path in tmp_path.iterdir())
