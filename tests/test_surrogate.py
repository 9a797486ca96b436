"""The surrogate: a process model like any other, with its transforms inside and no pickle."""

from __future__ import annotations

import errno
import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import boxes
import pytest
import torch
from safetensors.torch import save_file

from xdpl.blackbox import Function
from xdpl.errors import DeclarationError, FitFileError, XdplWarning
from xdpl.surrogate import EmulatorLSTM, Report, Surrogate, load_surrogate
from xdpl.surrogate.files import written

NETWORK = EmulatorLSTM(hidden=8, layers=2, embedding=4)


def surrogate(box=None, seed=0) -> Surrogate:
    torch.manual_seed(seed)
    emulator = NETWORK.build(2, 2, 1)
    rain = torch.distributions.Gamma(0.3, 0.05).sample((500,))
    emulator.learn_statistics(torch.stack([rain, 3 + torch.rand(500)], -1), rain[:, None] / 3)
    report = Report(runs={"sampled": 5}, held_out={"streamflow": {}}, ranges={"x": (0.0, 1.0)})
    return Surrogate(emulator, NETWORK, boxes.DECLARED, "bucket", 1.0, report, box)


def weather(steps=40, cells=3) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "precipitation": torch.rand(steps, cells) * 20,
        "potential_evaporation": torch.rand(steps, cells) * 5,
    }


def parameters(cells=3, components=1) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {
        "recession": 0.05 + 0.5 * torch.rand(cells, components),
        "evaporation_factor": 0.3 + torch.rand(cells, components),
    }


def test_it_declares_what_the_box_declares():
    model = surrogate()
    assert model.parameters == boxes.BUCKET.parameters
    assert list(model.outputs) == ["streamflow"] and model.timesteps == (1.0, 1.0)
    assert model.name == "Surrogate of bucket" and model.states["hidden"].size == 16


def test_two_halves_equal_a_whole_and_two_equal_components_equal_one():
    model, forcing, parameter = surrogate(), weather(), parameters()
    whole, final = model.simulate(forcing, parameter)
    first, state = model.simulate({k: v[:17] for k, v in forcing.items()}, parameter)
    second, last = model.simulate({k: v[17:] for k, v in forcing.items()}, parameter, state=state)
    joined = torch.cat([first["streamflow"], second["streamflow"]])
    torch.testing.assert_close(joined, whole["streamflow"])
    torch.testing.assert_close(last["memory"], final["memory"])
    assert final["hidden"].shape == (3, 1, 16)
    twice, _ = model.simulate(forcing, {k: v.expand(-1, 2) for k, v in parameter.items()})
    torch.testing.assert_close(twice["streamflow"], whole["streamflow"])


def test_components_are_averaged_and_shared_parameters_spread():
    model, forcing, parameter = surrogate(), weather(), parameters(components=2)
    both, _ = model.simulate(forcing, parameter)
    single = [
        model.simulate(forcing, {k: v[:, i : i + 1] for k, v in parameter.items()})[0]["streamflow"]
        for i in range(2)
    ]
    torch.testing.assert_close(both["streamflow"], (single[0] + single[1]) / 2)
    shared = {**parameter, "recession": parameter["recession"][:, 0]}
    assert model.simulate(forcing, shared)[0]["streamflow"].shape == (40, 3)


def test_gradients_reach_the_parameters_and_are_right():
    model, forcing = surrogate(), {k: v.double() for k, v in weather(12).items()}
    leaves = {k: v.double().requires_grad_() for k, v in parameters().items()}

    def total(recession: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        given = {"recession": recession, "evaporation_factor": factor}
        return model.simulate(forcing, given)[0]["streamflow"]

    assert torch.autograd.gradcheck(total, tuple(leaves.values()))
    assert not any(p.requires_grad for p in model.emulator.parameters())


def test_without_gradient_blocks_of_steps_give_the_same(monkeypatch):
    model, forcing, parameter = surrogate(), weather(), parameters()
    whole = model.simulate(forcing, parameter)[0]["streamflow"]
    monkeypatch.setattr("xdpl.surrogate.model.BLOCK", 8 * 8 * 3 * 7)
    torch.testing.assert_close(model.simulate(forcing, parameter)[0]["streamflow"], whole)


def test_threads_with_other_precisions_leave_each_other_alone():
    model, forcing, parameter = surrogate(), weather(), parameters()
    expected = {}
    for dtype in (torch.float32, torch.float64):
        expected[dtype] = run_in(model, dtype, forcing, parameter)
    weights = {p.dtype for p in model.emulator.parameters()}
    assert weights == {torch.float32}  # its own stay as they are

    def often(dtype):
        return [run_in(model, dtype, forcing, parameter) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        dtypes = [torch.float32, torch.float64] * 2
        for dtype, found in zip(dtypes, pool.map(often, dtypes), strict=True):
            assert all(torch.equal(one, expected[dtype]) for one in found)
    torch.testing.assert_close(
        expected[torch.float32].double(), expected[torch.float64], rtol=1e-4, atol=1e-4
    )


def run_in(model, dtype, forcing, parameter):
    given = ({k: v.to(dtype) for k, v in values.items()} for values in (forcing, parameter))
    return model.simulate(*given)[0]["streamflow"]


def test_forcings_outside_of_the_training_range_are_told_once():
    model, forcing = surrogate(), weather()
    model.report.ranges["precipitation"] = (0.0, 10.0)
    high = int((forcing["precipitation"] > 11).sum())
    with pytest.warns(XdplWarning, match=f"{high} of 120 values of precipitation lie outside"):
        model.simulate(forcing, parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.simulate(forcing, parameters())


def test_outputs_that_were_never_negative_never_are():
    flow, _ = surrogate().simulate(weather(200), parameters())
    assert float(flow["streamflow"].min()) >= 0


def test_files_hold_the_surrogate_and_name_the_box(tmp_path):
    box = boxes.of(boxes.bucket)
    model = surrogate(box)
    path = model.save(tmp_path / "bucket.surrogate")
    alone, whole = load_surrogate(path), load_surrogate(path, box)
    assert alone.digest == model.digest and alone.report == model.report and alone.dt == 1.0
    assert alone.parameters == model.parameters
    assert whole.true_model() is box
    with pytest.raises(DeclarationError, match="true model bucket is not at hand.*model=box"):
        alone.true_model()
    for given, told in (
        (boxes.of(boxes.bucket, name="pail"), "black box bucket, not pail"),
        (boxes.NumpyBucket(), "black box bucket, not NumpyBucket"),
        (3, "made with the black box bucket; 3 is none"),
        (
            Function(boxes.bucket, **{**boxes.DECLARED, "outputs": {"q": boxes.BUCKET.water}}),
            "outputs of bucket are declared otherwise",
        ),
    ):
        with pytest.raises(FitFileError, match=told):
            load_surrogate(path, given)


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "text").write_text("no surrogate")
    for name in ("text", "absent"):
        with pytest.raises(FitFileError, match="can't be read as a surrogate"):
            load_surrogate(tmp_path / name)
    with pytest.raises(FitFileError, match="can't write"):
        surrogate().save(tmp_path / "no" / "folder" / "x")


def test_a_surrogate_in_a_file_stays_where_its_successor_can_not_be_written(tmp_path, monkeypatch):
    path = surrogate().save(tmp_path / "bucket.surrogate")
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FitFileError, match="can't write.*No space left"):
        surrogate().save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"format": 2}, "the surrogate has format 2; this xdpl reads up to 1. Update xdpl"),
        ({"forcings": ["rain"]}, "forcings is of type list, not dict"),
        ({"forcings": {"rain": ["mm"]}}, "can't be read as a surrogate"),
        ({"report": 3}, "report is of type int, not dict"),
        ({"network": {"hidden": 10**6, "layers": 1}}, "it claims a larger network than it has"),
        ({"network": {"hidden": 8, "layers": 10**9}}, "it claims a larger network than it has"),
    ],
)
def test_a_header_that_lies_is_refused_before_memory_is_taken(tmp_path, changed, told, monkeypatch):
    header, tensors = written(surrogate())
    path, text = tmp_path / "lying", json.dumps({**header, **changed})
    save_file(tensors, path, metadata={"xdpl-surrogate": text})

    real = torch.nn.LSTM.__init__

    def small(self, inputs, hidden, *others, **more):
        assert hidden < 100 or torch.empty(0).device.type == "meta"
        real(self, inputs, hidden, *others, **more)

    monkeypatch.setattr(torch.nn.LSTM, "__init__", small)
    with pytest.raises(FitFileError, match=told):
        load_surrogate(path)


def test_what_is_missing_or_impossible_is_told():
    model, forcing, parameter = surrogate(), weather(), parameters()
    with pytest.raises(DeclarationError, match="without forcing potential_evaporation"):
        model.simulate({"precipitation": forcing["precipitation"]}, parameter)
    with pytest.raises(DeclarationError, match="without output runoff. It knows streamflow"):
        model.simulate(forcing, parameter, outputs=["runoff"])
    with pytest.raises(DeclarationError, match="recession of Surrogate of bucket was given for ea"):
        model.simulate(forcing, {k: v.expand(40, -1, -1) for k, v in parameter.items()})
    with pytest.raises(DeclarationError, match="hidden=0 can't be used"):
        EmulatorLSTM(hidden=0)
    assert "true runs    5 sampled" in str(model)
    assert repr(surrogate()) == repr(surrogate()) != repr(surrogate(seed=3))
