"""What runs a fit's model: the model itself, or the true one behind a surrogate."""

import boxes
import pandas as pd
import pytest
import torch

from xdpl.errors import DeclarationError
from xdpl.prediction.true_model import TrueModel


def test_the_true_model_is_run_with_the_times_of_its_spin_up():
    forcing = {"precipitation": torch.ones(5, 2), "potential_evaporation": torch.zeros(5, 2)}
    box = boxes.NumpyBucket()
    parameter = {
        name: torch.full((2, 1), sum(one.bounds) / 2) for name, one in box.parameters.items()
    }
    found = TrueModel(box).simulate(
        {name: forcing[name] for name in box.forcings}, parameter,
        dt=1.0, outputs=list(box.outputs), time=pd.date_range("2000-01-03", periods=3),
        label=["a", "b"],
    )  # fmt: skip
    assert {name: tuple(one.shape) for name, one in found.items()} == dict.fromkeys(
        box.outputs, (5, 2)
    )
    assert all(torch.isfinite(one).all() for one in found.values())


def test_without_times_it_can_not_be_run():
    with pytest.raises(DeclarationError, match="needs times and labels of the cells. Give time= a"):
        TrueModel(boxes.NumpyBucket()).simulate({}, {}, dt=1.0)
