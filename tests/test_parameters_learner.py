"""Learner: standardisation that is kept, and parameters that only depend on the cell."""

import pytest
import torch

from xdpl.models import HBV
from xdpl.networks import LSTM, MLP
from xdpl.parameters.cell_inputs import CellInputs
from xdpl.parameters.learner import AttributeEncoder, Learner
from xdpl.parameters.simulator import ProcessSimulator


def attributes(cells=50):
    draw = torch.Generator().manual_seed(0)
    number = torch.randn(cells, 1, generator=draw, dtype=torch.float64) * 7 + 100
    skewed = torch.exp(3 * torch.randn(cells, 1, generator=draw, dtype=torch.float64))
    classes = torch.randint(0, 3, (cells, 1), generator=draw).double()
    return torch.cat([number, skewed, classes], dim=1)


def test_numbers_are_standardised_and_classes_spread():
    encoder = AttributeEncoder([0, 0, 3])
    raw = attributes()
    encoder.learn_statistics(raw)
    inputs = encoder(raw)
    assert inputs.shape == (50, encoder.size) == (50, 5)
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs[:, :2].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs[:, :2].std(0, correction=0), torch.ones(2))
    # the skewed one was put on a log scale: no cell lies ten spreads out
    assert inputs[:, 1].abs().max() < 4
    assert (inputs[:, 2:].sum(1) == 1).all()


def test_values_beyond_the_training_range_are_held_at_its_edge():
    encoder = AttributeEncoder([0, 0, 3])
    raw = attributes()
    encoder.learn_statistics(raw)
    far = raw[:1].clone()
    far[0, 0], far[0, 1], far[0, 2] = 1e9, -5.0, 7.0
    inputs = encoder(far)
    assert inputs[0, 0] == encoder(raw)[:, 0].max()
    assert inputs[0, 1] == encoder(raw)[:, 1].min()
    assert (inputs[0, 2:] == 0).all()  # a class never seen


@pytest.mark.parametrize("network", [MLP(hidden=(8,)), LSTM(hidden=8)])
def test_learner_gives_parameters_within_bounds_and_runs_the_model(network):
    model = HBV()
    learner = Learner(network, model, [0, 0, 3], components=2)
    raw, cycle = attributes(), torch.rand(52, 50, 3)
    learner.learn_statistics(raw, cycle)
    parameter = learner.parameters_of(CellInputs(raw, cycle if network.reads_forcings else None))
    for name, declared in model.parameters.items():
        assert parameter[name].shape == ((50,) if declared.shared else (50, 2))
        low, high = declared.bounds
        assert (parameter[name] >= low).all() and (parameter[name] <= high + 1e-6).all()
    forcing = {name: torch.rand(20, 50) * 5 for name in model.forcings}
    flow = ProcessSimulator(model).simulate(forcing, parameter, dt=1.0, outputs=("streamflow",))[
        "streamflow"
    ]
    assert flow.shape == (20, 50)
    flow.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters())


def test_statistics_travel_with_the_weights():
    learner = Learner(MLP(hidden=(4,)), HBV(), [0, 0, 3])
    learner.learn_statistics(attributes(), torch.rand(52, 50, 3))
    twin = Learner(MLP(hidden=(4,)), HBV(), [0, 0, 3])
    twin.load_state_dict(learner.state_dict())
    learner.eval()
    twin.eval()
    raw = attributes()
    torch.testing.assert_close(twin.raw(raw), learner.raw(raw))
