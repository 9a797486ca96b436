"""A learner whose simulations are those of the true model."""

import copy
from types import SimpleNamespace

import boxes
import pytest

from xdpl.prediction.true_model import TrueLearner


def test_it_is_the_learner_in_all_but_simulations():
    learner = TrueLearner(SimpleNamespace(transform="bounds"), boxes.NumpyBucket())
    assert learner.transform == copy.copy(learner).transform == "bounds"
    with pytest.raises(AttributeError, match="__array__"):
        learner.__array__
