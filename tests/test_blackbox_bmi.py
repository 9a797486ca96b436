"""Components with the Basic Model Interface, by duck typing."""

from __future__ import annotations

import json

import boxes
import numpy as np
import pytest

from xdpl.blackbox import BMI, execute
from xdpl.errors import DeclarationError


class Component:
    """The Bucket in a component: some of it comes through a file, some through set_value."""

    units = {"flow": "cm d-1", "rain": "mm d-1", "k": "1/d"}

    def initialize(self, path):
        with open(path) as file:
            self.values = json.load(file)
        self.storage, self.finalized = 20.0, False

    def update(self):
        full = self.storage + self.values["rain"]
        left = full - min(self.values["factor"] * self.values["demand"], 0.5 * full)
        self.flow = self.values["k"] * left
        self.storage = left - self.flow

    def set_value(self, name, source):
        self.values[name] = float(source[0])

    def get_value(self, name, target):
        target[:] = self.flow / 10
        return target

    def get_var_units(self, name):
        return self.units[name]

    def finalize(self):
        self.finalized = True


def component(**changed) -> BMI:
    return BMI(
        **{
            "component": Component,
            "config": "config.json",
            "files": {"config.json": '{{"factor": {evaporation_factor}, "demand": 3.0}}'},
            "variables": {"precipitation": "rain", "recession": "k", "streamflow": "flow"},
            **boxes.DECLARED,
            **changed,
        }
    )


def one(box):
    return execute(box, boxes.jobs(1))[0]


def test_a_component_runs_step_by_step_in_its_own_units():
    outcome = one(component())
    assert not outcome.cause, outcome.message
    expected = execute(boxes.of(boxes.bucket), boxes.jobs(1))[0]
    np.testing.assert_allclose(
        outcome.values["streamflow"], expected.values["streamflow"], rtol=1e-6
    )


def test_units_that_a_component_tells_wrongly_can_be_put_right():
    class Wrong(Component):
        units = {**Component.units, "flow": "K"}

    outcome = one(component(component=Wrong))
    assert outcome.cause == "units" and "units={'streamflow': ...}" in outcome.message
    fine = one(component(component=Wrong, units={"streamflow": "cm day-1"}))
    np.testing.assert_array_equal(fine.values["streamflow"], one(component()).values["streamflow"])


def test_a_component_without_units_is_taken_at_its_word():
    class Silent(Component):
        def get_var_units(self, name):
            raise NotImplementedError

    outcome = one(component(component=Silent))
    plain = one(component())
    np.testing.assert_allclose(
        outcome.values["streamflow"], plain.values["streamflow"] / 10, rtol=1e-6
    )


class Hourly(Component):
    """Its flow, in mm, is the hour of the day."""

    step, unit, hours = 1.0, "h", 0

    def update(self):
        self.flow = float(self.hours % 24)
        self.hours += 1

    def get_time_step(self):
        return self.step

    def get_time_units(self):
        return self.unit


@pytest.mark.parametrize(
    ("step", "unit"), [(1.0, "h"), (3600.0, "s"), (1 / 24, "days since 1970-01-01")]
)
def test_shorter_steps_of_a_component_fill_those_of_the_record(step, unit):
    cls = type("Timed", (Hourly,), {"step": step, "unit": unit})
    outcome = one(component(component=cls))
    assert not outcome.cause, outcome.message
    np.testing.assert_allclose(outcome.values["streamflow"], 11.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("step", "unit", "told"),
    [
        (
            5.0,
            "h",
            "component's step is 5 h, that of the record 1 days, which is no multiple of it",
        ),
        (2.0, "d", "no multiple of it. Configure the component"),
        (0.0, "d", "no multiple of it"),
        (1.0, "mm", "time has units 'mm', which are none of time"),
    ],
)
def test_steps_that_do_not_fit_are_told(step, unit, told):
    outcome = one(component(component=type("Timed", (Hourly,), {"step": step, "unit": unit})))
    assert outcome.cause == "time step" and told in outcome.message


def test_units_of_time_can_be_put_right():
    cls = type("Timed", (Hourly,), {"unit": "mm"})
    assert not one(component(component=cls, units={"time": "h"})).cause


def test_a_component_is_finalized_after_a_failure():
    made = []

    class Failing(Component):
        def __init__(self):
            made.append(self)

        def update(self):
            raise ArithmeticError("dry")

    outcome = one(component(component=Failing))
    assert outcome.cause == "ArithmeticError" and made[0].finalized


def test_components_that_cannot_work_are_refused():
    with pytest.raises(DeclarationError, match="has no initialize, get_value, finalize"):
        component(component=dict)
    with pytest.raises(DeclarationError, match="variables tell of rain, which Component doesn't"):
        component(variables={"rain": "precipitation"})
