"""Units: what files write, what models want, and what is said when they don't meet."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from xdpl.errors import UnitsError
from xdpl.units import conversion, convertible, of_difference, per_step, remedy, units_error

INCH = 25.4


@pytest.mark.parametrize(
    ("given", "wanted", "scale", "offset"),
    [
        ("kg m-2 s-1", "mm day-1", 86400.0, 0.0),
        ("mm day-1", "kg m-2 s-1", 1 / 86400.0, 0.0),
        ("kg m-2 day-1", "mm day-1", 1.0, 0.0),
        ("mm/d", "mm day-1", 1.0, 0.0),
        ("mm d-1", "mm day-1", 1.0, 0.0),
        ("MM/DAY", "mm day-1", 1.0, 0.0),
        ("mm.d⁻¹", "mm day-1", 1.0, 0.0),
        ("mm h-1", "mm day-1", 24.0, 0.0),
        ("mm/hr", "mm day-1", 24.0, 0.0),
        ("m s-1", "mm day-1", 86400.0e3, 0.0),
        ("inch day-1", "mm day-1", INCH, 0.0),
        ("0.1 mm day-1", "mm day-1", 0.1, 0.0),
        ("m of water equivalent day-1", "mm day-1", 1000.0, 0.0),
        ("K", "degC", 1.0, -273.15),
        ("kelvin", "degC", 1.0, -273.15),
        ("degC", "K", 1.0, 273.15),
        ("celsius", "K", 1.0, 273.15),
        ("degrees_celsius", "degC", 1.0, 0.0),
        ("deg C", "degC", 1.0, 0.0),
        ("°C", "degC", 1.0, 0.0),
        ("degF", "degC", 5 / 9, -160 / 9),
        ("degrees_fahrenheit", "degC", 5 / 9, -160 / 9),
        ("percent", "1", 0.01, 0.0),
        ("%", "m3 m-3", 0.01, 0.0),
        ("-", "1", 1.0, 0.0),
        ("", "1", 1.0, 0.0),
        ("unitless", "1", 1.0, 0.0),
        ("cm3/cm3", "m3 m-3", 1.0, 0.0),
        ("MJ m-2 day-1", "W m-2", 1e6 / 86400, 0.0),
        ("J m-2 d-1", "W m-2", 1 / 86400, 0.0),
        ("my own units", "my own units", 1.0, 0.0),
        # spellings met in real files
        ("celcius", "degC", 1.0, 0.0),
        ("degrees_C", "K", 1.0, 273.15),
        ("deg. C", "degC", 1.0, 0.0),
        ("º C", "degC", 1.0, 0.0),
        ("C", "degC", 1.0, 0.0),
        ("degrees F", "degC", 5 / 9, -160 / 9),
        ("F", "degC", 5 / 9, -160 / 9),
        ("degK", "degC", 1.0, -273.15),
        ("Wm-2", "W m-2", 1.0, 0.0),
        ("w/m2", "W m-2", 1.0, 0.0),
        ("Watts/m^2", "W m-2", 1.0, 0.0),
        ("W.m-2", "W m-2", 1.0, 0.0),
        ("J m**-2 s**-1", "W m-2", 1.0, 0.0),
        ("MJ/m2/d", "W m-2", 1e6 / 86400, 0.0),
        ("mm/3h", "mm day-1", 8.0, 0.0),
        ("mm (6 h)-1", "mm day-1", 4.0, 0.0),
        ("kg/m^2/8day", "mm day-1", 0.125, 0.0),
        ("kg m-2 per 8 days", "mm day-1", 0.125, 0.0),
        ("mm/mon", "mm day-1", 12 / 365.25, 0.0),
        ("mm month-1", "mm day-1", 12 / 365.25, 0.0),
        ("mm a-1", "mm day-1", 1 / 365.25, 0.0),
        ("mm/dy", "mm day-1", 1.0, 0.0),
        ("mm.day-1", "mm day-1", 1.0, 0.0),
        ("kg.m-2.s-1", "mm day-1", 86400.0, 0.0),
        ("kg⋅m-2⋅s-1", "mm day-1", 86400.0, 0.0),
        ("kgm-2s-1", "mm day-1", 86400.0, 0.0),
        ("m.s-1", "mm day-1", 86400.0e3, 0.0),
        ("[mm/d]", "mm day-1", 1.0, 0.0),
        ("0.1mm/d", "mm day-1", 0.1, 0.0),
        ("in/day", "mm day-1", INCH, 0.0),
        ("inches/day", "mm day-1", INCH, 0.0),
        ("mm w.e. day-1", "mm day-1", 1.0, 0.0),
        ("L s-1 km-2", "mm day-1", 0.0864, 0.0),
        ("vol%", "m3 m-3", 0.01, 0.0),
        ("m**3 m**-3", "1", 1.0, 0.0),
        ("dimensionless", "1", 1.0, 0.0),
        ("cfs", "m3 s-1", 0.3048**3, 0.0),
        ("cubic feet per second", "m3 s-1", 0.3048**3, 0.0),
        ("cumecs", "m3 s-1", 1.0, 0.0),
        ("m³/s", "m3 s-1", 1.0, 0.0),
        ("Mm3/day", "m3 s-1", 1e6 / 86400, 0.0),
        ("sq mi", "km2", 2.589988110336, 0.0),
        ("km**2", "m2", 1e6, 0.0),
    ],
)
def test_known_conversions(given, wanted, scale, offset):
    found = conversion(given, wanted)
    assert found == pytest.approx((scale, offset), rel=1e-9, abs=1e-9)
    assert convertible(given, wanted)


@pytest.mark.parametrize("pair", [("K", "degC"), ("degF", "degC"), ("kg m-2 s-1", "mm day-1")])
def test_there_and_back_is_the_same(pair):
    scale, offset = conversion(*pair)
    back, shift = conversion(*reversed(pair))
    assert scale * back == pytest.approx(1.0)
    assert offset * back + shift == pytest.approx(0.0, abs=1e-9)


def test_amounts_gathered_over_a_step_become_rates():
    assert conversion("mm", "mm day-1", step=1.0) == pytest.approx((1.0, 0.0))
    assert conversion("mm", "mm day-1", step=1 / 24) == pytest.approx((24.0, 0.0))
    assert conversion("m of water equivalent", "mm day-1", step=1.0) == pytest.approx((1e3, 0.0))
    assert conversion("J m-2", "W m-2", step=1.0) == pytest.approx((1 / 86400, 0.0))
    assert not convertible("mm day-1", "mm day-1", step=1.0)


@pytest.mark.parametrize(
    "units", ["mm timestep-1", "mm/timestep", "mm per step", "mm time_step^-1"]
)
def test_units_may_name_the_time_step(units):
    assert per_step(units) and not per_step("mm day-1") and not per_step(None)
    assert conversion(units, "mm day-1", step=0.125) == pytest.approx((8.0, 0.0))
    assert not convertible(units, "mm day-1")


def test_missing_units_say_how_to_set_them():
    with pytest.raises(
        UnitsError, match=r'ds\["pr"\] has no units.*\.attrs\["units"\] = ".*"mm day-1"'
    ):
        conversion(None, "mm day-1", variable="pr")
    with pytest.raises(UnitsError, match="the variable has no units"):
        conversion(None, "mm day-1")
    assert not convertible(None, "mm day-1")


def test_unknown_units_say_how_to_write_them():
    with pytest.raises(UnitsError, match=r"'furlongish', which are unknown.*as CF does"):
        conversion("furlongish", "mm day-1", variable="pr")
    assert not convertible("furlongish", "mm day-1")


def test_a_package_that_can_not_be_imported_is_no_unknown_unit():
    code = (
        "import sys; sys.modules['cf_xarray.units'] = None; from xdpl.units import conversion\n"
        "try: conversion('K', 'degC')\n"
        "except ImportError as problem: print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cf_xarray.units can't be imported" in done.stdout and "pip install" in done.stdout


def test_several_problems_are_one_error_with_one_block():
    problems = [remedy(None, "degC", "tas"), remedy("in", "mm day-1", "prcp")]
    error = units_error([*problems, problems[0]])
    assert error.problems == tuple(problems)
    assert str(error).count("\n- ") == 2 and "2 units" in str(error)
    assert str(error).endswith('    ds["prcp"].attrs["cell_methods"] = "time: sum"')
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("K", "if the attribute is wrong, correct it"),
        ("furlong", "Choose another variable or, if the attribute is wrong, correct it"),
        ("mm", r'amounts per time step.*cell_methods"\] = "time: sum"'),
        ("kg m-2", "amounts per time step"),
        ("m3 s-1", "by the area of the basin"),
        ("ft3 s-1", "by the area of the basin"),
        ("m3", "by the area of the basin"),
        ("cfs", "by the area of the basin"),
        ("W m-2", "latent heat of evaporation"),
    ],
)
def test_inconvertible_units_say_what_to_do(given, advice):
    with pytest.raises(UnitsError, match=f"can't convert '{given}' to 'mm day-1'.*{advice}"):
        conversion(given, "mm day-1", variable="x")
    assert not convertible(given, "mm day-1")


def test_nothing_is_said_where_matplotlib_is_missing():
    code = (
        "import sys; sys.modules.update({'matplotlib': None}); from xdpl.units import conversion; "
        "assert conversion('K', 'degC') == (1.0, -273.15)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_pint_is_imported_on_first_use_only():
    code = "import sys, xdpl.units; sys.exit('pint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_differences_of_temperatures_are_in_kelvin():
    assert {of_difference(units) for units in ("degC", "celsius", "degree_Celsius")} == {"K"}
    assert of_difference("mm day-1") == "mm day-1" and of_difference("K") == "K"
