"""Networks: shapes, determinism and options of all bundled ones."""

import pytest
import torch

from xdpl.errors import DeclarationError
from xdpl.networks import BUNDLED, LSTM, MLP


@pytest.mark.parametrize("cls", BUNDLED)
def test_every_network_keeps_the_contract(cls):
    network = cls(hidden=(8,)) if cls is MLP else cls(hidden=8)
    assert cls(**network.options) == network
    torch.manual_seed(3)
    module = network.build(5, 3, 11).eval()
    attributes, cycle = torch.randn(7, 5), torch.randn(52, 7, 3)
    raw = module(attributes, cycle if network.reads_forcings else None)
    assert raw.shape == (7, 11)
    # near the middle of the bounds before training, and not the same for all components
    assert raw.abs().max() < 2 and raw[0].std() > 0
    torch.manual_seed(3)
    again = network.build(5, 3, 11)
    assert all(
        torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True)
    )
    # a cell's parameters don't depend on the other cells
    part = module(attributes[2:4], cycle[:, 2:4] if network.reads_forcings else None)
    torch.testing.assert_close(part, raw[2:4])


def test_linear_map_and_dropout():
    assert sum(p.numel() for p in MLP(hidden=()).build(3, 0, 2).parameters()) == 8
    module = MLP(hidden=(32,), dropout=0.5).build(3, 0, 2)
    x = torch.randn(4, 3)
    assert not torch.equal(module.train()(x), module(x))
    assert torch.equal(module.eval()(x), module(x))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: MLP(hidden=(8, 0)), "layer without units"),
        (lambda: MLP(dropout=1.0), "is not a share"),
        (lambda: LSTM(hidden=0), "has no units"),
        (lambda: LSTM(dropout=-0.1), "is not a share"),
    ],
)
def test_impossible_options(make, match):
    with pytest.raises(DeclarationError, match=match):
        make()


def test_lstm_needs_the_cycle():
    with pytest.raises(DeclarationError, match="without the annual cycle"):
        LSTM(hidden=4).build(2, 3, 1)(torch.zeros(5, 2))
