"""What the checks are made on: a model with forcings, parameters and a step."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import engine
from ..errors import DeclarationError, XdplError
from ..process import ProcessModel, StepModel

__all__ = ["Run", "Tensors", "described", "explained", "require", "weighted"]

Tensors = dict[str, Tensor]
_PACKAGE = Path(__file__).parent.parent
_TORCH = Path(torch.__file__).parent


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
        forcing, parameter = keywords.pop("forcing"), keywords.pop("parameter")
        with explained(str(self)):
            return self.model.simulate(forcing, parameter, **keywords)

    def loop(self, forcing: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
        """Run without what follows the loop: routing keeps water beyond the last step."""
        assert isinstance(self.model, StepModel)
        declared = self.model.parameters
        looped = {k: v for k, v in self.parameter.items() if not declared[k].shared}
        return engine.simulate(self.model, forcing, looped, state, dt=self.dt, engine="eager")

    def initial(self) -> Tensors:
        """State before the first step."""
        if isinstance(self.model, StepModel):
            with explained(f"initial_state of {self.model.name}"):
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


def described(value: object) -> str:
    """What was returned, in a few words: of a short tuple the types of all that it holds."""
    if isinstance(value, tuple) and len(value) < 5:
        return f"({', '.join(type(one).__name__ for one in value)})"
    return f"a {type(value).__name__}" if value is not None else "nothing"


def weighted(value: Tensor) -> Tensor:
    """A sum with uneven weights: even ones would hide wrong gradients, since mass is conserved."""
    weights = torch.cos(torch.arange(value.numel(), dtype=value.dtype, device=value.device))
    return (value * weights.reshape(value.shape)).sum()


@contextmanager
def explained(label: str) -> Iterator[None]:
    """Turn an error of torch or Python into one of ours, with the line that caused it."""
    try:
        yield
    except XdplError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        foreign = [f for f in frames if not _within(f.filename, _PACKAGE, _TORCH)]
        # a bundled model is in the package itself
        line = (foreign or [f for f in frames if not _within(f.filename, _TORCH)])[-1]
        reason = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
        raise DeclarationError(
            f"{label} raised {type(error).__name__} in {Path(line.filename).name}, line "
            f"{line.lineno}, `{line.line}`: {reason}. {_remedy(reason)}"
        ) from error


def _remedy(reason: str) -> str:
    if reason.startswith("Boolean value of Tensor"):
        return (
            "`if`, `max` and `min` ask for one cell, and the line has all: write "
            "torch.where(condition, a, b), torch.maximum(a, b) or torch.clamp(a, min=0.0)."
        )
    return "Correct that line."


def _within(file: str, *folders: Path) -> bool:
    return any(folder in Path(file).parents for folder in folders)
