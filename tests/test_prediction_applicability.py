"""Distance from the training attributes: near, far, beyond, unknown classes."""

import numpy as np
import pytest
import torch

from xdpl.parameters.learner import AttributeEncoder
from xdpl.prediction import applicability as domain
from xdpl.prediction.applicability import BEYOND, FAR, INSIDE, TRAINED, Domain


def cells(count: int = 60) -> torch.Tensor:
    """Two numbers on a diagonal, one of them of another size, and one of three classes."""
    draw = np.random.default_rng(0)
    along = draw.uniform(0, 1, count)
    near = along + draw.normal(0, 0.02, count)
    return torch.tensor(np.stack([along, 1000 * near, draw.integers(0, 2, count)], axis=1))


@pytest.fixture
def encoder():
    made = AttributeEncoder([0, 0, 3])
    made.learn_statistics(cells())
    return made


def flagged(encoder, rows):
    known = Domain.of(cells(), encoder)
    attribute = torch.tensor(rows, dtype=torch.float64)
    near = known.dissimilarity(encoder, attribute)
    return near, known.flag(encoder, attribute, near, np.zeros(len(rows), bool))


def test_a_training_cell_is_at_no_distance(encoder):
    known = Domain.of(cells(), encoder)
    assert known.dissimilarity(encoder, cells()).max() < 1e-6
    trained = np.ones(60, bool)
    flags = known.flag(encoder, cells(), known.dissimilarity(encoder, cells()), trained)
    assert (flags == TRAINED).all()
    flags = known.flag(encoder, cells(), known.dissimilarity(encoder, cells()), ~trained)
    assert (flags == INSIDE).all()
    changed = cells() + torch.tensor([9.0, 0.0, 0.0])
    flags = known.flag(encoder, changed, known.dissimilarity(encoder, changed), trained)
    assert (flags == BEYOND).all()


def test_an_unseen_combination_of_seen_values_is_far(encoder):
    near, flags = flagged(encoder, [[0.5, 500.0, 0], [0.1, 900.0, 0]])
    assert near[0] < 0.2 < near[1]
    assert list(flags) == [INSIDE, FAR]


@pytest.mark.parametrize(
    "row",
    [[1.5, 500.0, 0], [0.5, 1500.0, 0], [0.5, 500.0, 2], [0.5, 500.0, -1]],
    ids=["number", "other number", "class not in training", "class unknown"],
)
def test_beyond_the_range_or_the_classes_of_training(encoder, row):
    assert flagged(encoder, [row])[1] == [BEYOND]


def test_units_change_nothing(encoder):
    other = AttributeEncoder([0, 0, 3])
    scaled = cells() * torch.tensor([1.0, 1e-3, 1.0])
    other.learn_statistics(scaled)
    here, there = Domain.of(cells(), encoder), Domain.of(scaled, other)
    assert here.threshold == pytest.approx(there.threshold)
    assert here.unit == pytest.approx(there.unit)


def test_a_sample_stands_for_many_cells(encoder, monkeypatch):
    monkeypatch.setattr(domain, "REFERENCE", 20)
    some = Domain.of(cells(), encoder)
    assert len(some.reference) == 20
    assert torch.equal(some.reference, Domain.of(cells(), encoder).reference)


def test_one_training_cell(encoder):
    only = Domain.of(cells()[:1], encoder)
    assert np.isfinite(only.dissimilarity(encoder, cells())).all()


def test_logarithms_are_taken_where_the_network_takes_them():
    attribute = torch.exp(torch.linspace(0, 8, 40, dtype=torch.float64))[:, None]
    encoder = AttributeEncoder([0])
    encoder.learn_statistics(attribute)
    known = Domain.of(attribute, encoder)
    between = torch.exp(torch.tensor([[3.95]], dtype=torch.float64))
    assert known.dissimilarity(encoder, between) < 0.05
    assert list(domain.outside(encoder, torch.tensor([[0.5], [0.0], [2.0]]))) == [True, True, False]
