"""What every engine may rely on: shapes, time steps and names, checked once at the entrance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Protocol

import torch
from torch import Tensor

from ..errors import DeclarationError
from ..variables import Forcing, Output, Parameter, State

__all__ = ["Namespace", "Stepping", "check", "columns", "expected", "results_of", "steps"]


class Namespace(SimpleNamespace):
    """Tensors by declared name: ``forcing.temperature``."""

    def __getattr__(self, name: str) -> Tensor:
        raise AttributeError(f"{name!r} is not declared. There are {', '.join(vars(self))}")


class Stepping(Protocol):
    """A model as the engines see it: declarations, and a step."""

    @property
    def name(self) -> str:
        """Name of the model, for messages."""

    @property
    def forcings(self) -> dict[str, Forcing]:
        """Declared forcings by name."""

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Declared parameters by name."""

    @property
    def states(self) -> dict[str, State]:
        """Declared states by name."""

    @property
    def outputs(self) -> dict[str, Output]:
        """Declared outputs by name."""

    def step(
        self, forcing: Namespace, state: Namespace, parameter: Namespace, dt: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return states and outputs after a step."""


def columns(parameter: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return (cells, components), from a parameter or else from a state."""
    for value in parameter.values():
        return int(value.shape[-2]), int(value.shape[-1])
    for value in state.values():
        return int(value.shape[0]), int(value.shape[1])
    raise DeclarationError(
        "the engine got neither parameters nor states, so the number of columns is unknown. "
        "Declare at least one State or Parameter."
    )


def expected(model: Stepping, name: str, shape: tuple[int, int]) -> tuple[int, ...]:
    """Shape of the state ``name``: (cell, component) or (cell, component, size)."""
    size = model.states[name].size
    return (*shape, size) if size > 1 else shape


def steps(model: Stepping, forcing: Mapping[str, Tensor]) -> int:
    """Return the number of time steps, the first axis of any forcing."""
    for name in model.forcings:
        return int(forcing[name].shape[0])
    raise DeclarationError(
        f"{model.name} declares no Forcing, so the number of time steps is unknown. "
        "Declare at least one Forcing."
    )


def check(
    model: Stepping,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    outputs: Sequence[str],
) -> None:
    """Raise a DeclarationError where names, shapes or dtypes don't fit together."""
    _check_names(model, forcing, parameter, state, outputs)
    cells, components = shape = columns(parameter, state)
    time = steps(model, forcing)
    if time == 0:
        raise DeclarationError(
            f"{model.name} was run over no time step at all. Give forcings (time, cell) with time."
        )
    wanted: list[tuple[str, Tensor, tuple[tuple[int, ...], ...]]] = []
    for name in model.forcings:
        wanted.append((f"forcing {name}", forcing[name], ((time, cells),)))
    for name, value in parameter.items():
        wanted.append((f"parameter {name}", value, (shape, (time, *shape))))
    for name in model.states:
        wanted.append((f"state {name}", state[name], (expected(model, name, shape),)))
    first = wanted[0][1]
    for label, value, shapes in wanted:
        if tuple(value.shape) not in shapes:
            raise DeclarationError(
                f"{label} of {model.name} has shape {tuple(value.shape)}, not "
                f"{' or '.join(map(str, shapes))} ({time} steps, {cells} cells, "
                f"{components} components). Give it in that shape."
            )
        if value.dtype != first.dtype or value.device != first.device:
            raise DeclarationError(
                f"{label} of {model.name} is {value.dtype} on {value.device}, but "
                f"{wanted[0][0]} is {first.dtype} on {first.device}. Convert them to one of both."
            )
    if first.dtype not in (torch.float32, torch.float64):
        raise DeclarationError(
            f"{model.name} was run in {first.dtype}. Use torch.float32 or torch.float64."
        )


def _check_names(
    model: Stepping,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    outputs: Sequence[str],
) -> None:
    looped = [name for name, p in model.parameters.items() if not p.shared]
    for kind, given, names in (
        ("forcing", forcing, list(model.forcings)),
        ("parameter", parameter, looped),
        ("state", state, list(model.states)),
    ):
        missing = [name for name in names if name not in given]
        if missing:
            raise DeclarationError(
                f"{model.name} was run without {kind} {', '.join(missing)}. "
                f"Give {', '.join(names)}."
            )
    for name in outputs:
        if name not in model.outputs:
            raise DeclarationError(
                f"{model.name} has no output {name!r}. It has {', '.join(model.outputs)}."
            )


def results_of(model: Stepping, returned: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return (states, outputs) of a step, or raise a DeclarationError where one is missing."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise DeclarationError(
            f"step of {model.name} returned {type(returned).__name__}, not (states, outputs). "
            "Return two dicts of tensors."
        )
    for kind, given, names in (
        ("state", returned[0], model.states),
        ("output", returned[1], model.outputs),
    ):
        wrong = [name for name in names if not isinstance(given.get(name), Tensor)]
        if wrong:
            raise DeclarationError(
                f"step of {model.name} returned no tensor for {kind} {', '.join(wrong)}. "
                f"Return one for each of {', '.join(names)}."
            )
    return returned[0], returned[1]
