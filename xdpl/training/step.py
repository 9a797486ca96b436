"""`training_step`: the step that fits a training run, from those that stand beside each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from ..batches import Batch
from ..errors import OutOfMemory, warn
from .cuda_graph import Replay
from .microbatch import microbatch_step
from .objective import Objective
from .outcome import Outcome, Step
from .state import TrainState, heeds_halts
from .whole import whole_step

__all__ = ["OutOfMemoryFallback", "training_step"]


def training_step(state: TrainState, objective: Objective) -> Step:
    """Choose how to train on a batch.

    In microbatches where memory or several processes ask for it; recorded as a CUDA graph on a
    GPU; as a whole batch otherwise. Where memory turns out too small, in microbatches from then on.

    Parameters
    ----------
    state : TrainState
        What is trained.
    objective : Objective
        What is made small.
    """
    in_microbatches = partial(microbatch_step, state, objective)
    step: Step = partial(whole_step, state, objective)
    if state.microbatches > 1 or state.group.size > 1:
        step = in_microbatches
    elif state.halted.is_cuda and heeds_halts(state.optimizer):
        step = _recorded(state, step)
    return OutOfMemoryFallback(state, step, in_microbatches)


def _recorded(state: TrainState, step: Step) -> Step:
    replay = Replay(step)

    def recorded(batch: Batch) -> Outcome:
        with state.random.drawing():  # a graph draws its random numbers as it is replayed
            return replay(batch)

    return recorded


class OutOfMemoryFallback:
    """A step that goes on in halves of a batch, once, where the device can't hold it whole.

    Parameters
    ----------
    state : TrainState
        Whose number of microbatches is doubled.
    step, halved : callable
        What is done at first, and from then on.
    """

    def __init__(self, state: TrainState, step: Step, halved: Callable[[Batch], Outcome]) -> None:
        self.state, self.step, self._halved_step = state, step, halved
        self.halved = False

    def __call__(self, batch: Batch) -> Outcome:
        before = self.state.random.states
        try:
            return self.step(batch)
        except (RuntimeError, MemoryError) as problem:
            if not _out_of_memory(problem):
                raise
            self._check(batch, problem)
        self.state.random.states = before  # the step is begun anew, with the same random numbers
        self.halved = True
        self.state.microbatches *= 2
        self.step = self._halved_step
        if self.state.halted.is_cuda:
            torch.cuda.empty_cache()
        warn(
            f"no memory to simulate {len(batch.label)} cells at once: batches are simulated in "
            f"{self.state.microbatches} microbatches from here on. A smaller batch_size is faster."
        )
        return self(batch)

    def _check(self, batch: Batch, problem: BaseException) -> None:
        """Raise OutOfMemory where halves are no help."""
        state = self.state
        if self.halved or state.group.size > 1 or state.field.dynamic:
            raise OutOfMemory(
                f"no memory for {len(batch.label)} cells in {state.microbatches} microbatches: "
                f"{str(problem).splitlines()[0][:200]}. Give a smaller batch_size, or shorten "
                "warmup."
            ) from problem


def _out_of_memory(problem: BaseException) -> bool:
    """Whether torch or the system lacks memory; torch has a class of its own on GPUs only."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(problem, kinds) or "can't allocate memory" in str(problem)
