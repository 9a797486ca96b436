"""Convolution along time against torch's."""

import pytest
import torch

from xdpl.engine import convolution, convolve
from xdpl.errors import DeclarationError


def draw(*shape, dtype=torch.float64):
    random = torch.Generator().manual_seed(sum(shape))
    return torch.rand(*shape, generator=random, dtype=dtype).requires_grad_()


@pytest.mark.parametrize(("time", "lags", "cells"), [(30, 5, 37), (1, 4, 3), (3, 9, 64), (6, 1, 2)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_same_as_torch(time, lags, cells, dtype, tolerance):
    series, weights = draw(lags - 1 + time, cells, dtype=dtype), draw(lags, cells, dtype=dtype)
    cotangent = torch.rand(time, cells, dtype=dtype)
    results = []
    for how in (convolve, convolution._by_torch):
        routed = how(series, weights)
        results.append([routed, *torch.autograd.grad(routed, (series, weights), cotangent)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_gradcheck():
    assert torch.autograd.gradcheck(convolve, (draw(9, 3), draw(4, 3)))


def test_any_number_of_threads_gives_the_same():
    series, weights = draw(400, 2000, dtype=torch.float32), draw(20, 2000, dtype=torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            routed = convolve(series, weights)
            slopes = torch.autograd.grad(routed.square().sum(), (series, weights))
            results.append([routed, *slopes])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


def test_shapes_that_dont_fit():
    with pytest.raises(DeclarationError, match="can't be convolved"):
        convolve(draw(9, 3), draw(4, 2))
    with pytest.raises(DeclarationError, match="can't be convolved"):
        convolve(draw(3, 2), draw(4, 2))


def test_dtypes_that_differ():
    with pytest.raises(DeclarationError, match="Convert them to one"):
        convolve(draw(9, 3), draw(4, 3, dtype=torch.float32))
