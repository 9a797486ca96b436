"""Impossible values, gaps, and how they are counted and told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xdpl.errors import XdplWarning
from xdpl.layout import Findings
from xdpl.layout.quality import fill_gaps, looks_filled, mask_impossible

NAN = np.nan


def column(*values):
    return np.array(values, dtype=float)[:, None]


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ((1, NAN, 3), (1, 2, 3), 1),
        ((1, NAN, NAN, 4), (1, 2, 3, 4), 2),
        ((NAN, NAN, 3, 4), (3, 3, 3, 4), 2),
        ((1, 2, NAN), (1, 2, 2), 1),
        ((1, NAN, NAN, NAN, 5), (1, NAN, NAN, NAN, 5), 0),
        ((NAN, NAN, NAN, 1), (NAN, NAN, NAN, 1), 0),
        ((NAN, NAN), (NAN, NAN), 0),
        ((NAN, 1, NAN, NAN, NAN, 2, NAN), (1, 1, NAN, NAN, NAN, 2, 2), 2),
    ],
)
def test_gaps_up_to_two_steps(before, after, count):
    values = column(*before)
    assert fill_gaps(values, 2) == count
    np.testing.assert_allclose(values, column(*after))


def test_no_gap_is_filled_where_steps_are_too_long():
    values = column(1, NAN, 3)
    assert fill_gaps(values, 0) == 0


@given(
    arrays(float, (12, 3), elements=st.one_of(st.floats(-5, 5), st.just(NAN))),
    st.integers(1, 12),
)
def test_filling_stays_between_its_neighbours_and_leaves_the_rest(values, longest):
    filled = values.copy()
    count = fill_gaps(filled, longest)
    given_ones = ~np.isnan(values)
    np.testing.assert_array_equal(filled[given_ones], values[given_ones])
    assert count == np.isnan(values).sum() - np.isnan(filled).sum()
    for cell in range(3):
        known = values[given_ones[:, cell], cell]
        if known.size:
            assert np.nanmin(filled[:, cell]) >= known.min() - 1e-9
            assert np.nanmax(filled[:, cell]) <= known.max() + 1e-9
    if longest >= 12:
        assert not np.isnan(filled[:, given_ones.any(axis=0)]).any()


@pytest.mark.parametrize(
    ("quantity", "units", "values", "kept"),
    [
        ("precipitation", "mm day-1", (-1.0, -0.001, 0.0, 1999.0, 2001.0), (0.0, 0.0, 1999.0)),
        ("precipitation", "kg m-2 s-1", (-1e-4, 1e-3, 1.0), (1e-3,)),
        ("air temperature", "degC", (-91.0, -89.0, 59.0, 61.0), (-89.0, 59.0)),
        ("air temperature", "K", (0.0, 290.0, 334.0), (290.0,)),
        ("potential evaporation", "mm day-1", (-6.0, -0.5, 49.0, 51.0), (0.0, 49.0)),
        ("streamflow", "mm day-1", (-0.1, 0.0, 5.0), (0.0, 5.0)),
        ("soil moisture", "m3 m-3", (-0.1, 0.0, 0.3, 1.0, 1.1), (0.0, 0.3, 1.0)),
        (None, "1", (np.inf, -np.inf, -1e9), (-1e9,)),
    ],
)
def test_impossible_values_become_missing(quantity, units, values, kept):
    masked = column(*values)
    assert mask_impossible(masked, quantity, units).tolist() == [len(values) - len(kept)]
    np.testing.assert_allclose(masked[np.isfinite(masked)], kept)


def test_fill_values_are_known_in_any_precision():
    fills = [-9999, -999, -99999, -32768, -9999.9, -999.9, 1e20, 1e30, 9.96921e36, -3.4e38]
    for kind in ("f4", "f8"):
        assert looks_filled(np.array(fills, kind)).all()
        assert not looks_filled(np.array([-99, 0, 999, 9999, 1e18, np.nan, np.inf], kind)).any()


def test_findings_add_up():
    one = Findings({("cells", ""): 4, ("impossible", "pr"): 2})
    two = Findings({("cells", ""): 3, ("impossible", "pr"): 1, ("impossible", "tas"): 5})
    both = sum([one, two])
    assert both.count("cells") == 7
    assert both.count("impossible", "pr") == 3 and both.count("impossible") == 8
    assert one.count("cells") == 4


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({("impossible", "pr"): 2}, "2 impossible values of pr were treated as missing"),
        ({("filled", "t"): 3}, "3 missing values of t were interpolated .gaps up to 7 days"),
        ({("swapped", "a and b"): 3}, "3 times the minimum temperature exceeds the maximum: a and"),
        ({("computed", "pet"): 3}, "3 cells have no or incomplete pet: it was computed"),
        (
            {("cells", ""): 9, ("no forcing", ""): 2, ("gap", "t"): 1, ("absent", "pr"): 1},
            r"2 of 9 cells are left out: their forcing is incomplete \(t: 1, pr: 1\)",
        ),
        ({("cells", ""): 9, ("no observation", ""): 4}, "4 of 9 cells have no observations"),
        ({("impossible", "pr"): 1}, "1 impossible value of pr was treated as missing"),
        (
            {("fill", "slope"): 2},
            "2 values of slope look like fill values, such as -9999 or 1e20, and",
        ),
        ({("fill", "slope"): 1}, "1 value of slope looks like a fill value, such as .* and was tr"),
        ({("swapped", "a and b"): 1}, "once the minimum temperature exceeds the maximum: a and"),
        ({("cells", ""): 9, ("no observation", ""): 1}, "1 of 9 cells has no observations and is"),
        ({("gap", "t"): 1}, "1 cell is left out: t has gaps longer than 7 days"),
        ({("class", "soil"): 1}, "1 cell has a class of soil that was unknown"),
    ],
)
def test_findings_warn_with_their_counts(counts, message):
    with pytest.warns(XdplWarning, match=message) as caught:
        Findings(counts).warn()
    assert len(caught) == 1 and caught[0].filename == __file__


def test_nothing_found_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Findings({("cells", ""): 9}).warn()
        Findings({("impossible", "pr"): 9}).warn(kinds=["no observation"])
