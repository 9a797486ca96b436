"""Rounding: the same numbers in other units are the same bits again, and nothing else changes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xdpl.layout.precision import KELVIN_STEPS, round_series


def rounded(values, units):
    values = np.array(values, "f8")
    round_series(values, units)
    return values


@given(st.integers(0, 60000), st.sampled_from([0.1, 0.01, 2**-6, 2**-8]))
def test_single_precision_units_give_the_same_bits(number, resolution):
    rain = np.float32(number * resolution)
    flux = rain / np.float32(86400)
    assert rounded([rain], "mm day-1") == rounded([float(flux) * 86400], "mm day-1")
    celsius = np.float32(number % 8000 * resolution % 80 - 40)
    kelvin = celsius + np.float32(273.15)
    assert rounded([celsius], "degC") == rounded([float(kelvin) - 273.15], "degC")


@given(st.floats(1e-30, 1e30))
def test_five_digits_are_kept(value):
    np.testing.assert_allclose(rounded([value, -value], "mm day-1"), [value, -value], rtol=1e-5)


@given(st.floats(150, 350))
def test_a_thousandth_of_a_kelvin_is_kept(value):
    for units, shift in (("K", 0.0), ("degC", 273.15)):
        found = rounded([value - shift], units)
        assert abs(found[0] - (value - shift)) <= 0.5 / KELVIN_STEPS + 1e-9


def test_zero_and_missing_stay():
    np.testing.assert_array_equal(rounded([0.0, np.nan, -0.0], "mm day-1"), [0.0, np.nan, 0.0])
    assert np.isnan(rounded([np.nan], "K")).all()


def test_infinity_and_every_kind_of_missing_stay():
    written = np.array([0xFFFFFFFF, 0x7FFFFFFF, 0x7FC00000, 0xFFC00000], "u4").view("f4")
    assert np.isnan(rounded(written, "mm day-1")).all()
    np.testing.assert_array_equal(rounded([np.inf, -np.inf], "mm day-1"), [np.inf, -np.inf])


@given(st.floats(-1e30, 1e30).filter(lambda value: abs(value) > 1e-300))
def test_no_nearer_number_of_so_many_bits_exists(value):
    step = 2.0 ** (np.frexp(value)[1] - 18)
    found = rounded([value], "mm day-1")[0]
    assert found / step == round(found / step) and abs(found - value) <= step / 2


def test_ties_go_to_even_numbers():
    near = 2.0**17 + np.array([0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(rounded(near, "mm day-1"), np.rint(near))
