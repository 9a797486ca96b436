"""`RandomStream`: random numbers of one run, whatever else draws in the same process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["RandomStream"]

_LOCK = threading.RLock()
"""Held by the thread that draws: torch has one generator for all threads."""


class RandomStream:
    """Random numbers of one run, from torch's own functions.

    Layers such as Dropout, and first weights, come from torch's global generator and can't be
    given another one. So inside `drawing` the global generator is in the state of this stream, and
    afterwards it is as it was. Two fits in two threads take turns, and neither sees the other.

    Parameters
    ----------
    seed : int
    device : torch.device
        "cuda" for a GPU, whose generator takes part.

    Examples
    --------
    >>> import torch
    >>> a, b = RandomStream(1), RandomStream(1)
    >>> with a.drawing():
    ...     first = torch.rand(3)
    >>> with b.drawing():
    ...     bool((torch.rand(3) == first).all())
    True
    """

    def __init__(self, seed: int, device: torch.device | None = None) -> None:
        self.device = torch.device("cpu") if device is None else device
        self._inside = False
        self._states = [
            torch.Generator(place).manual_seed(seed).get_state() for place in self._places()
        ]

    def _places(self) -> list[torch.device]:
        cpu = torch.device("cpu")
        return [cpu] if self.device.type == "cpu" else [cpu, self.device]

    def generators(self) -> list[torch.Generator]:
        """Torch's global generators that a step draws from: the host's, and that of its GPU."""
        if self.device.type != "cuda":
            return [torch.default_generator]
        index = self.device.index
        number = torch.cuda.current_device() if index is None else index
        return [torch.default_generator, torch.cuda.default_generators[number]]

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw from this stream; nothing here waits for a GPU."""
        with _LOCK:
            if self._inside:
                yield
                return
            generators = self.generators()
            before = [generator.get_state() for generator in generators]
            for generator, state in zip(generators, self._states, strict=True):
                generator.set_state(state)
            self._inside = True
            try:
                yield
            finally:
                self._inside = False
                self._states = [generator.get_state() for generator in generators]
                for generator, state in zip(generators, before, strict=True):
                    generator.set_state(state)

    @property
    def states(self) -> list[Tensor]:
        """State of the host's generator, and after it that of the GPU."""
        return [state.clone() for state in self._states]

    @states.setter
    def states(self, states: list[Tensor]) -> None:
        for place, state in zip(self._places(), states, strict=True):
            torch.Generator(place).set_state(state)  # raises where it is none
        self._states = [state.clone() for state in states]
