"""Conformance checks for process models and losses, the bundled ones and your own.

import xdpl.testing

def test_my_model():
    xdpl.testing.check_model(MyModel())
"""

from .draws import draw_parameters, draw_weather
from .loss import check_loss
from .model import check_model

__all__ = ["check_loss", "check_model", "draw_parameters", "draw_weather"]
