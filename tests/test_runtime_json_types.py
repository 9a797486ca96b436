"""Values of JSON are checked against type hints with bounds, and made into what these name."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdpl.runtime.json_types import Count, Finite, Positive, Within, build, mismatch, numbers


class Box(TypedDict):
    """A dict with keys of its own."""

    size: Positive
    name: NotRequired[str]


@dataclass
class Point:
    """A dataclass with a default."""

    at: tuple[float, float]
    kind: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        (1, int, ""),
        (True, int, "it is of type bool, not int"),
        (2**70, int, "it is of type int, not int"),
        (1, float, ""),
        (float("inf"), float, ""),
        ("1", float, "it is of type str, not float"),
        (None, float | None, ""),
        ([], float | None, "it is of type list, not float"),
        (["a", "b"], tuple[str, str], ""),
        (["a"], tuple[str, str], "it has 1 items, not 2"),
        (["a", 3], tuple[str, ...], r"it\[1\] is of type int, not str"),
        ({"a": [1, "x"]}, dict[str, list[int]], r"it.a\[1\] is of type str, not int"),
        ({"a": object()}, dict[str, Any], ""),
        ("abc", list[str], "it is of type str, not list"),
    ],
)
def test_types_of_values(value, hint, found):
    assert re.fullmatch(found, mismatch(value, hint, "it"))


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        (-1, Count, "it is -1, not from 0 to .*"),
        (math.nan, Finite, "it is nan, not from .*"),
        ([1.0, math.nan], list[Finite], r"it\[1\] is nan, not from .*"),
        ([1.0, math.inf], list[Finite], r"it\[1\] is inf, not from .*"),
        ([math.nan], list[float], ""),
        ([1, 2**70], list[float], r"it\[1\] is of type int, not float"),
        ([1, 2], list[Annotated[int, Within(0, 1)]], r"it\[1\] is 2, not from 0 to 1"),
        ([True], list[int], r"it\[0\] is of type bool, not int"),
        ({1: 1}, dict[str, float], "a key of it is of type int, not str"),
        ((1, 2), tuple[int], "it has 2 items, not 1"),
        ("c", Literal["a", "b"], "it is 'c', not one of .*"),
        ({}, Box, "it lacks 'size'"),
        ({"size": 0.0}, Box, "it.size is 0.0, not from .*"),
        ({"size": 1, "other": []}, Box, ""),
        ({"at": [1, 2]}, Point, ""),
        ({"at": [1, 2], "kind": 3}, Point, "it.kind is '3', not one of .*"),
        ([], Point, "it is of type list, not dict"),
    ],
)
def test_bounds_keys_and_fields(value, hint, found):
    assert re.fullmatch(found, mismatch(value, hint, "it"))


def test_values_become_what_hints_name():
    assert build(Point, {"at": [1, 2], "more": 3}) == Point((1, 2))
    assert build(dict[str, Point | None], {"a": {"at": [1, 2]}, "b": None}) == {
        "a": Point((1, 2)), "b": None,
    }  # fmt: skip
    assert build(tuple[tuple[float, ...], ...], [[1, 2], []]) == ((1, 2), ())
    with pytest.raises(ValueError, match="point.at has 1 items, not 2"):
        build(Point, {"at": [1]}, "point")


def test_all_numbers_are_found():
    assert list(numbers({"a": [1, {"b": 2.5}], "c": True, "d": "3"})) == [1, 2.5]


NUMBER = st.integers() | st.floats() | st.booleans() | st.text(max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBER, max_size=5))
def test_long_lists_are_judged_as_their_items_are(items):
    for hint in (int, float, Count, Finite, str):
        one_by_one = all(not mismatch(item, hint) for item in items)
        assert (not mismatch(items, list[hint])) == one_by_one
        assert (not mismatch(tuple(items), tuple[hint, ...])) == one_by_one
        named = {str(i): item for i, item in enumerate(items)}
        assert (not mismatch(named, dict[str, hint])) == one_by_one
