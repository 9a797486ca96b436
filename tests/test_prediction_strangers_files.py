"""Fit files of strangers: what they claim is bounded before anything is built from it."""

import json
import math
import time
from dataclasses import dataclass

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy import QUICK, Bucket, grid

import xdpl
from xdpl.errors import FitFileError
from xdpl.losses import NSE
from xdpl.networks import MLP

LOADED = []


@dataclass(frozen=True)
class Library(Bucket):
    """A model that opens a file when it is made."""

    path: str = "mine.so"
    steps: int = 1

    def __post_init__(self):
        LOADED.append(self.path)


@pytest.fixture(scope="module")
def ds():
    return grid(3, 4, 450)


@pytest.fixture(scope="module")
def saved(ds, tmp_path_factory):
    keywords = {**QUICK, "epochs": 1, "network": MLP((8, 4)), "ensemble": 2, "loss": NSE(0.2)}
    fit = xdpl.fit(ds, obs="qobs", **{**keywords, "model": Library()})
    return fit.save(tmp_path_factory.mktemp("fit") / "fit.xdpl")


def header_of(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["xdpl"])


def changed(header, at, value):
    """The same header with another value at a path of keys."""
    inner = value if len(at) == 1 else changed(header[at[0]], at[1:], value)
    return {**header, at[0]: inner}


@pytest.fixture
def rewrite(saved, tmp_path):
    def write(at=None, value=None, tensors=None):
        header = header_of(saved) if at is None else changed(header_of(saved), at, value)
        path = tmp_path / "other.xdpl"
        save_file({**load_file(saved), **(tensors or {})}, path, {"xdpl": json.dumps(header)})
        return path

    return write


LAYERS = {"parameters": ["recession"], "hidden": [1] * 300_000}
CLAIMS = {
    "layers of dynamic": (("dynamic",), LAYERS, "more layers than it has weights"),
    "a wide network": (("network", "options", "hidden"), [10**9, 4], "'hidden' is larger than its"),
    "many layers": (("network", "options", "hidden"), [1] * 10**5, "more layers than it has weig"),
    "components": (("components",), 10**12, "more components or members than it has weights"),
    "members": (("members",), 10**6, "more components or members than it has weights"),
    "one member more": (("members",), 3, "claims 3 members, and has weights of fewer or of more"),
    "epochs": (("settings", "epochs"), -5, "epochs is -5, not from 0"),
    "warm-up": (("settings", "warmup_days"), 1e9, "warmup_days is 1000000000.0, not from 0 to"),
    "learning rate": (("settings", "learning_rate"), math.nan, "learning_rate is nan"),
    "loss": (("losses", "streamflow", "options", "power"), 1e300, "options of NSE are out of bou"),
    "model": (("model", "options", "steps"), 2**60, "options of Library are out of bounds"),
    "spans": (("dynamic",), {"parameters": [], "spans": [1e9]}, "over more than 1e.06 days"),
    "unit": (("domain",), [0.0, 1.0], r"domain\[0\] is 0.0"),
    "labels": (("label",), [], "names no training cells"),
    "factor": (("layout", "observed", "streamflow", "source", "scale"), 1e200, "is converted by"),
    "time step": (("layout", "dt"), math.inf, "its time step is inf days"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_are_refused_at_once(rewrite, claim):
    at, value, match = CLAIMS[claim]
    began = time.perf_counter()
    with pytest.raises(FitFileError, match=match):
        xdpl.load(rewrite(at, value), model=Library)
    assert time.perf_counter() - began < 20  # on a busy machine; a second elsewhere


def test_a_tensor_without_values_claims_no_size(rewrite):
    path = rewrite(tensors={"past": torch.empty(0, 3 * 10**8)})
    with pytest.raises(FitFileError, match=r"past claims the shape \(0, 300000000\) in \d+ bytes"):
        xdpl.load(path, model=Library)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_are_finite(rewrite, saved, value):
    name = "learner.members.1.network.head.weight"
    weight = load_file(saved)[name].clone()
    weight[0, 0] = value
    with pytest.raises(FitFileError, match="members.1.network.head.weight has values that are not"):
        xdpl.load(rewrite(tensors={name: weight}), model=Library)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("count.streamflow", lambda t: t - 1000, "count.streamflow has counts below 0"),
        ("domain", lambda t: t / 0, "domain has values that are not finite"),
        ("domain", lambda t: t[:0], "keeps the attributes of no training cell"),
        ("learner.order", lambda t: t + 7, "components in an impossible order"),
        ("learner.members.0.network.head.bias", torch.Tensor.double, "of other shapes than it cla"),
    ],
)
def test_what_is_kept_of_cells_and_members_can_be(rewrite, saved, name, change, match):
    tensor = change(load_file(saved)[name]).contiguous()
    with pytest.raises(FitFileError, match=match):
        xdpl.load(rewrite(tensors={name: tensor}), model=Library)


def test_a_model_given_is_never_replaced(rewrite, saved):
    own = Library()
    LOADED.clear()
    assert xdpl.load(saved, model=own).model is own and LOADED == []
    path = rewrite(("model", "options", "path"), "other.so")
    told = (
        r"Library with path=\"other.so\", and the one given has \"mine.so\".*the class: model=Lib"
    )
    with pytest.raises(FitFileError, match=told):
        xdpl.load(path, model=own)
    assert LOADED == []
    assert xdpl.load(path, model=Library).model == Library("other.so")  # as the message advises


def test_an_option_that_a_file_does_not_know_must_be_the_usual_one(rewrite):
    path = rewrite(("model", "options"), {"path": "mine.so"})
    assert xdpl.load(path, model=Library()).model == Library()
    with pytest.raises(FitFileError, match="with steps=1, and the one given has 2"):
        xdpl.load(path, model=Library(steps=2))


def test_networks_and_losses_given_are_used_as_they_are(rewrite, saved):
    network, loss = MLP((8, 4)), NSE(0.2)
    fit = xdpl.load(saved, model=Library, network=network, losses=[loss])
    assert fit.network is network and fit.losses["streamflow"] is loss
    with pytest.raises(FitFileError, match=r"network MLP with hidden=\[8, 4\].*has \[3\]"):
        xdpl.load(saved, model=Library, network=MLP((3,)))
    with pytest.raises(FitFileError, match=r"loss NSE with .*the class: losses=\[NSE\]"):
        xdpl.load(saved, model=Library, losses=[NSE(0.5)])


def test_text_of_a_file_can_not_command_a_terminal(rewrite, ds):
    nasty = "\x1b]0;mine\x07\x1b[2J\x9b31m\u202ereversed"
    fit = xdpl.load(rewrite(("layout", "notes"), [nasty, "two\nlines"]), model=Library)
    assert r"\x1b]0;mine\x07\x1b[2J\x9b31m\u202ereversed" in repr(fit) and "two\nlines" in repr(fit)
    fit = xdpl.load(rewrite(("record", "versions"), {nasty: nasty}), model=Library)
    assert "\x1b" not in fit.parameters(ds).attrs["versions"]
    with pytest.raises(FitFileError) as refused:
        xdpl.load(rewrite(("model", "name"), nasty))
    assert "\x1b" not in str(refused.value)
