"""A training run as data: which batches an epoch has, and how it is run to its end."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from ..batches import Batch, Cells, Loader, Task, schedule
from ..errors import NonFiniteLoss, warn
from ..runtime.distributed import ALONE, ProcessGroup
from ..runtime.signals import Keeper, Stopped, leave
from .callbacks import Callback, ProgressBar
from .checkpoint import Checkpoint
from .early_stopping import EarlyStopping
from .loop import train
from .objective import Objective
from .state import History, TrainState
from .step import training_step

__all__ = ["Plan", "Run"]


@dataclass
class Plan:
    """Batches of each epoch, on the device.

    Parameters
    ----------
    cells : Cells
        What is trained on.
    seed, batch_size : int
        Of the batches, and cells in each at most.
    window, warmup : int
        Steps with loss, and steps of spin-up ahead of them.
    by_block : bool
        Whether batches are drawn from a few chunks of the Dataset at a time.
    device : torch.device
        Where training runs.
    group : ProcessGroup
        The processes that train together.
    """

    cells: Cells
    seed: int
    batch_size: int
    window: int
    warmup: int
    by_block: bool
    device: torch.device
    group: ProcessGroup = ALONE

    def __post_init__(self) -> None:
        self._check()
        near = self.cells.to(self.device)
        pin = self.device.type != near.attribute.device.type
        self.loader = Loader(near, self.warmup, pin, self.group)

    def _check(self) -> None:
        """Warn where every batch would read all of a store that memory can't hold."""
        if not self.by_block and not self.cells.in_memory and self.batch_size < len(self.cells):
            warn(
                f"batch_size={self.batch_size} draws cells from all over the Dataset, which is "
                "larger than memory: each batch reads all of it. Leave batch_size out, so that "
                "batches come from a few chunks at a time."
            )

    def _draw(self, epoch: int) -> Iterator[Task]:
        return schedule(
            self.cells,
            epoch=epoch,
            seed=self.seed,
            batch_size=self.batch_size,
            window=self.window,
            by_block=self.by_block,
        )

    @cached_property
    def batches(self) -> int:
        """Batches an epoch."""
        return sum(1 for _ in self._draw(0))

    def __call__(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Batches of an epoch, but for the first ones; those are not read."""
        for batch in self.loader(itertools.islice(self._draw(epoch), skip, None)):
            self.cells.count_left_out(batch)
            yield batch.to(self.device)


FEW = 1_000_000
"""Values a batch (cells x components x steps) up to which threads cost more than they gain."""


class _OneThread:
    """One thread of torch for small batches: waking others takes longer than their work.

    Where other programs use the processor, too, it is worse by an order of magnitude. The number of
    threads is one for the whole process: the last of several fits at the same time restores it.
    """

    def __init__(self) -> None:
        self._lock, self._fits, self._before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        with self._lock:
            if not self._fits:
                self._before = torch.get_num_threads()
            self._fits += 1
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._fits -= 1
            if not self._fits:
                torch.set_num_threads(self._before)


_one_thread = _OneThread()


class _Kept(Callback):
    """Keeps checkpoints after each epoch and now and then, and heeds signals."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper

    def on_epoch(self, state: TrainState) -> None:
        self.keeper.write()

    def wants_pause(self, state: TrainState) -> bool:
        return self.keeper.due()

    def on_pause(self, state: TrainState) -> None:
        self.keeper.rest()


@dataclass
class Run:
    """One training run: resumed where a checkpoint is found, stopped without loss.

    Parameters
    ----------
    state : TrainState
        Of the start, or where a checkpoint is found of what it holds.
    objective : Objective
        What is made small.
    plan : Plan
        Batches.
    epochs : int
        Epochs in all.
    stopping : EarlyStopping, optional
        Looks at validation cells.
    callbacks : sequence of Callback
        What else looks at the run.
    columns : int
        Series simulated for each cell, such as those of its parameter sets.
    """

    state: TrainState
    objective: Objective
    plan: Plan
    epochs: int
    stopping: EarlyStopping | None = None
    callbacks: Sequence[Callback] = ()
    columns: int = 1

    @property
    def history(self) -> History:
        """Losses so far."""
        return self.state.history

    def __call__(
        self, checkpoint: Checkpoint | None, progress: bool
    ) -> NonFiniteLoss | KeyboardInterrupt | None:
        """Train; return what stopped it early, if anything did."""
        state, group = self.state, self.plan.group
        if checkpoint is not None:
            checkpoint.resume(state)
        group.check_same(state.done, "done this many steps:")

        def keep() -> None:
            if checkpoint is not None and group.first:
                checkpoint.write(state)

        keeper = Keeper(keep, agree=group.any)
        callbacks: list[Callback] = [] if self.stopping is None else [self.stopping]
        if progress and group.first:
            callbacks.append(ProgressBar(self.epochs))
        callbacks += [_Kept(keeper), *self.callbacks]
        try:
            with keeper.listening():
                self._train(callbacks)
        except NonFiniteLoss as stopped:
            return stopped
        except KeyboardInterrupt as stopped:  # the second one, which didn't wait
            return stopped
        except Stopped as stopped:
            leave(stopped.number)
            return KeyboardInterrupt()
        finally:
            self.plan.loader.close()
        return None

    def _train(self, callbacks: Sequence[Callback]) -> None:
        plan = self.plan
        values = plan.batch_size * self.columns * (plan.window + plan.warmup)
        with _one_thread if values <= FEW else contextlib.nullcontext():
            train(
                self.state,
                training_step(self.state, self.objective),
                plan,
                epochs=self.epochs,
                callbacks=callbacks,
            )
