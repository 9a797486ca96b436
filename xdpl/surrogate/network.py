"""The network of a surrogate: an LSTM that reads forcings and parameters, transforms inside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DeclarationError

__all__ = ["Emulator", "EmulatorLSTM", "State"]

State = tuple[Tensor, Tensor]
"""Hidden state and memory, each (layer, cell, hidden)."""

SKEWED = 1.5
"""Skewness from which a forcing is read on a log scale, too."""


@dataclass(frozen=True)
class EmulatorLSTM:
    """Declares the network of a surrogate.

    Parameters
    ----------
    hidden : int
        Width of the LSTM.
    layers : int
        Layers of it.
    embedding : int
        Numbers into which the parameters are turned besides being read as they are.
    """

    hidden: int = 64
    layers: int = 1
    embedding: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise DeclarationError(
                    f"{field.name}={value!r} can't be used. Give a whole number above 0."
                )

    @property
    def options(self) -> dict[str, Any]:
        """Options that rebuild the network."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def build(self, forcings: int, parameters: int, outputs: int) -> Emulator:
        """Make the module with random weights from torch's generator."""
        return Emulator(forcings, parameters, outputs, self)


class Emulator(nn.Module):
    """Turns forcings and parameters into outputs, step by step.

    Forcings are standardised; skewed ones that are never negative are read on a log scale, too.
    An output that is never negative is the softplus of what the network gives: linear where it is
    large, logarithmic where it is small.

    Parameters
    ----------
    forcings, parameters, outputs : int
        Their numbers.
    network : EmulatorLSTM
        Sizes.
    """

    forcing_mean: Tensor
    forcing_std: Tensor
    forcing_scale: Tensor
    skewed: Tensor
    output_mean: Tensor
    output_scale: Tensor
    positive: Tensor

    def __init__(self, forcings: int, parameters: int, outputs: int, network: EmulatorLSTM) -> None:
        super().__init__()
        hidden = network.hidden
        self.embedding = nn.Sequential(
            nn.Linear(parameters, 4 * network.embedding),
            nn.SiLU(),
            nn.Linear(4 * network.embedding, network.embedding),
            nn.Tanh(),
        )
        inputs = 2 * forcings + parameters + network.embedding
        self.lstm = nn.LSTM(inputs, hidden, network.layers)
        self.head = nn.Linear(hidden + parameters + network.embedding, outputs)
        for name, bias in self.lstm.named_parameters():
            if name.startswith("bias_ih"):  # keep what was read for long, at first
                with torch.no_grad():
                    bias[hidden : 2 * hidden] = 3.0
        for name, size, start in (
            ("forcing_mean", 2 * forcings, 0.0),
            ("forcing_std", 2 * forcings, 1.0),
            ("forcing_scale", forcings, 1.0),
            ("skewed", forcings, 0.0),
            ("output_mean", outputs, 0.0),
            ("output_scale", outputs, 1.0),
            ("positive", outputs, 0.0),
        ):
            self.register_buffer(name, torch.full((size,), start))

    @property
    def digest(self) -> str:
        """Fingerprint of the weights."""
        digest = hashlib.sha256()
        for tensor in self.state_dict().values():
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()[:16]

    def learn_statistics(self, forcing: Tensor, output: Tensor) -> None:
        """Keep scales of forcings (any, forcing) and outputs (any, output) of the true runs."""
        forcing, output = forcing.double(), output.double()
        spread = forcing.std(0, correction=0).clamp(min=1e-6)
        skewness = (((forcing - forcing.mean(0)) / spread) ** 3).mean(0)
        self.skewed.copy_((forcing.min(0).values >= 0) & (skewness > SKEWED))
        self.forcing_scale.copy_(forcing.abs().mean(0).clamp(min=1e-6))
        features = self._features(forcing.float()).double()
        self.forcing_mean.copy_(features.mean(0))
        self.forcing_std.copy_(features.std(0, correction=0).clamp(min=1e-3))
        self.positive.copy_(output.min(0).values >= 0)
        self.output_mean.copy_(output.mean(0))
        self.output_scale.copy_(output.std(0, correction=0).clamp(min=1e-6))

    def _features(self, forcing: Tensor) -> Tensor:
        logged = torch.log1p(forcing.clamp(min=0) / self.forcing_scale) * self.skewed
        return torch.cat([forcing, logged], dim=-1)

    def forward(
        self, forcing: Tensor, share: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Run over all steps.

        Parameters
        ----------
        forcing : Tensor (time, cell, forcing)
            In physical units.
        share : Tensor (cell, parameter)
            Parameters as shares of their bounds, 0 to 1.
        state : State, optional
            Before the first step; zeros by default.

        Returns
        -------
        outputs : Tensor (time, cell, output)
            In physical units.
        state : State
            After the last step.
        """
        series = (self._features(forcing) - self.forcing_mean) / self.forcing_std
        centred = 2 * share - 1
        static = torch.cat([centred, self.embedding(centred)], dim=-1)
        spread = static.expand(len(series), -1, -1)
        hidden, state = self.lstm(torch.cat([series, spread], dim=-1), state)
        raw = self.head(torch.cat([hidden, spread], dim=-1))
        either = torch.where(
            self.positive > 0,
            nn.functional.softplus(raw) * self.output_scale,
            raw * self.output_scale + self.output_mean,
        )
        return either, state
