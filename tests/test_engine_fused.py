"""The fused engine against the eager loop: values, gradients, NaN, threads, warnings."""

import warnings

import pytest
import torch
from torch import Tensor

from xdpl import models
from xdpl.engine import simulate
from xdpl.errors import DeclarationError, EngineWarning

from .engine_models import Bucket, Hydrograph, Snowy, inputs

MODELS = [Bucket(), Hydrograph(), Snowy(), models.HBV(), models.VIC(), models.GR4J()]


def run(model, groups, engine, outputs=None, dt=1.0):
    """Outputs, final state and gradients, under weighted cotangents that no symmetry hides."""
    leaves = [v for group in groups for v in group.values() if v.requires_grad]
    for leaf in leaves:
        leaf.grad = None
    out, final = simulate(model, *groups, engine=engine, outputs=outputs, dt=dt)
    random = torch.Generator().manual_seed(7)
    loss = torch.zeros((), dtype=next(iter(out.values())).dtype)
    for value in [*out.values(), *final.values()]:
        weight = torch.rand(value.shape, generator=random, dtype=value.dtype) - 0.3
        loss = loss + (weight * value).sum()
    if leaves:
        loss.backward()
    return [*out.values(), *final.values()], [leaf.grad for leaf in leaves]


def assert_same(model, groups, tolerance, **options):
    expected, slopes = run(model, groups, "eager", **options)
    actual, found = run(model, groups, "fused", **options)
    for a, b in zip(actual + found, expected + slopes, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            scale = b[b.isfinite()].abs().max() if b.isfinite().any() else 1.0
            torch.testing.assert_close(
                a, b, rtol=tolerance, atol=tolerance * float(scale), equal_nan=True
            )


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
@pytest.mark.parametrize(("cells", "components"), [(3, 2), (37, 1), (19, 3)])
def test_same_as_eager(model, cells, components):
    groups = inputs(
        model, cells=cells, components=components, time=40, dtype=torch.float64, grad=True
    )
    assert_same(model, groups, 1e-9)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_same_as_eager_in_single_precision(model):
    groups = inputs(model, cells=37, components=2, time=30, grad=True)
    assert_same(model, groups, 1e-4)
