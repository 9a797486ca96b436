"""Callbacks: what looks at a training run, and may end it."""

from __future__ import annotations

import sys

from ..runtime.progress import tqdm
from .state import TrainState

__all__ = ["Callback", "ProgressBar"]


class Callback:
    """Looks at a training run; overrides what it wants to hear of.

    Callbacks may read all of the state, and set ``state.stop`` to end training after the epoch
    under way. An exception that one raises ends training at once, and leaves `fit`.

    Examples
    --------
    >>> class Losses(Callback):
    ...     def on_epoch(self, state):
    ...         print(len(state.history.loss), state.history.loss[-1])
    """

    def on_start(self, state: TrainState) -> None:
        """Before the first step; also where a run goes on from a checkpoint."""

    def on_step(self, state: TrainState) -> None:
        """After each step: ``state.history.step[-1]`` is its loss, NaN for a batch without cells.

        On a GPU some later steps are under way by then, and the weights may be theirs.
        """

    def on_epoch(self, state: TrainState) -> None:
        """After each epoch: ``state.history.loss[-1]`` is its mean loss."""

    def on_end(self, state: TrainState) -> None:
        """After the last step, also where training was ended early: see ``state.ended_by``."""

    def wants_pause(self, state: TrainState) -> bool:
        """Whether the steps under way are to end, and `on_pause` to be called."""
        return False

    def on_pause(self, state: TrainState) -> None:
        """Between two steps, with none under way: weights, optimizer and history agree."""


class ProgressBar(Callback):
    """Shows the epochs, and the loss of the last one.

    Parameters
    ----------
    epochs : int
        Epochs in all.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_start(self, state: TrainState) -> None:
        done = len(state.history.loss)
        self._bar = tqdm(total=self.epochs, initial=done, desc="fit", unit="epoch", file=sys.stderr)

    def on_epoch(self, state: TrainState) -> None:
        self._bar.update(1)
        self._bar.set_postfix_str(f"loss {state.history.loss[-1]:.4g}", refresh=False)

    def on_end(self, state: TrainState) -> None:
        self._bar.close()
