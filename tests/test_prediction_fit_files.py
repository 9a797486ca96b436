"""Fit files: what comes back is what was saved, and a stranger's file can only fail clearly."""

import contextlib
import errno
import json
import os
import struct
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from toy import QUICK, Bucket, grid

import xdpl
from xdpl.errors import FitFileError
from xdpl.losses import NSE
from xdpl.networks import LSTM, MLP


@pytest.fixture(scope="module")
def ds():
    return grid(days=500)


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", **{**QUICK, "epochs": 1})


@pytest.fixture(scope="module")
def content(fit, tmp_path_factory):
    return fit.save(tmp_path_factory.mktemp("fit") / "fit.xdpl").read_bytes()


@pytest.mark.parametrize("network", [MLP(hidden=(8, 4)), LSTM(hidden=5)])
def test_round_trip(ds, network, tmp_path):
    keywords = {**QUICK, "epochs": 1, "components": 2, "network": network, "loss": NSE(0.2)}
    fit = xdpl.fit(ds, obs="qobs", **keywords)
    back = xdpl.load(fit.save(tmp_path / "fit.xdpl"), model=Bucket)
    xr.testing.assert_equal(back.parameters(ds), fit.parameters(ds))
    xr.testing.assert_equal(back.evaluate(ds), fit.evaluate(ds))
    assert back.network == network and back.losses == fit.losses and back.model == fit.model
    assert back.settings == fit.settings and back.scores == fit.scores
    assert back.layout == fit.layout
    assert repr(back) == repr(fit)


def test_a_bundled_model_needs_no_help(ds, tmp_path):
    tas = ds.prcp.copy(data=np.full(ds.prcp.shape, 12.0)).assign_attrs(
        units="degC", standard_name="air_temperature"
    )
    fit = xdpl.fit(ds.assign(tas=tas), obs="qobs", epochs=1, progress=False)
    assert type(fit.model).__name__ == "HBV"
    assert xdpl.load(fit.save(tmp_path / "fit.xdpl")).model == fit.model


def test_a_model_of_ones_own_must_be_given(content, tmp_path):
    path = tmp_path / "fit.xdpl"
    path.write_bytes(content)
    with pytest.raises(
        FitFileError, match=r"model Bucket, which is not one of xdpl's own.*model=Bucket"
    ):
        xdpl.load(path)
    with pytest.raises(FitFileError, match="made with the model Bucket, not HBV"):
        xdpl.load(path, model=xdpl.models.HBV())


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FitFileError, match="there is no fit file"):
        xdpl.load(tmp_path / "nothing.xdpl")
    text = tmp_path / "text.xdpl"
    text.write_text("not a fit")
    with pytest.raises(FitFileError, match="can't be read as a fit file"):
        xdpl.load(text)
    weights = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, weights)
    with pytest.raises(FitFileError, match="without a fit"):
        xdpl.load(weights)


def with_header(content: bytes, change) -> bytes:
    """The same file with its header changed."""
    (length,) = struct.unpack("<Q", content[:8])
    outer = json.loads(content[8 : 8 + length])
    inner = json.loads(outer["__metadata__"]["xdpl"])
    outer["__metadata__"]["xdpl"] = json.dumps(change(inner))
    text = json.dumps(outer).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda h: {**h, "format": 99}, "format 99.*Update xdpl"),
        (lambda h: {k: v for k, v in h.items() if k != "layout"}, "damaged.*lacks 'layout'"),
        (lambda h: {**h, "components": 2}, "damaged: ValueError: its weights are of other shapes"),
        (lambda h: {**h, "model": {"name": "Bucket", "options": {"x": 1}}}, "damaged: TypeError"),
        (lambda h: [], "damaged"),
    ],
)
def test_damaged_headers(content, tmp_path, change, match):
    path = tmp_path / "fit.xdpl"
    path.write_bytes(with_header(content, change))
    with pytest.raises(FitFileError, match=match):
        xdpl.load(path, model=Bucket)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_truncated_and_flipped_files_only_give_clear_errors(content, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "fit.xdpl"
    if data.draw(st.booleans()):
        broken = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        broken = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    path.write_bytes(broken)
    # anything but a clear error would end this test
    with contextlib.suppress(FitFileError):
        xdpl.load(path, model=Bucket)


def test_what_cannot_be_written(fit, tmp_path):
    with pytest.raises(FitFileError, match="can't write"):
        fit.save(tmp_path / "no" / "such" / "folder" / "fit.xdpl")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told(fit, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FitFileError, match="can't write.*No space left"):
        fit.save(tmp_path / "fit.xdpl")
    assert os.listdir(tmp_path) == []


def test_options_must_be_plain(ds, tmp_path):
    @dataclass(frozen=True)
    class Odd(Bucket):
        extra: object = object()

    fit = xdpl.fit(ds, obs="qobs", **{**QUICK, "epochs": 1, "model": Odd()})
    with pytest.raises(FitFileError, match="can't be written as JSON"):
        fit.save(tmp_path / "fit.xdpl")


def test_deviations_without_labels_are_refused(content, tmp_path):
    path = tmp_path / "fit.xdpl"
    path.write_bytes(content)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["xdpl"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert header["settings"]["deviations"] and xdpl.load(path, model=Bucket)
    save_file(tensors, path, metadata={"xdpl": json.dumps({**header, "label": None})})
    with pytest.raises(FitFileError, match="it has deviations of cells, but no labels of them"):
        xdpl.load(path, model=Bucket)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FitFileError, match="is a folder, not a fit file. Give a file written by"):
        xdpl.load(tmp_path)
    xdpl.fit(grid(2, 2, 400), "qobs", checkpoint=tmp_path, **{**QUICK, "epochs": 1})
    told = r"folder of checkpoints.*checkpoint='.*' again.*fit.save\(\"fit.xdpl\"\)"
    with pytest.raises(FitFileError, match=told):
        xdpl.load(tmp_path)
