"""`fit` on what it can't learn from: refused before any long work, or told."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, Bucket, grid

import xdpl
from xdpl import errors
from xdpl.losses import MSE


@pytest.fixture(scope="module")
def ds():
    return grid()


def test_non_finite_loss_names_cells_and_keeps_weights(ds):
    class Broken(Bucket):
        def step(self, forcing, state, parameter, dt):
            states, outputs = super().step(forcing, state, parameter, dt)
            wet = forcing.precipitation > 60
            flow = torch.where(wet, torch.nan, outputs["streamflow"])
            return states, {**outputs, "streamflow": flow}

    with pytest.raises(errors.NonFiniteLoss, match=r"loss of batch 1 .* cells: ") as caught:
        xdpl.fit(ds, obs="qobs", **{**QUICK, "model": Broken()})
    assert isinstance(caught.value.fit, xdpl.Fit)
    assert np.isfinite(caught.value.fit.parameters(ds).recession).all()


def test_non_finite_gradient_is_an_error_too(ds):
    class Steep(Bucket):
        def step(self, forcing, state, parameter, dt):
            states, outputs = super().step(forcing, state, parameter, dt)
            zero = torch.sqrt((parameter.recession - parameter.recession) ** 2)
            return states, {**outputs, "streamflow": outputs["streamflow"] + zero}

    with pytest.raises(errors.NonFiniteLoss, match=r"gradient of batch 1"):
        xdpl.fit(ds, obs="qobs", **{**QUICK, "model": Steep()})


REFUSED = {
    "unknown keyword": ({"epoch": 3}, errors.DeclarationError, "no keyword 'epoch'.*'epochs'"),
    "epochs": ({"epochs": 0}, errors.DeclarationError, "epochs=0"),
    "batch_size": ({"batch_size": 2.5}, errors.DeclarationError, "batch_size=2.5"),
    "components": ({"components": True}, errors.DeclarationError, "components=True"),
    "learning_rate": ({"learning_rate": -1}, errors.DeclarationError, "learning_rate=-1"),
    "device": ({"device": "gpux"}, errors.DeclarationError, "device='gpux'"),
    "model": ({"model": 3}, errors.DeclarationError, "not a process model"),
    "network": ({"network": 3}, errors.DeclarationError, "network is 3, not a network"),
    "loss": ({"loss": 3}, errors.DeclarationError, "loss is 3, not a loss"),
    "model by name": (
        {"model": "HBW"}, errors.DeclarationError, "model='HBW' is no model .*Did you mean 'HBV'.*"
        "It has VIC, HBV, GR4J. Give one of these names",
    ),
    "network by name": (
        {"network": "ltsm"}, errors.DeclarationError, "network='ltsm'.*Did you mean 'LSTM'",
    ),
    "loss by name": ({"loss": "keg"}, errors.DeclarationError, "loss='keg'.*Did you mean 'KGE'"),
    "loss of one by name": (
        {"loss": {"qobs": "nsse"}}, errors.DeclarationError, "loss='nsse'.*Did you mean 'NSE'",
    ),
    "loss of another": ({"loss": {"other": MSE()}}, errors.DeclarationError, "no entry for 'qobs'"),
    "device of another kind": ({"device": "meta"}, errors.DeclarationError, "does not run on"),
    "seed": ({"seed": "x"}, errors.DeclarationError, "seed='x'.*whole number from 0"),
    "seed below 0": ({"seed": -1}, errors.DeclarationError, "seed=-1"),
    "seed too large": ({"seed": 2**70}, errors.DeclarationError, "seed=1180591620717411303424"),
    "deviations": ({"deviations": "no"}, errors.DeclarationError, "deviations='no'.*True or False"),
    "progress": ({"progress": "no"}, errors.DeclarationError, "progress='no'.*True or False"),
    "past": ({"past": 30}, errors.LayoutError, "past=30 is not a span of time"),
    "forcings": ({"forcings": "prcp"}, errors.LayoutError, "forcings is 'prcp'"),
    "checkpoint": ({"checkpoint": __file__}, errors.FitFileError, "can't write checkpoints"),
    "precision": ({"precision": "half"}, errors.DeclarationError, "precision='half'.*mixed"),
    "engine": ({"engine": "fast"}, errors.DeclarationError, "engine=.fast."),
    "period outside": (
        {"period": slice("2010-01-01", "2011-01-01")}, errors.DataError, "outside the data",
    ),
    "period no span": ({"period": 2000}, errors.LayoutError, "not a span of time"),
    "period unreadable": ({"period": slice("long ago", None)}, errors.LayoutError, "can't be read"),
    "period backwards": (
        {"period": slice("2001-06-01", "2001-01-01")}, errors.DataError, "ends before it begins",
    ),
    "warmup too long": (
        {"warmup": 400, "period": slice("2001-01-01", "2001-12-01")},
        errors.DataError, "longer than the period",
    ),
    "warmup no span": ({"warmup": "a while"}, errors.DeclarationError, "warmup='a while'"),
    "warmup negative": ({"warmup": -1}, errors.DeclarationError, "warmup=-1"),
    "cells no mask": ({"cells": [1, 2]}, errors.LayoutError, "cells is a list"),
    "no cell left": (
        {"cells": xr.DataArray(np.zeros((5, 6), bool), dims=("y", "x"))},
        errors.DataError, "no cell is left.*None is wanted and has any forcing. Check",
    ),
    "cells of another shape": (
        {"cells": xr.DataArray(np.ones((5, 4), bool), dims=("y", "x"))},
        errors.LayoutError, "cells lacks 2 of the 6 values of 'x'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_any_work(ds, case):
    keywords, error, match = REFUSED[case]
    with pytest.raises(error, match=match):
        xdpl.fit(ds, obs="qobs", **{**QUICK, **keywords})


def test_cuda_is_refused_where_there_is_none(ds):
    if torch.cuda.is_available():
        assert xdpl.fit(ds, obs="qobs", device="cuda", **QUICK).record["device"] == "cuda"
        return
    with pytest.raises(errors.DeclarationError, match="no CUDA device"):
        xdpl.fit(ds, obs="qobs", device="cuda", **QUICK)


def test_a_period_reaching_beyond_the_data_is_said(ds):
    with pytest.warns(errors.XdplWarning, match="reaches beyond the data"):
        xdpl.fit(ds, obs="qobs", period=slice("1999-01-01", "2001-06-30"), **QUICK)
    noleap = ds.convert_calendar("noleap")
    with pytest.warns(errors.XdplWarning, match="reaches beyond the data"):
        fit = xdpl.fit(noleap, obs="qobs", period=slice("2000-06", "2004"), **QUICK)
    assert fit.settings["period"][0] == "2000-06-01"
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.XdplWarning)
        xdpl.fit(noleap, obs="qobs", period=slice("2000", "2001-12"), **QUICK)


@pytest.mark.parametrize("given", [grid().prcp, "file.nc", None])
def test_what_is_no_dataset_is_refused(given):
    with pytest.raises(errors.LayoutError, match="not an xarray.Dataset"):
        xdpl.fit(given, obs="qobs")


def test_nothing_observed_inside_the_period_says_which(ds):
    late = ds.assign(qobs=ds.qobs.where(ds.time > np.datetime64("2001-06-01")))
    with pytest.raises(errors.DataError, match="missing from 2000-03-01 to 2001-02-28"):
        xdpl.fit(late, obs="qobs", period=slice("2000-03-01", "2001-02-28"), **QUICK)


def test_gaps_in_every_window_of_a_store_are_an_error(ds, monkeypatch):
    monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: 0)
    keywords = {k: v for k, v in QUICK.items() if k != "batch_size"}
    never = ds.assign(prcp=ds.prcp.where(ds.time.dt.day > 10)).chunk({"y": 1, "time": -1})
    with pytest.raises(errors.DataError, match="no batch of epoch 1 has a cell with complete"):
        xdpl.fit(never, obs="qobs", **keywords)


@pytest.mark.parametrize("strange", [5, ("a", 1), 2.5])
def test_names_that_are_no_text_are_to_be_renamed(strange):
    ds = grid()
    odd = ds.assign({strange: (("y", "x"), np.arange(30.0).reshape(5, 6))})
    with pytest.raises(errors.LayoutError, match="1 name is not text: .*Rename: ds = ") as raised:
        xdpl.fit(odd, obs="qobs", **QUICK)
    scope = {"ds": odd}
    exec(str(raised.value).partition("Rename: ")[2].rstrip("."), scope)
    fit = xdpl.fit(scope["ds"], obs="qobs", **QUICK)
    assert len(fit.layout.attributes) == 3
    wide = ds.assign(prcp=ds["prcp"].expand_dims({3: 2}))
    with pytest.raises(errors.LayoutError, match="1 name is not text: 3"):
        xdpl.fit(wide, obs="qobs", **QUICK)
