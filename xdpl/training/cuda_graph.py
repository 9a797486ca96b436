"""A training step on a GPU, recorded once for each shape of batch and replayed from then on.

A step is some hundred small kernels; launching them one by one takes the host ten times as long
as the GPU takes to run them. A CUDA graph is launched at once.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..batches import Batch
from ..errors import EngineWarning, warn
from .outcome import Outcome, Step

__all__ = ["Replay", "record", "tensors_of"]

DIRECT = 2
"""Steps of a shape that are launched as they are, before one is recorded: kernels compile there."""
MOST = 8
"""Shapes that are recorded: each holds a graph, and a batch."""


@cache
def side_stream(device: int) -> torch.cuda.Stream:
    """Return the stream of a GPU that work is recorded on; cuBLAS keeps 70 MB for each stream."""
    return torch.cuda.Stream(device)


def record(
    step: Step, batch: Batch, beside: torch.cuda.Stream
) -> tuple[Callable[[], None], Outcome]:
    """Record a step on a batch as a CUDA graph; return what replays it, and where its outcome lies.

    Raises
    ------
    RuntimeError
        The step waits for the device, which can't be recorded.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=beside):
        outcome = step(batch)
    return graph.replay, outcome


Recorder: TypeAlias = Callable[..., tuple[Callable[[], None], Outcome]]


class Replay:
    """A step that is recorded where a shape of batch comes back.

    Parameters
    ----------
    step : callable
        From a batch to an Outcome; must not wait for the device, and must read of the batch nothing
        but its tensors, since all else is that of the batch recorded.
    recorder : callable
        Records a step; `record` by default.
    """

    def __init__(self, step: Step, recorder: Recorder = record) -> None:
        self._step, self._recorder = step, recorder
        cuda = torch.cuda
        self._beside = side_stream(cuda.current_device()) if cuda.is_available() else None
        self._seen: Counter[Hashable] = Counter()
        self._records: dict[Hashable, tuple[Batch, Callable[[], None], Outcome]] = {}
        self._refused = False

    def __call__(self, batch: Batch) -> Outcome:
        shape = tuple((tuple(t.shape), t.dtype) for t in tensors_of(batch))
        if shape not in self._records:
            self._seen[shape] += 1
            full = len(self._records) >= MOST
            if self._seen[shape] <= DIRECT or full or self._refused or not self._keep(shape, batch):
                return self._direct(batch)
        kept, play, outcome = self._records[shape]
        torch._foreach_copy_(tensors_of(kept), tensors_of(batch))
        play()
        return outcome

    def _direct(self, batch: Batch) -> Outcome:
        """Launch as it is, on the stream that records: what warms up there is used there."""
        if self._beside is None:
            return self._step(batch)
        here = torch.cuda.current_stream()
        self._beside.wait_stream(here)
        with torch.cuda.stream(self._beside):
            outcome = self._step(batch)
        here.wait_stream(self._beside)
        return outcome

    def _keep(self, shape: Hashable, batch: Batch) -> bool:
        kept = _cloned(batch)
        try:
            self._records[shape] = (kept, *self._recorder(self._step, kept, self._beside))
        except RuntimeError as reason:
            self._refused = True
            full = any(isinstance(e, torch.OutOfMemoryError) for e in (reason, reason.__context__))
            cure = (
                "a smaller batch_size leaves memory for it"
                if full
                else "write the model without reading values back (.item(), bool(), float()) to "
                "have it recorded"
            )
            warn(
                "the training step can't be recorded as a CUDA graph, so that every kernel is "
                f"launched anew: {str(reason).splitlines()[0]} Results are the same; {cure}.",
                EngineWarning,
            )
        return not self._refused


def tensors_of(batch: Batch) -> list[Tensor]:
    """Return all tensors of a batch, in a fixed order."""
    found: list[Tensor] = []
    for f in dataclasses.fields(batch):
        value = getattr(batch, f.name)
        members = value.values() if isinstance(value, dict) else (value,)
        found.extend(v for v in members if isinstance(v, Tensor))
    return found


def _cloned(batch: Batch) -> Batch:
    def clone(value: object) -> Any:
        if isinstance(value, dict):
            return {name: clone(member) for name, member in value.items()}
        return value.clone() if isinstance(value, Tensor) else value

    values = {f.name: clone(getattr(batch, f.name)) for f in dataclasses.fields(batch)}
    return dataclasses.replace(batch, **values)
