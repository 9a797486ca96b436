"""What strangers and bad luck write into files: only errors of xdpl, no code run, no memory taken.

XDPL_FUZZ says how many cases each test takes; 40 by default.
"""

import json
import os
import struct
import warnings

import boxes
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy import QUICK, Bucket, grid

import xdpl
from xdpl.errors import LayoutError, XdplError
from xdpl.layout import recognise
from xdpl.networks import MLP
from xdpl.parameters.learner import Learner
from xdpl.surrogate.files import load_surrogate
from xdpl.training import TrainState, WarmupCosine, adamw
from xdpl.training.checkpoint import Checkpoint
from xdpl.units import conversion

CASES = settings(
    max_examples=int(os.environ.get("XDPL_FUZZ", "40")),
    derandomize="XDPL_FUZZ" not in os.environ,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a case of files takes long to shrink
    suppress_health_check=list(HealthCheck),
)

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([10**9, 10**15, -1, 0, "HBV", "__import__", [], {}, [[]], "nan"])
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.fixture(scope="module")
def small():
    return grid(ny=2, nx=3, days=380)


@pytest.fixture(scope="module")
def files(small, tmp_path_factory):
    """A fit file and a checkpoint, as bytes."""
    folder = tmp_path_factory.mktemp("fuzz")
    fit = xdpl.fit(small, obs="qobs", checkpoint=folder / "kept", **{**QUICK, "epochs": 1})
    saved = fit.save(folder / "fit.xdpl")
    (kept,) = (folder / "kept").glob("epoch-*")
    return folder, saved, kept


def header_of(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["xdpl"])


def paths(tree, at=()):
    """Paths to all nodes of a tree of JSON."""
    yield at
    if isinstance(tree, (dict, list)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            yield from paths(value, (*at, key))


def changed(tree, at, value):
    if not at:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[at[0]] = changed(copy[at[0]], at[1:], value)
    return copy


def damaged(data, content):
    """Flip, cut or insert bytes; the first ones, with the lengths, more often than others."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, 60) | st.integers(0, max(0, len(content) - 1)))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "length"]))
        if kind == "flip" and where < len(content):
            content[where] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del content[where : where + data.draw(st.integers(1, 5000))]
        elif kind == "insert":
            content[where:where] = data.draw(st.binary(min_size=1, max_size=50))
        else:
            content[:8] = struct.pack("<Q", data.draw(st.integers(0, 2**64 - 1)))
    return bytes(content)


def use(path, ds):
    """Load a fit, and look at it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = xdpl.load(path, model=Bucket)
            repr(fit)
            fit.parameters(ds, trust=True).load()
            fit.evaluate(ds).load()
            fit.forcings(ds).load()
        except XdplError:
            return


@CASES
@given(data=st.data())
def test_fit_files_with_other_bytes(data, files, small):
    folder, saved, _ = files
    (folder / "other.xdpl").write_bytes(damaged(data, saved.read_bytes()))
    use(folder / "other.xdpl", small)


@CASES
@given(data=st.data())
def test_fit_files_with_other_headers(data, files, small):
    folder, saved, _ = files
    header = header_of(saved)
    at = data.draw(st.sampled_from(sorted(paths(header), key=str)))
    header = changed(header, at, data.draw(JSON))
    save_file(load_file(saved), folder / "h.xdpl", metadata={"xdpl": json.dumps(header)})
    use(folder / "h.xdpl", small)


NUMBERS = st.integers() | st.floats() | st.sampled_from(
    [0, -1, 1, 2, 10**6, 10**9, 2**53, 2**63, 10**30, 1e-300, 1e30, 1e300, 5e-324, float("nan"),
     float("inf"), -float("inf"), True]
)  # fmt: skip


def leaf(tree, at):
    for key in at:
        tree = tree[key]
    return tree


def with_other_numbers(data, header):
    """A header with some of its numbers changed, or with a number in place of what is None."""
    numeric = [
        at for at in paths(header)
        if isinstance(leaf(header, at), (int, float)) or leaf(header, at) is None
    ]  # fmt: skip
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(sorted(numeric, key=str)))
        header = changed(header, at, data.draw(NUMBERS))
    return header


def with_other_tensors(data, tensors):
    """Tensors of which one has another value, size or type."""
    name = data.draw(st.sampled_from(sorted(tensors)))
    tensor = tensors[name].clone()
    kind = data.draw(st.sampled_from(["value", "empty", "wide", "type"]))
    if kind == "value" and tensor.numel():
        value = data.draw(st.sampled_from([0.0, -1.0, 1e6, 1e30, float("nan"), float("inf")]))
        whole = not tensor.is_floating_point()
        tensor.view(-1)[0] = int(value) if whole and np.isfinite(value) else 0 if whole else value
    elif kind == "empty":
        tensor = tensor[:0] if tensor.dim() else tensor
    elif kind == "wide":
        tensor = torch.empty((0, 10**9), dtype=tensor.dtype)
    else:
        tensor = tensor.to(data.draw(st.sampled_from([torch.float64, torch.int8, torch.bool])))
    return {**tensors, name: tensor.contiguous()}


@CASES
@given(data=st.data())
def test_fit_files_with_other_numbers_and_tensors(data, files, small):
    folder, saved, _ = files
    header, tensors = header_of(saved), load_file(saved)
    if data.draw(st.booleans()):
        header = with_other_numbers(data, header)
    else:
        tensors = with_other_tensors(data, tensors)
    save_file(tensors, folder / "n.xdpl", metadata={"xdpl": json.dumps(header)})
    use(folder / "n.xdpl", small)


@pytest.fixture(scope="module")
def surrogate(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("surrogate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = xdpl.emulate(boxes.NumpyBucket(), small, **{**boxes.SMALL, "samples": 4})
    return made.save(folder / "s.xdpl")


@CASES
@given(data=st.data())
def test_surrogates_with_other_headers_numbers_and_tensors(data, surrogate):
    with safe_open(surrogate, "pt") as file:
        header = json.loads(file.metadata()["xdpl-surrogate"])
    tensors = load_file(surrogate)
    kind = data.draw(st.sampled_from(["json", "number", "tensor"]))
    if kind == "json":
        at = data.draw(st.sampled_from(sorted(paths(header), key=str)))
        header = changed(header, at, data.draw(JSON))
    elif kind == "number":
        header = with_other_numbers(data, header)
    else:
        tensors = with_other_tensors(data, tensors)
    path = surrogate.with_name("other")
    save_file(tensors, path, metadata={"xdpl-surrogate": json.dumps(header)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read = load_surrogate(path)
            str(read), repr(read)
            forcing = {name: torch.ones(5, 2) for name in read.forcings}
            middle = {k: torch.full((2, 1), sum(p.bounds) / 2) for k, p in read.parameters.items()}
            read.simulate(forcing, middle, dt=read.dt)
        except XdplError:
            return


def resumed(folder):
    learner = Learner(MLP(), Bucket(), [0, 0])
    before = {k: v.clone() for k, v in learner.state_dict().items()}
    state = TrainState(learner, adamw(learner, 0.01), WarmupCosine(10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            done = Checkpoint(folder, {}).resume(state)
        except XdplError:
            done = 0
    if done == 0 and not state.history.step:
        after = learner.state_dict()
        assert all(np.array_equal(before[k].numpy(), after[k].numpy()) for k in before)


@CASES
@given(data=st.data())
def test_checkpoints_with_other_bytes_and_headers(data, files):
    folder, _, kept = files
    target = folder / "other"
    target.mkdir(exist_ok=True)
    path = target / kept.name
    if data.draw(st.booleans()):
        path.write_bytes(damaged(data, kept.read_bytes()))
    elif data.draw(st.booleans()):
        header, tensors = {**header_of(kept), "identity": {}}, load_file(kept)
        if data.draw(st.booleans()):
            header = with_other_numbers(data, header)
        else:
            tensors = with_other_tensors(data, tensors)
        save_file(tensors, path, metadata={"xdpl": json.dumps(header)})
    else:
        header = {**header_of(kept), "identity": {}}
        at = data.draw(st.sampled_from(sorted(paths(header), key=str)))
        header = changed(header, at, data.draw(JSON))
        save_file(load_file(kept), path, metadata={"xdpl": json.dumps(header)})
    resumed(target)


UNITS = st.text(max_size=30) | st.sampled_from(
    ["mm day-1", "mm/day", "kg m-2 s-1", "degC", "K", "1", "", "m s**-1", "mm day^-999", "10^99 m",
     "days since 2000-01-01", "mm d-1 (mean)", "W m-2", "inch/hour", "µm", "°C", "%", "1e400 mm"]
)  # fmt: skip


@CASES
@given(given=UNITS, wanted=st.sampled_from(["mm day-1", "degC", "W m-2", "m"]))
def test_units_of_any_text(given, wanted):
    try:
        scale, offset = conversion(given, wanted, variable="x")
    except XdplError:
        return
    assert np.isfinite([scale, offset]).all()


ATTRIBUTE = (
    st.text(max_size=20) | st.integers(-(2**31), 2**31 - 1) | st.floats(width=32)
    | st.lists(st.floats(width=32), min_size=1, max_size=4).map(np.array) | UNITS
)  # fmt: skip
NAMES = st.sampled_from(
    ["units", "standard_name", "long_name", "flag_values", "flag_meanings", "axis", "positive",
     "grid_mapping", "bounds", "coordinates", "cell_methods", "valid_range", "cf_role",
     "ancillary_variables", "missing_value", "crs_wkt"]
)  # fmt: skip


@CASES
@given(data=st.data())
def test_attributes_of_any_kind(data, small):
    ds = small.copy()
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(sorted(map(str, ds.variables))))
        attrs = {**ds[name].attrs, data.draw(NAMES): data.draw(ATTRIBUTE)}
        ds[name] = ds[name].assign_attrs(attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            recognise(ds, Bucket(), obs="qobs")
        except XdplError:
            return


def test_a_standard_name_that_is_no_text_is_refused(small):
    ds = small.assign(soil=small.forest.assign_attrs(standard_name=np.array([1.0])))
    with pytest.raises(LayoutError, match="standard_name of 'soil' is a ndarray, not text. Corr"):
        recognise(ds, Bucket(), obs="qobs")


def test_flag_values_that_are_text_are_named(small):
    ds = small.assign(soil=small.forest.round(1).assign_attrs(flag_values="sand clay"))
    with pytest.raises(XdplError, match="flag_values of 'soil' are 'sand clay', not numbers"):
        recognise(ds, Bucket(), obs="qobs")
