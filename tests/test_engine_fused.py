"""The fused engine against the eager loop: values, gradients, NaN, threads, fallbacks."""

import math
import platform
import warnings
from dataclasses import dataclass

import pytest
import torch

import xdpl.engine as engine
from xdpl import models
from xdpl.engine import cpu, fused, jit, simulate
from xdpl.engine import threads as threads_module
from xdpl.errors import DeclarationError, EngineWarning

from .engine_models import Bucket, Hydrograph, Snowy, inputs

MODELS = [Bucket(), Hydrograph(), Snowy(), models.HBV(), models.VIC(), models.GR4J()]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)


def run(model, groups, how, outputs=None, dt=1.0):
    """Outputs, final state and gradients, under weighted cotangents that no symmetry hides."""
    leaves = [v for group in groups for v in group.values() if v.requires_grad]
    for leaf in leaves:
        leaf.grad = None
    out, final = simulate(model, *groups, engine=how, outputs=outputs, dt=dt)
    random = torch.Generator().manual_seed(7)
    loss = torch.zeros((), dtype=next(iter(out.values())).dtype)
    for value in [*out.values(), *final.values()]:
        weight = torch.rand(value.shape, generator=random, dtype=value.dtype) - 0.3
        loss = loss + (weight * value).sum()
    if leaves:
        loss.backward()
    results = [v.detach() for v in [*out.values(), *final.values()]]
    # the eager loop leaves None where nothing depends on an input
    return results, [torch.zeros_like(v) if v.grad is None else v.grad for v in leaves]


def assert_same(model, groups, tolerance, **options):
    expected, slopes = run(model, groups, "eager", **options)
    actual, found = run(model, groups, "fused", **options)
    for a, b in zip(actual + found, expected + slopes, strict=True):
        finite = b[b.isfinite()].abs()
        scale = float(finite.max()) if finite.numel() else 1.0
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


@each_model
@pytest.mark.parametrize(("cells", "components"), [(3, 2), (37, 1), (19, 3)])
def test_same_as_eager(model, cells, components):
    groups = inputs(
        model, cells=cells, components=components, time=40, dtype=torch.float64, grad=True
    )
    assert_same(model, groups, 1e-9)


@each_model
def test_same_as_eager_in_single_precision(model):
    assert_same(model, inputs(model, cells=37, components=2, time=30, grad=True), 1e-4)


@pytest.mark.parametrize("model", [models.HBV(), models.VIC()])
def test_hourly(model):
    groups = inputs(model, cells=5, components=1, time=30, dtype=torch.float64, grad=True)
    assert_same(model, groups, 1e-9, dt=1 / 24)


@pytest.mark.parametrize("components", [1, 3])
def test_dynamic_parameters(components):
    forcing, parameter, state = inputs(
        Snowy(), cells=11, components=components, time=37, dtype=torch.float64
    )
    wave = 1 + 0.2 * torch.sin(torch.arange(37, dtype=torch.float64))[:, None, None]
    for name in ("capacity", "fast"):
        parameter[name] = parameter[name] * wave
    groups = [
        {k: v.clone().requires_grad_() for k, v in group.items()}
        for group in (forcing, parameter, state)
    ]
    assert_same(Snowy(), groups, 1e-9)


def test_gradcheck():
    forcing, parameter, state = inputs(
        Snowy(), cells=2, components=2, time=18, dtype=torch.float64, grad=True
    )
    names = [list(forcing), list(parameter), list(state)]

    def function(*values):
        taken = iter(values)
        groups = [{name: next(taken) for name in group} for group in names]
        out, final = simulate(Snowy(), *groups, engine="fused")
        return (*out.values(), *final.values())

    leaves = [v for group in (forcing, parameter, state) for v in group.values()]
    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("wanted", [["runoff"], ["swe", "runoff"], ["runoff", "swe"]])
def test_only_wanted_outputs(wanted):
    groups = inputs(Snowy(), time=20, dtype=torch.float64, grad=True)
    assert list(simulate(Snowy(), *groups, outputs=wanted)[0]) == wanted
    assert_same(Snowy(), groups, 1e-9, outputs=wanted)


def test_gradients_only_where_asked():
    forcing, parameter, state = inputs(Snowy(), time=20, dtype=torch.float64)
    parameter["shape"].requires_grad_()
    assert_same(Snowy(), (forcing, parameter, state), 1e-9)
    out, _ = simulate(Snowy(), forcing, parameter, state, engine="fused")
    (slope,) = torch.autograd.grad(out["runoff"].sum(), parameter["shape"])
    assert slope.shape == parameter["shape"].shape


def test_second_backward_over_the_same_run():
    groups = inputs(Bucket(), time=20, dtype=torch.float64, grad=True)
    leaf = groups[1]["recession"]
    out, _ = simulate(Bucket(), *groups, engine="fused")
    first = torch.autograd.grad(out["runoff"].sum(), leaf, retain_graph=True)
    simulate(Bucket(), *groups, engine="fused")
    again = torch.autograd.grad(out["runoff"].sum(), leaf)
    torch.testing.assert_close(first, again)


def test_nothing_to_differentiate_needs_no_checkpoints(monkeypatch):
    groups = inputs(Bucket(), time=20, grad=True)
    monkeypatch.setattr(cpu, "_aligned", lambda *_: pytest.fail("checkpoints were allocated"))
    with torch.no_grad():
        simulate(Bucket(), *groups, engine="fused")


@each_model
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_missing_value_stays_in_its_cell(model, dtype):
    groups = inputs(model, cells=20, components=2, time=24, dtype=dtype)
    groups[0]["precipitation"][7, 5] = math.nan
    expected, _ = run(model, groups, "eager")
    actual, _ = run(model, groups, "fused")
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a.isnan(), b.isnan())
    assert actual[0][7:, 5].isnan().any()
    assert not actual[0][:, :5].isnan().any()


def test_a_missing_value_has_no_say_in_other_cells_gradients():
    groups = inputs(Snowy(), cells=20, components=2, time=24, dtype=torch.float64)
    _, parameter, _ = groups
    for value in parameter.values():
        value.requires_grad_()
    _, clean = run(Snowy(), groups, "fused")
    groups[0]["temperature"][7, 5] = math.nan
    _, slopes = run(Snowy(), groups, "fused")
    others = [c for c in range(20) if c != 5]
    for a, b in zip(slopes, clean, strict=True):
        assert torch.equal(a[others], b[others])


@each_model
@pytest.mark.parametrize(("cells", "components"), [(700, 3), (100, 1)])
def test_any_number_of_threads_gives_the_same(model, cells, components, monkeypatch):
    monkeypatch.setattr(threads_module, "_SMALL", 0)  # small runs would take one thread
    groups = inputs(model, cells=cells, components=components, time=40, grad=True)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(run(model, groups, "fused"))
    finally:
        torch.set_num_threads(before)
    for values, slopes in results[1:]:
        assert all(map(torch.equal, values + slopes, results[0][0] + results[0][1]))


# ---- what can't be fused ----------------------------------------------------------------
@dataclass(frozen=True)
class Sorting(Bucket):
    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        return states, {**outputs, "level": torch.sort(outputs["level"], dim=0).values}


@dataclass(frozen=True)
class Branching(Bucket):
    def step(self, forcing, state, parameter, dt):
        if (forcing.precipitation > 0).any():
            return super().step(forcing, state, parameter, dt)
        return {"storage": state.storage}, {"runoff": state.storage, "level": state.storage}


@dataclass(frozen=True)
class Mixing(Bucket):
    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        return states, {**outputs, "level": outputs["level"].mean(-1, keepdim=True)}


@dataclass(frozen=True)
class Counting(Bucket):
    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        return states, {**outputs, "level": outputs["level"] / state.storage.shape[0]}


@dataclass(frozen=True)
class Random(Bucket):
    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        return states, {**outputs, "level": outputs["level"] * 0 + torch.rand(())}


OUTSIDE = torch.tensor(2.0)


@dataclass(frozen=True)
class Closing(Bucket):
    def step(self, forcing, state, parameter, dt):
        states, outputs = super().step(forcing, state, parameter, dt)
        return states, {**outputs, "level": outputs["level"] * OUTSIDE}


UNFUSED = {
    Sorting: "sort",
    Branching: "can't trace",
    Mixing: "axis of cells or components",
    Counting: "number of cells",
    Random: "random",
    Closing: "a tensor from outside the step",
}


@pytest.mark.parametrize("model", UNFUSED, ids=lambda m: m.__name__)
def test_the_eager_loop_takes_over_with_one_warning(model, monkeypatch):
    monkeypatch.setattr(engine, "_WARNED", set())
    groups = inputs(model())
    with pytest.warns(EngineWarning, match=f"{model.__name__}.*{UNFUSED[model]}") as found:
        out, _ = simulate(model(), *groups)
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(model(), *groups)
        expected, _ = simulate(model(), *groups, engine="eager")
    if model is not Random:
        assert torch.equal(out["level"], expected["level"])


def test_demanding_the_fused_engine():
    with pytest.raises(DeclarationError, match="engine='fused' can't run Sorting"):
        simulate(Sorting(), *inputs(Sorting()), engine="fused")


@pytest.mark.parametrize("how", ["eager", "fused"])
def test_a_step_that_forgets_a_state(how):
    class Forgetful(Bucket):
        def step(self, forcing, state, parameter, dt):
            return {}, super().step(forcing, state, parameter, dt)[1]

    with pytest.raises(DeclarationError, match="Forgetful"):
        simulate(Forgetful(), *inputs(Forgetful()), engine=how)
    with pytest.raises(DeclarationError, match="no tensor for state storage"):
        simulate(Forgetful(), *inputs(Forgetful()), engine="eager")


def test_a_step_that_returns_no_pair():
    class Single(Bucket):
        def step(self, forcing, state, parameter, dt):
            return super().step(forcing, state, parameter, dt)[0]

    with pytest.raises(DeclarationError, match=r"not \(states, outputs\)"):
        simulate(Single(), *inputs(Single()), engine="eager")


# ---- one trace a model ------------------------------------------------------------------
def test_equal_models_share_a_loop_and_options_tell_them_apart():
    example = torch.zeros(1, 1)
    first = fused.loop_for(models.HBV(), 1.0, example)
    assert fused.loop_for(models.HBV(), 1.0, example) is first
    assert fused.loop_for(models.HBV(capillary_rise=False), 1.0, example) is not first
    assert fused.loop_for(models.HBV(), 0.5, example) is not first
    assert fused.loop_for(models.HBV(), 1.0, example.double()) is not first


def test_an_object_that_is_no_dataclass_is_traced_again_when_it_changes():
    class Plain:
        name = "Plain"
        factor = 1.0
        forcings, parameters = Bucket().forcings, Bucket().parameters
        states, outputs = Bucket().states, Bucket().outputs

        def step(self, forcing, state, parameter, dt):
            states, outputs = Bucket().step(forcing, state, parameter, dt)
            return states, {**outputs, "level": outputs["level"] * self.factor}

    model = Plain()
    once, _ = simulate(model, *inputs(Bucket()), engine="fused")
    model.factor = 2.0
    twice, _ = simulate(model, *inputs(Bucket()), engine="fused")
    torch.testing.assert_close(twice["level"], 2 * once["level"])


# ---- other processors -------------------------------------------------------------------
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="for x86 only")
@pytest.mark.parametrize(
    ("name", "features"), [("haswell", "+avx,+avx2,+fma,+bmi,+bmi2"), ("x86-64", "+sse2")]
)
@pytest.mark.parametrize("cells", [16, 21])
def test_processors_with_shorter_vectors(name, features, cells, monkeypatch):
    here = jit.host()
    monkeypatch.setattr(jit, "host", lambda: jit.Host(here.triple, name, features))
    monkeypatch.setattr(fused, "_LOOPS", {})
    model = models.HBV()
    groups = inputs(model, cells=cells, components=2, time=30, grad=True)
    assert_same(model, groups, 1e-4)
    groups[0]["precipitation"].data[3, 2] = math.nan
    with torch.no_grad():
        out, _ = simulate(model, *groups, engine="fused")
    assert out["streamflow"][3:, 2].isnan().all()
    assert not out["streamflow"][:, 3:].isnan().any()


@dataclass(frozen=True)
class Bare(Bucket):
    """A model without parameters, with a constant output and a state that never changes."""

    @property
    def parameters(self):
        return {}

    def step(self, forcing, state, parameter, dt):
        level = torch.zeros_like(state.storage)
        return {"storage": state.storage}, {"runoff": forcing.precipitation, "level": level}


def test_a_step_that_hardly_does_anything():
    groups = inputs(Bare(), cells=5, time=20, dtype=torch.float64, grad=True)
    assert_same(Bare(), groups, 1e-12)
    with torch.inference_mode():
        out, _ = simulate(Bare(), *groups, engine="fused")
    assert not out["level"].any()
