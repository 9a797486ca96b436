"""What the fused engine can't run, each with its reason; the eager loop takes over."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

import xdpl.engine as engine
from xdpl.engine import fused, gpu, jit, program, simulate
from xdpl.engine.fused import Unsupported
from xdpl.errors import EngineWarning

from .engine_models import Bucket, inputs


def among_cells(level: Tensor) -> Tensor:
    return level.reshape(-1).sort().values.reshape(level.shape)


def looked_up(level: Tensor) -> Tensor:
    return torch.tensor([1.0, 2.0], dtype=level.dtype)[(level > 1)[..., None].sum(-1)]


def counted(level: Tensor) -> Tensor:
    return torch.tensor([1.0, 2.0], dtype=level.dtype)[(level > 1).long()]


def numbered(level: Tensor) -> Tensor:
    return level * torch.arange(level.shape[0], dtype=level.dtype)[:, None]


def wide(level: Tensor) -> Tensor:
    return (level[..., None] * torch.ones(5000, dtype=level.dtype)).sum(-1)


def square(level: Tensor) -> Tensor:
    return torch.stack([level, 2 * level, 3 * level, 4 * level], -1).reshape(*level.shape, 2, 2)


def two_axes(level: Tensor) -> Tensor:
    return square(level)[:, :, torch.tensor([0]), torch.tensor([1])][..., 0]


def two_axes_put(level: Tensor) -> Tensor:
    both = (None, None, torch.tensor([0]), torch.tensor([1]))
    return torch.ops.aten.index_put(square(level), both, level[..., None])[..., 0, 1]


def whole(level: Tensor) -> Tensor:
    return level.int().to(level.dtype)


REASONS = {
    among_cells: "mixes the axes of cells and components with others",
    looked_up: "whose index depends on values",
    counted: "that gives torch.int64",
    numbered: "a constant that differs between cells or components",
    wide: "a constant of 5000 values",
    two_axes: "indexes several axes at once",
    two_axes_put: "indexes several axes at once",
    whole: "that gives torch.int32",
}


@pytest.mark.parametrize("made", REASONS, ids=lambda made: made.__name__)
def test_the_reason_is_told_and_the_result_is_that_of_the_eager_loop(made: Callable, monkeypatch):
    @dataclass(frozen=True)
    class Odd(Bucket):
        def step(self, forcing, state, parameter, dt):
            states, outputs = super().step(forcing, state, parameter, dt)
            return states, {**outputs, "level": made(outputs["level"])}

    monkeypatch.setattr(engine, "_WARNED", set())
    groups = inputs(Odd())
    with pytest.warns(EngineWarning, match=REASONS[made]):
        out, _ = simulate(Odd(), *groups)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected, _ = simulate(Odd(), *groups, engine="eager")
    assert torch.equal(out["level"], expected["level"])


def test_there_are_no_kernels_for_other_devices():
    with pytest.raises(Unsupported, match="tensors on meta, for which there are no kernels"):
        fused.loop_for(Bucket(), 1.0, torch.empty(1, device="meta"))


def test_a_gpu_needs_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(Unsupported, match="tensors on cuda, for which Triton isn't installed"):
        gpu.GpuLoop(SimpleNamespace())


def test_functions_that_the_c_library_lacks_are_told():
    there = SimpleNamespace(name="exp", is_declaration=True)
    own = SimpleNamespace(name="loop", is_declaration=False)
    gone = SimpleNamespace(name="lgamma_r", is_declaration=True)
    llvm = SimpleNamespace(address_of_symbol={"exp": 1}.get)
    jit._check_symbols(llvm, SimpleNamespace(functions=[there, own]))
    with pytest.raises(Unsupported, match="lgamma_r, which the C library lacks"):
        jit._check_symbols(llvm, SimpleNamespace(functions=[there, gone]))


def test_states_of_every_size_leave_no_axes_to_tell_apart(monkeypatch):
    monkeypatch.setattr(program, "candidates", lambda model: iter([]))
    with pytest.raises(Unsupported, match="states whose sizes are all the primes"):
        program._two(Bucket())
