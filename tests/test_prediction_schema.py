"""The header of a fit file is looked through before anything is built from it."""

from dataclasses import replace

import pytest
import torch
from toy import Bucket, grid

from xdpl.layout import Layout, recognise
from xdpl.prediction.schema import check_layout, check_tensors


@pytest.fixture(scope="module")
def layout() -> Layout:
    return recognise(grid(ny=2, nx=3, days=380), Bucket(), obs="qobs")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dt": 0.0}, "time step is 0.0 days"),
        ({"dt": float("nan")}, "time step is nan days"),
        ({"timesteps": (float("inf"), float("inf"))}, "allows steps of inf to inf days"),
        ({"timesteps": (2.0, 1.0)}, "allows steps of 2.0 to 1.0 days"),
        ({"grid_mapping": 3}, "layout.grid_mapping is of type int, not str"),
        ({"forcings": {"rain": None}}, "layout.forcings.rain is of type NoneType"),
    ],
)
def test_layouts_that_can_not_be(layout, change, match):
    check_layout(layout)
    with pytest.raises(ValueError, match=match):
        check_layout(replace(layout, **change))


def test_a_forcing_comes_from_variables(layout):
    rain = layout.forcings["precipitation"]
    for bad in (replace(rain, sources={}), replace(rain, fallback=replace(rain, sources={}))):
        with pytest.raises(ValueError, match="'rain' comes from no variable"):
            check_layout(replace(layout, forcings={"rain": bad}))


@pytest.mark.parametrize("classes", [(), ("sand", 1.0)])
def test_classes_are_all_text_or_all_numbers(layout, classes):
    role = replace(layout.attributes[0], classes=classes)
    with pytest.raises(ValueError, match="the classes of 'elevation' are"):
        check_layout(replace(layout, attributes=(role,)))


@pytest.mark.parametrize(
    ("name", "shape"), [("count.streamflow", (5,)), ("domain", (6, 3)), ("cycle", (6, 6))]
)
def test_what_is_kept_of_cells_has_their_number(layout, name, shape):
    check_tensors(6, layout, {"count.streamflow": torch.zeros(6)})
    with pytest.raises(ValueError, match=f"{name} has the shape"):
        check_tensors(6, layout, {name: torch.zeros(shape)})
