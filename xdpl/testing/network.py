"""Check of a network."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from ..networks import Network
from .run import described, explained, require

__all__ = ["check_network"]

_CELLS, _SEASONS = 7, 12


def check_network(
    network: Network | type[Network],
    *,
    attributes: int = 5,
    forcings: int = 3,
    outputs: int = 4,
    seed: int = 0,
) -> None:
    """Check that a network can be trained, saved and asked for any cell.

    Checked are that its options rebuild it, that the module gives (cell, outputs) in float32, the
    same when asked again, that no cell depends on others or on their order, that it runs for one
    cell alone and for attributes that are the same everywhere, that its state_dict holds all that
    it knows, and that a gradient reaches every weight.

    Parameters
    ----------
    network : Network or its class
        An instance, or a class whose options all have defaults.
    attributes, forcings, outputs : int
        Numbers of inputs and outputs to build it for.
    seed : int
        Of the weights and of the inputs.

    Raises
    ------
    DeclarationError
        At the first check that fails: what was found, and what to do.

    Examples
    --------
    >>> check_network(xdpl.networks.MLP(hidden=(8,)))
    """
    with explained("the network"):
        network = network() if isinstance(network, type) else network
    name = type(network).__name__
    require(
        isinstance(network, Network),
        f"the network is {described(network)}, not an instance of a subclass of "
        "xdpl.networks.Network. Write one whose build(self, attributes, forcings, outputs) returns "
        "the torch module",
    )
    require(
        type(network)(**network.options) == network,
        f"{name}(**options) differs from the network itself: a fit could not be loaded again. Make "
        "it a frozen dataclass whose options are its fields",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        attribute = torch.randn(_CELLS, attributes)
        cycle = torch.randn(_SEASONS, _CELLS, forcings) if network.reads_forcings else None
        module, other = (_built(network, attributes, forcings, outputs) for _ in range(2))
        _check_module(name, module, attribute, cycle, outputs)
        _check_cells(name, module, attribute, cycle)
        _check_state(name, module, other, attribute, cycle)
        for varied in (attribute, torch.zeros_like(attribute)):
            _check_gradients(name, module, varied, cycle)


def _built(network: Network, attributes: int, forcings: int, outputs: int) -> nn.Module:
    name = type(network).__name__
    with explained(f"build of {name}"):
        module = network.build(attributes, forcings, outputs)
    require(
        isinstance(module, nn.Module),
        f"build of {name} returned {type(module).__name__}. Return a torch.nn.Module",
    )
    try:
        inspect.signature(module.forward).bind(None, None)
    except TypeError:
        require(
            False,
            f"the module of {name}, a {type(module).__name__}, can't be called with attributes and "
            "a cycle. Give its forward both: def forward(self, attributes, cycle=None)",
        )
    require(
        any(p.requires_grad for p in module.parameters()),
        f"the module of {name} has no weights to train. Keep layers as attributes, or in an "
        "nn.ModuleList, not in a plain list",
    )
    return module


def _call(name: str, module: nn.Module, attribute: Tensor, cycle: Tensor | None) -> Tensor:
    with explained(f"{name}, asked for {len(attribute)} cells"):
        raw: Tensor = module(attribute, cycle)
    return raw


def _check_module(
    name: str, module: nn.Module, attribute: Tensor, cycle: Tensor | None, outputs: int
) -> None:
    module.eval()
    raw = _call(name, module, attribute, cycle)
    require(
        isinstance(raw, Tensor) and raw.shape == (len(attribute), outputs),
        f"{name} gives {tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__}, not "
        f"a tensor (cell, output) of shape {(len(attribute), outputs)}",
    )
    require(
        raw.dtype == attribute.dtype,
        f"{name} gives {raw.dtype} from {attribute.dtype}. Leave the dtype as it is",
    )
    require(bool(raw.isfinite().all()), f"{name} gives values that are not finite, untrained")
    require(
        torch.equal(raw, _call(name, module, attribute, cycle)),
        f"{name} gives other values when asked again. Draw random numbers only where "
        "self.training is true",
    )


def _check_cells(name: str, module: nn.Module, attribute: Tensor, cycle: Tensor | None) -> None:
    module.eval()
    raw = _call(name, module, attribute, cycle)
    for some in (torch.arange(_CELLS).flip(0), torch.tensor([2])):
        part = None if cycle is None else cycle[:, some]
        require(
            torch.allclose(_call(name, module, attribute[some], part), raw[some], atol=1e-5),
            f"{name} of a cell depends on the other cells or on their order. Work along the last "
            "axis only",
        )
    module.train()
    # a batch, or what is left of one, may be a single cell
    _call(name, module, attribute[:1], None if cycle is None else cycle[:, :1])


def _check_state(
    name: str, module: nn.Module, other: nn.Module, attribute: Tensor, cycle: Tensor | None
) -> None:
    with explained(f"state_dict of {name}"):
        other.load_state_dict(module.state_dict())
    raw = _call(name, module.eval(), attribute, cycle)
    require(
        torch.equal(_call(name, other.eval(), attribute, cycle), raw),
        f"{name} gives other values with the same state_dict. Keep tensors as nn.Parameter or with "
        "register_buffer",
    )


def _check_gradients(name: str, module: nn.Module, attribute: Tensor, cycle: Tensor | None) -> None:
    module.train().zero_grad()
    raw = _call(name, module, attribute, cycle)
    require(
        raw.requires_grad,
        f"no gradient runs from the values of {name} to its weights. Compute in torch "
        "throughout, without .item(), .detach() or numpy",
    )
    (raw * torch.cos(torch.arange(raw.numel())).reshape(raw.shape)).sum().backward()
    weights = {k: p for k, p in module.named_parameters() if p.requires_grad}
    unused = ", ".join(k for k, p in weights.items() if p.grad is None)
    require(
        not unused,
        f"no gradient of {name} reaches {unused}. Use all weights in forward, or remove them",
    )
    gradients = {k: p.grad for k, p in weights.items() if p.grad is not None}
    bad = ", ".join(k for k, g in gradients.items() if not g.isfinite().all())
    require(
        bool(raw.isfinite().all()) and not bad,
        f"{name} gives values or gradients{' of ' + bad if bad else ''} that are not finite where "
        "all cells have the same attributes. Bound what it divides by",
    )
    require(
        any(bool((g != 0).any()) for g in gradients.values()),
        f"all gradients of {name} are zero. It would never learn",
    )
