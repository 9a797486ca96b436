"""`Outcome`: what a training step came to, and what follows from it for the training state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..batches import Batch
from ..errors import NonFiniteLoss
from .state import TrainState, heeds_halts

__all__ = ["Outcome", "Step", "broken_cells", "pace", "settle", "update"]

LARGEST_SHARE_WITHOUT_GRADIENT = 0.1
"""Share of a batch's cells whose gradient may fail to be finite before training stops."""


@dataclass(frozen=True)
class Outcome:
    """What a training step came to, still on its device.

    Attributes
    ----------
    loss : Tensor ()
    overflowed : Tensor of bool (cell,)
        Cells whose gradient is not finite: they took no part.
    broken : Tensor of bool (cell,)
        Cells with a simulated value that is not finite.
    ready : cuda.Event, optional
        What to wait for before the values may be read.
    """

    loss: Tensor
    overflowed: Tensor
    broken: Tensor
    ready: torch.cuda.Event | None = None

    def on_host(self) -> Outcome:
        """Start to copy to the host without waiting; the same object where it is there."""
        if not self.loss.is_cuda:
            return self
        loss, overflowed, broken = (
            one.to("cpu", non_blocking=True) for one in (self.loss, self.overflowed, self.broken)
        )
        ready = torch.cuda.Event()
        ready.record()
        return Outcome(loss, overflowed, broken, ready)

    def wait(self) -> None:
        """Wait for values that are on their way."""
        if self.ready is not None:
            self.ready.synchronize()

    def failed(self) -> Tensor:
        """Whether the step must leave the weights alone: bool ()."""
        most = LARGEST_SHARE_WITHOUT_GRADIENT * len(self.overflowed)
        return ~torch.isfinite(self.loss) | (self.overflowed.sum() > most)


Step: TypeAlias = Callable[[Batch], Outcome]
"""Trains on one batch; nothing in it waits for a result."""


def broken_cells(simulated: Mapping[str, Tensor]) -> Tensor:
    """Cells with a simulated value that is not finite: bool (cell,)."""
    # 0 times what is not finite is NaN; torch's own test of each value takes ten times as long
    return ~torch.stack([(series * 0).sum(0) == 0 for series in simulated.values()]).all(0)


def pace(state: TrainState) -> None:
    """Set the learning rates of the next step, and count it."""
    for group in state.optimizer.param_groups:
        peak, factor = group["initial_lr"], group.get("factor", 1.0)
        rate = state.schedule(peak, state.done, state.factor) * factor
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    state.done += 1


def update(state: TrainState, outcome: Outcome) -> None:
    """Change the weights by their gradients, unless this step or one before it broke."""
    if state.gradient_clip is not None:
        torch.nn.utils.clip_grad_norm_(state.field.parameters(), state.gradient_clip)
    failed = outcome.failed().to(state.halted.dtype)
    state.halted.copy_(torch.maximum(state.halted, failed))
    if heeds_halts(state.optimizer) or not bool(state.halted):
        state.optimizer.step()


def settle(state: TrainState, outcome: Outcome, label: NDArray[np.str_], number: int) -> float:
    """Return the loss of a step and count what was left out.

    Raises
    ------
    NonFiniteLoss
        Loss or gradient are not finite; the weights are those before that step.
    """
    outcome.wait()
    if outcome.failed():
        state.halted.zero_()
        state.done = number - 1
        whole = bool(torch.isfinite(outcome.loss))
        which = outcome.overflowed if whole else outcome.broken
        what = "gradient" if whole else "loss"
        raise _non_finite(what, number, label[which.cpu().numpy()], len(label))
    state.without_gradient.update(label[outcome.overflowed.cpu().numpy()])
    return float(outcome.loss)


def _non_finite(what: str, number: int, names: NDArray[np.str_], cells: int) -> NonFiniteLoss:
    named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return NonFiniteLoss(
        f"the {what} of batch {number} is not finite, from {len(names)} of its "
        f"{cells} cells: {named or 'none by itself'}. The weights before that batch are "
        "kept in the `fit` of this error. Look at the forcings of these cells, leave them out with "
        "cells=, or lower learning_rate."
    )
