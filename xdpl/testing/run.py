"""What the checks are made on: a model with forcings, parameters and a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import engine
from ..errors import DeclarationError
from ..process import ProcessModel, StepModel

__all__ = ["Run", "Tensors", "require", "weighted"]

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Run:
    """One model with forcings, parameters and a step: what the checks are made on."""

    model: ProcessModel
    forcing: Tensors
    parameter: Tensors
    dt: float
    where: str

    def __call__(self, **changed: Any) -> tuple[Tensors, Tensors]:
        keywords: dict[str, Any] = {
            "forcing": self.forcing,
            "parameter": self.parameter,
            "dt": self.dt,
            "engine": "eager",
            **changed,
        }
        return self.model.simulate(keywords.pop("forcing"), keywords.pop("parameter"), **keywords)

    def loop(self, forcing: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
        """Run without what follows the loop: routing keeps water beyond the last step."""
        declared = self.model.parameters
        looped = {k: v for k, v in self.parameter.items() if not declared[k].shared}
        return engine.simulate(self.model, forcing, looped, state, dt=self.dt, engine="eager")

    def initial(self) -> Tensors:
        """State before the first step."""
        if isinstance(self.model, StepModel):
            return self.model.initial_state(self.parameter)
        return {}

    def cell(self, number: int) -> str:
        """Parameters of one cell, for messages."""
        values = {k: float(v[number].reshape(-1)[0]) for k, v in self.parameter.items()}
        return ", ".join(f"{name}={value:.4g}" for name, value in values.items())

    def __str__(self) -> str:
        return f"{self.model.name} (parameters {self.where}, dt={self.dt:.4g} days)"


def require(condition: bool, message: str) -> None:
    """Raise a DeclarationError with the message, a full stop added, unless condition holds."""
    if not condition:
        raise DeclarationError(f"{message}.")


def weighted(value: Tensor) -> Tensor:
    """A sum with uneven weights: even ones would hide wrong gradients, since mass is conserved."""
    weights = torch.cos(torch.arange(value.numel(), dtype=value.dtype, device=value.device))
    return (value * weights.reshape(value.shape)).sum()
