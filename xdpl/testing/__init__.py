"""Conformance checks for process models, losses and networks, the bundled ones and your own.

import xdpl.testing

def test_my_model():
    xdpl.testing.check_model(MyModel())
"""

from .draws import draw_parameters, draw_weather
from .loss import check_loss
from .model import check_model
from .network import check_network

__all__ = ["check_loss", "check_model", "check_network", "draw_parameters", "draw_weather"]


def __dir__() -> list[str]:
    return sorted(__all__)
