"""The optimizer of a parameter field: AdamW, or one of your own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ..errors import DeclarationError
from .state import Trainable

__all__ = ["OptimizerFactory", "adamw", "described", "optimizer_by", "rate_of"]

DEVIATION_RATE = 3.0
"""Learning rate of the deviations relative to that of the network: each is seen less often."""

WEIGHT_DECAY = 1e-3

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
"""Makes an optimizer of some weights, as `torch.optim.AdamW` does."""


def _split(field: Trainable) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights, and the table of deviations if there is one."""
    own = field.deviation
    weights = [p for p in field.parameters() if p is not own]
    return weights, [] if own is None else [own]


def adamw(
    field: Trainable, learning_rate: float, weight_decay: float = WEIGHT_DECAY
) -> torch.optim.Optimizer:
    """AdamW with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).

    Deviations of single cells have a penalty instead of the decay, and three times the rate.

    Parameters
    ----------
    field : Trainable
        What is trained.
    learning_rate : float
        Highest rate.
    weight_decay : float
        Of the weights of the networks.
    """
    weights, deviations = _split(field)
    groups: list[dict[str, object]] = [{"params": weights, "weight_decay": weight_decay}]
    if deviations:
        groups.append({"params": deviations, "weight_decay": 0.0, "factor": DEVIATION_RATE})
    place = next(field.parameters()).device
    graphs = place.type == "cuda"  # that record a step want its rate on the device
    rate: float | Tensor = torch.tensor(learning_rate, device=place) if graphs else learning_rate
    made = torch.optim.AdamW(groups, lr=rate, fused=True, capturable=graphs)
    for group in made.param_groups:
        group["initial_lr"] = learning_rate
    return made


def optimizer_by(factory: OptimizerFactory, field: Trainable) -> torch.optim.Optimizer:
    """Make an optimizer of your own, with the deviations in a parameter group beside the weights.

    Raises
    ------
    DeclarationError
        The factory gives no optimizer of these weights.
    """
    weights, deviations = _split(field)
    made = _made(factory, [*weights, *deviations])
    if deviations:
        (whole,) = made.param_groups
        whole["params"] = weights
        rest = {k: v for k, v in whole.items() if k != "params"}
        beside = {"params": deviations, "weight_decay": 0.0, "factor": DEVIATION_RATE}
        made.add_param_group({**rest, **beside})
    return made


def rate_of(factory: OptimizerFactory) -> float:
    """Learning rate of the optimizer that a factory makes."""
    return float(_made(factory, [nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"])


def described(factory: OptimizerFactory) -> str:
    """Name and options of the optimizer that a factory makes; checked before anything is read.

    Raises
    ------
    DeclarationError
        The factory gives no optimizer.
    """
    made = _made(factory, [nn.Parameter(torch.zeros(1))])
    options = ", ".join(
        f"{name}={value!r}" for name, value in made.defaults.items() if value is not None
    )
    return f"{type(made).__name__}({options})"


def _made(factory: OptimizerFactory, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    try:
        made = factory(weights)
    except TypeError as problem:
        raise DeclarationError(
            f"optimizer={factory!r} can't be called with the weights: {problem}. Give a function "
            "of them, such as lambda weights: torch.optim.SGD(weights, lr=0.1)."
        ) from problem
    if not isinstance(made, torch.optim.Optimizer):
        raise DeclarationError(
            f"optimizer={factory!r} gives {type(made).__name__}, not a torch.optim.Optimizer. Give "
            "a function of the weights, such as lambda weights: torch.optim.SGD(weights, lr=0.1)."
        )
    found = {id(p) for group in made.param_groups for p in group["params"]}
    if len(made.param_groups) != 1 or found != {id(p) for p in weights}:
        raise DeclarationError(
            f"optimizer={factory!r} leaves out some of the weights, or sorts them into groups. "
            "Give all of them to one group: lambda weights: torch.optim.SGD(weights, lr=0.1)."
        )
    return made
