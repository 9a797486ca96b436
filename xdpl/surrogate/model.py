"""`Surrogate`: a process model whose equations were learned from runs of another one."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..blackbox import BlackBox
from ..errors import DeclarationError, printable, warn
from ..parameters.transforms import share_of
from ..process import ProcessModel
from ..runtime.files import PathLike
from ..variables import State
from .contents import contents_of, save_contents
from .network import Emulator, EmulatorLSTM
from .report import Report

__all__ = ["Surrogate"]

BEYOND = 0.1
"""Share of a forcing's training range by which it may be exceeded without a warning."""

BLOCK = 20_000_000
"""Numbers of the LSTM held at a time where no gradient is wanted."""


_COPYING = threading.Lock()

_COPIES: WeakKeyDictionary[Emulator, dict[tuple[torch.device, torch.dtype], Emulator]]
_COPIES = WeakKeyDictionary()
"""Copies of networks for other devices and precisions; they go with the network."""


@dataclass(frozen=True, eq=False, repr=False)
class Surrogate(ProcessModel):
    """A learned stand-in for a black box; made by `xdpl.emulate`.

    It declares what the black box declares, and is given to `xdpl.fit` like any process model. It
    holds for time steps of the length it was trained on, and within its training ranges.

    Attributes
    ----------
    emulator : Emulator
        The network, its transforms inside.
    network : EmulatorLSTM
        Its sizes.
    declared : dict of str to dict
        Forcings, parameters and outputs of the black box.
    box_name : str
        Name of the black box.
    dt : float
        Length of a step in days.
    report : Report
        How it was made and how far it can be trusted.
    box : BlackBox, optional
        The true model; a surrogate read from a file has none unless it was given.
    said : set of str
        Forcings of which it was warned that they leave the training range.
    """

    emulator: Emulator
    network: EmulatorLSTM
    declared: Mapping[str, Mapping[str, Any]]
    box_name: str
    dt: float
    report: Report = field(default_factory=Report)
    box: BlackBox | None = None
    said: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.emulator.requires_grad_(False)
        self.emulator.train()  # else cuDNN gives no gradient; there is nothing random in it

    def _declared(self, kind: str) -> dict[str, object]:
        if kind == "states":
            size = self.network.hidden * self.network.layers
            return {name: State("1", size=size) for name in ("hidden", "memory")}
        return dict(self.declared.get(kind, {}))

    @property
    def name(self) -> str:
        return f"Surrogate of {self.box_name}"

    @property
    def timesteps(self) -> tuple[float, float]:  # type: ignore[override]
        """Only steps of the length that it was trained on."""
        return self.dt, self.dt

    @property
    def options(self) -> dict[str, Any]:
        """What tells it from other surrogates; it is rebuilt from its file, not from these."""
        return {"box": self.box_name, "weights": self.digest}

    @property
    def digest(self) -> str:
        """Fingerprint of the weights."""
        return self.emulator.digest

    def true_model(self) -> BlackBox:
        """The black box, or an error that says how to give it."""
        if self.box is None:
            raise DeclarationError(
                f"the true model {self.box_name} is not at hand: a file names it, but does not "
                "hold it. Give it at load: xdpl.load(path, model=box)."
            )
        return self.box

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float = 1.0,
        outputs: Sequence[str] | None = None,
        state: Mapping[str, Tensor] | None = None,
        engine: str = "auto",
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        for kind, given, wanted in (
            ("forcing", forcing, self.forcings),
            ("parameter", parameter, self.parameters),
            ("output", self.outputs, outputs or ()),
        ):
            missing = [name for name in wanted if name not in given]
            if missing:
                raise DeclarationError(
                    f"{self.name} was asked for or run without {kind} {', '.join(missing)}. "
                    f"It knows {', '.join(self._declared(f'{kind}s'))}."
                )
        series = torch.stack([forcing[name] for name in self.forcings], dim=-1)
        share = self._shares(parameter)  # (cell, component, parameter)
        cells, components, _ = share.shape
        network = self._on(series)
        wide = series.repeat_interleave(components, dim=1) if components > 1 else series
        start = _unpack(state, self.network) if state is not None else None
        values, final = self._run(network, wide, share.flatten(0, 1), start)
        values = values.unflatten(1, (cells, components)).mean(2)
        names = list(self.outputs)
        return (
            {name: values[..., names.index(name)] for name in outputs or names},
            _pack(final, cells, components),
        )

    def _shares(self, parameter: Mapping[str, Tensor]) -> Tensor:
        """Parameters as shares of their bounds, on their scales: (cell, component, parameter)."""
        shares = []
        for name, declared in self.parameters.items():
            value = parameter[name]
            if value.dim() > 2:
                raise DeclarationError(
                    f"{name} of {self.name} was given for each time step; a black box is run with "
                    "one value in each cell. Leave it out of dynamic=."
                )
            share = share_of(value, declared)
            shares.append(share[:, None] if share.dim() == 1 else share)
        return torch.stack(torch.broadcast_tensors(*shares), dim=-1)

    def _on(self, like: Tensor) -> Emulator:
        """The network on the device and in the precision of the forcings: itself, or a copy.

        Its own weights stay where they are: another thread may be running it.
        """
        own = next(self.emulator.parameters())
        if own.device == like.device and own.dtype == like.dtype:
            return self.emulator
        with _COPYING:
            copies = _COPIES.setdefault(self.emulator, {})
            key = (like.device, like.dtype)
            if key not in copies:
                copies[key] = copy.deepcopy(self.emulator).to(device=like.device, dtype=like.dtype)
            return copies[key]

    def _run(
        self, network: Emulator, series: Tensor, share: Tensor, state: Any
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if torch.is_grad_enabled() and (share.requires_grad or series.requires_grad):
            return network(series, share, state)
        self._check_ranges(series)
        # without a gradient nothing need be kept: a block of steps at a time
        length = max(1, BLOCK // (series.shape[1] * 8 * self.network.hidden))
        parts = []
        with torch.no_grad():
            for at in range(0, len(series), length):
                values, state = network(series[at : at + length], share, state)
                parts.append(values)
        return torch.cat(parts), state

    def _check_ranges(self, series: Tensor) -> None:
        """Warn, once for each forcing, of values well outside of what it was trained on."""
        for i, name in enumerate(self.forcings):
            if name in self.said or name not in self.report.ranges:
                continue
            low, high = self.report.ranges[name]
            edge = BEYOND * (high - low)
            values = series[..., i]
            count = int(((values < low - edge) | (values > high + edge)).sum())
            if count:
                self.said.add(name)
                warn(
                    f"{count} of {values.numel()} values of {name} lie outside of what the "
                    f"{self.name} was trained on ({low:.4g} to {high:.4g}): it knows nothing of "
                    "them. Let the true model judge, or emulate with cells and a period like these."
                )

    def save(self, path: PathLike) -> Path | str:
        """Write the surrogate to one file (safetensors with a JSON header: no pickle)."""
        return save_contents(*self.contents(), path)

    def contents(self) -> tuple[dict[str, object], dict[str, Tensor]]:
        """Header and tensors, for any file."""
        return contents_of(
            self.emulator, self.network, self.declared, self.box_name, self.dt, self.report
        )

    def __repr__(self) -> str:
        return f"Surrogate(box={self.box_name!r}, weights={self.digest!r})"

    def __str__(self) -> str:
        return printable(f"<xdpl.Surrogate> of {self.box_name}\n{self.report}")


def _pack(state: tuple[Tensor, Tensor], cells: int, components: int) -> dict[str, Tensor]:
    """(layer, cell x component, hidden) to (cell, component, layer x hidden)."""
    flat = (part.movedim(0, 1).flatten(1) for part in state)
    hidden, memory = (part.unflatten(0, (cells, components)) for part in flat)
    return {"hidden": hidden, "memory": memory}


def _unpack(state: Mapping[str, Tensor], network: EmulatorLSTM) -> tuple[Tensor, Tensor]:
    hidden, memory = (
        state[name]
        .flatten(0, 1)
        .unflatten(1, (network.layers, network.hidden))
        .movedim(1, 0)
        .contiguous()
        for name in ("hidden", "memory")
    )
    return hidden, memory
