"""Networks g: from attributes (and the mean annual cycle of forcings) to raw parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor, nn

from .errors import DeclarationError
from .running import running_mean

__all__ = ["LSTM", "MLP", "Dynamic", "Network"]


@dataclass(frozen=True)
class Network(ABC):
    """Declares a network; ``build`` makes it once the numbers of inputs are known.

    The module that ``build`` returns is called as ``module(attributes, cycle)`` with attributes
    (cell, attribute), standardised, and cycle (season, cell, forcing), standardised, or None
    where ``reads_forcings`` is False; it gives raw parameters (cell, outputs), unbounded. Where
    past observations are read (gZ), their statistics are further columns of the attributes.
    """

    reads_forcings: ClassVar[bool] = False

    @property
    def options(self) -> dict[str, object]:
        """Options that rebuild the network: ``type(network)(**network.options)``."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @abstractmethod
    def build(self, attributes: int, forcings: int, outputs: int) -> nn.Module:
        """Make the module with random weights from torch's generator."""


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise DeclarationError(f"{name}={value} is not a share. Give 0 <= {name} < 1.")


@dataclass(frozen=True)
class MLP(Network):
    """gA: a multilayer perceptron on attributes.

    Parameters
    ----------
    hidden : tuple of int
        Width of each hidden layer; () is a linear map.
    dropout : float
        Share of hidden units dropped while training.
    """

    hidden: tuple[int, ...] = (64, 64)
    dropout: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        if any(width < 1 for width in self.hidden):
            raise DeclarationError(f"hidden={self.hidden} has a layer without units. Give >= 1.")
        _check_share("dropout", self.dropout)

    def build(self, attributes: int, forcings: int, outputs: int) -> nn.Module:
        return _Perceptron(attributes, self.hidden, outputs, self.dropout)


@dataclass(frozen=True)
class LSTM(Network):
    """gA with climate: an LSTM reads the mean annual cycle of the forcings, beside attributes.

    The cycle is that of the training period (weekly means), so that the parameters are static:
    the same whatever window they are asked for. The hidden states are averaged over the year.

    Parameters
    ----------
    hidden : int
        Width of the LSTM and of the layer behind it.
    dropout : float
        Share of units dropped while training.
    """

    hidden: int = 32
    dropout: float = 0.1

    reads_forcings: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise DeclarationError(f"hidden={self.hidden} has no units. Give 1 or more.")
        _check_share("dropout", self.dropout)

    def build(self, attributes: int, forcings: int, outputs: int) -> nn.Module:
        return _AnnualCycleLSTM(attributes, forcings, self.hidden, outputs, self.dropout)


@dataclass(frozen=True)
class Dynamic:
    """Parameters that change from day to day, by a perceptron that reads the weather so far.

    It reads means of every forcing over the last days, for several spans, beside the attributes,
    and moves the parameters around the static values that the other network gives. Its memory is
    as long as the longest span: the values of a day are the same in any Dataset that reaches back
    so far.

    Parameters
    ----------
    parameters : tuple of str
        Names in the model; all others stay static.
    hidden : tuple of int
        Width of each hidden layer.
    spans : tuple of float
        Days over which forcings are averaged, the day itself the last.
    dropout : float
        Share of hidden units dropped while training.
    """

    parameters: tuple[str, ...]
    hidden: tuple[int, ...] = (32,)
    spans: tuple[float, ...] = (1.0, 7.0, 30.0, 90.0)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))
        object.__setattr__(self, "spans", tuple(float(days) for days in self.spans))
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise DeclarationError(
                f"hidden={self.hidden} of Dynamic has no units. Give one or more layers, each >= 1."
            )
        if not self.spans or any(not 0 < days < float("inf") for days in self.spans):
            raise DeclarationError(
                f"spans={self.spans} of Dynamic are not spans of days. Give numbers above 0."
            )
        _check_share("dropout", self.dropout)

    @property
    def options(self) -> dict[str, object]:
        """Options that rebuild it: ``Dynamic(**dynamic.options)``."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def build(self, attributes: int, forcings: int, outputs: int) -> nn.Module:
        """Make the module: (attributes (cell, attribute), forcing (time, cell, forcing), dt)."""
        return _WeatherPerceptron(self, attributes, forcings, outputs)


class _WeatherPerceptron(nn.Module):
    def __init__(self, declared: Dynamic, attributes: int, forcings: int, outputs: int) -> None:
        super().__init__()
        self.spans = declared.spans
        first, *others = declared.hidden
        self.place = nn.Linear(attributes, first)
        self.weather = nn.Linear(forcings * len(self.spans), first, bias=False)
        layers: list[nn.Module] = [nn.Tanh(), nn.Dropout(declared.dropout)]
        for width in others:
            layers += [nn.Linear(first, width), nn.Tanh(), nn.Dropout(declared.dropout)]
            first = width
        head = nn.Linear(first, outputs)
        # training starts from static parameters
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.body = nn.Sequential(*layers, head)

    def forward(self, attributes: Tensor, forcing: Tensor, dt: float) -> Tensor:
        means = [running_mean(forcing, max(1, round(days / dt))) for days in self.spans]
        hidden = self.weather(torch.cat(means, dim=-1)) + self.place(attributes)
        moved: Tensor = self.body(hidden)
        return moved


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(inputs, width), nn.Tanh()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            inputs = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, outputs)
        # near zero: training starts in the middle of the bounds; the small random part
        # tells components of one cell apart
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.normal_(self.head.bias, std=0.1)

    def forward(self, attributes: Tensor, cycle: Tensor | None = None) -> Tensor:
        raw: Tensor = self.head(self.body(attributes))
        return raw


class _AnnualCycleLSTM(nn.Module):
    def __init__(
        self, attributes: int, forcings: int, hidden: int, outputs: int, dropout: float
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(forcings, hidden)
        self.head = _Perceptron(attributes + hidden, (2 * hidden,), outputs, dropout)

    def forward(self, attributes: Tensor, cycle: Tensor | None = None) -> Tensor:
        if cycle is None:
            raise DeclarationError(
                "an LSTM network was called without the annual cycle of the forcings. "
                "Give cycle with shape (season, cell, forcing)."
            )
        # no mixed precision: in half precision its gradients vanish, and not every CPU has it
        with torch.autocast(cycle.device.type, enabled=False):
            states, _ = self.lstm(cycle)
        raw: Tensor = self.head(torch.cat([attributes, states.mean(0)], dim=-1))
        return raw


BUNDLED = (MLP, LSTM)


def __dir__() -> list[str]:
    return sorted(__all__)
