"""Transforms: parameters stay within their bounds and come back from their inverse."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xdpl.errors import DeclarationError
from xdpl.parameters.transforms import ParameterTransform, bounded, unbounded
from xdpl.variables import Forcing, Output, Parameter, State

LINEAR = Parameter("1", bounds=(-2.0, 3.0))
LOG = Parameter("mm day-1", bounds=(0.01, 1000.0), scale="log")


@pytest.mark.parametrize("parameter", [LINEAR, LOG])
@given(raw=st.floats(-1e4, 1e4, allow_nan=False))
def test_bounded_stays_within_bounds(parameter, raw):
    for dtype in (torch.float32, torch.float64):
        value = bounded(torch.tensor(raw, dtype=dtype), parameter)
        # a bound itself is rounded to the type of the value
        low, high = (torch.tensor(b, dtype=dtype) for b in parameter.bounds)
        assert low <= value <= high


@pytest.mark.parametrize("parameter", [LINEAR, LOG])
def test_unbounded_inverts(parameter):
    raw = torch.linspace(-5, 5, 21, dtype=torch.float64)
    torch.testing.assert_close(unbounded(bounded(raw, parameter), parameter), raw)


def test_zero_is_the_middle_of_the_scale():
    assert bounded(torch.zeros(()), LINEAR).item() == pytest.approx(0.5)
    assert bounded(torch.zeros(()), LOG).item() == pytest.approx((0.01 * 1000.0) ** 0.5, rel=1e-5)


def test_shared_parameters_have_one_value_whatever_the_components():
    declared = {"a": LINEAR, "r": Parameter("day", bounds=(0.1, 6), shared=True), "b": LOG}
    transform = ParameterTransform(declared, components=4)
    assert transform.size == 9
    raw = torch.randn(7, 9, dtype=torch.float64)
    values = transform(raw)
    assert {k: tuple(v.shape) for k, v in values.items()} == {"a": (7, 4), "r": (7,), "b": (7, 4)}
    torch.testing.assert_close(transform.inverse(values), raw)


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf"))])
def test_bounds_must_be_an_interval(bounds):
    with pytest.raises(DeclarationError, match="not an interval"):
        Parameter("1", bounds=bounds)


def test_log_scale_needs_positive_bounds():
    with pytest.raises(DeclarationError, match="positive bounds"):
        Parameter("1", bounds=(0.0, 1.0), scale="log")


def test_scale_must_be_known():
    with pytest.raises(DeclarationError, match="'cubic' of a Parameter is unknown"):
        Parameter("1", bounds=(0.0, 1.0), scale="cubic")


def test_state_needs_a_size():
    with pytest.raises(DeclarationError, match="size 0"):
        State("mm", size=0)


def test_declarations_are_frozen():
    for thing in (Forcing("mm day-1"), State("mm"), Output("mm"), LINEAR):
        with pytest.raises(AttributeError):
            thing.units = "m"
