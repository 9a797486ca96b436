"""The training loop: short enough to read in one go, to copy and to change."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..batches import Batch
from ..errors import DataError, warn
from .callbacks import Callback
from .outcome import Outcome, Step, pace, settle
from .state import TrainState

__all__ = ["train"]

AHEAD = 16
"""Steps that may be under way on a GPU while the host prepares the next."""

_UnderWay = tuple[Outcome, NDArray[np.str_], int]


def train(
    state: TrainState,
    step: Step,
    batches: Callable[[int, int], Iterator[Batch]],
    *,
    epochs: int,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Train for the epochs that the history does not hold yet.

    Parameters
    ----------
    state : TrainState
        Field, optimizer, schedule and history; changed in place. Where its history holds steps,
        training goes on after these.
    step : callable
        Trains on one batch; from `training_step`, or of your own.
    batches : callable
        ``batches(epoch, skip)`` gives the batches of an epoch but for the first ``skip``; equal
        numbers give equal batches.
    epochs : int
        Epochs in all.
    callbacks : sequence of Callback
        Called in this order.

    Raises
    ------
    NonFiniteLoss
        Loss or gradient are not finite; the weights are those before that batch.
    DataError
        No batch of an epoch has a cell with complete forcings.

    Examples
    --------
    See :doc:`/how-to/training-loop`.
    """
    history = state.history
    state.field.train()
    try:
        for call in callbacks:
            call.on_start(state)
        for epoch in range(len(history.loss), epochs):
            if state.stop:
                break
            for loss in _losses(state, step, batches(epoch, len(history.step)), callbacks):
                history.step.append(loss)
                for call in callbacks:
                    call.on_step(state)
            history.loss.append(_mean(history.step, epoch))
            history.step.clear()
            for call in callbacks:
                call.on_epoch(state)
    except BaseException as problem:
        state.ended_by = problem
        raise
    finally:
        for call in callbacks:
            call.on_end(state)
    state.field.eval()


def _losses(
    state: TrainState, step: Step, batches: Iterator[Batch], callbacks: Sequence[Callback]
) -> Iterator[float]:
    """Take the steps of an epoch, and give their losses; on a GPU some steps later."""
    under_way: deque[_UnderWay | None] = deque()
    began = time.perf_counter()
    for batch in batches:
        state.waited += time.perf_counter() - began
        if len(batch.label):
            pace(state)
            under_way.append((step(batch).on_host(), batch.label, state.done))
        else:  # every cell has gaps
            under_way.append(None)
        pausing = [call for call in callbacks if call.wants_pause(state)]
        while len(under_way) > (0 if pausing else _ahead(state)):
            yield _settled(state, under_way.popleft())
        for call in pausing:
            call.on_pause(state)
        began = time.perf_counter()
    while under_way:
        yield _settled(state, under_way.popleft())


def _ahead(state: TrainState) -> int:
    """Steps that may be under way: on a GPU nobody waits for the one before."""
    return AHEAD if state.halted.is_cuda else 0


def _settled(state: TrainState, one: _UnderWay | None) -> float:
    return math.nan if one is None else settle(state, *one)


def _mean(losses: Sequence[float], epoch: int) -> float:
    """Mean loss of the batches of an epoch; warns of those without cells, in the first epoch."""
    taken = [loss for loss in losses if not math.isnan(loss)]
    if not taken:
        raise DataError(
            f"no batch of epoch {epoch + 1} has a cell with complete forcings in its window and "
            "spin-up. Fill the gaps, or give a period and a warmup without them."
        )
    if len(taken) < len(losses) and epoch == 0:
        warn(
            f"{len(losses) - len(taken)} of {len(losses)} batches of the first epoch were left "
            "out: the forcings of all their cells have gaps there. Fill them, or give a period "
            "without them."
        )
    return sum(taken) / len(taken)
