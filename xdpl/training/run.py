"""A training run as data: which batches an epoch has, and how it is run to its end."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from ..batches import Batch, Cells, Loader, Task, schedule
from ..errors import NonFiniteLoss, warn
from ..losses import Loss
from ..runtime.distributed import ALONE, ProcessGroup
from ..runtime.progress import tqdm
from ..runtime.signals import Keeper, Stopped, interactive, leave
from .checkpoint import Checkpoint
from .early_stopping import EarlyStopping
from .loop import History, Objective, Trainer, train

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
            yield batch.to(self.device)


FEW = 1_000_000
"""Values a batch (cells x components x steps) up to which threads cost more than they gain."""


@contextlib.contextmanager
def _threads_for(values: int) -> Iterator[None]:
    """Use one thread for small batches: waking others takes longer than their share of the work.

    Where other programs use the processor, too, it is worse by an order of magnitude.
    """
    before = torch.get_num_threads()
    if values <= FEW:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Run:
    """One training run: resumed where a checkpoint is found, stopped without loss.

    Parameters
    ----------
    trainer : Trainer
        Learner and optimiser.
    losses : mapping of str to Loss
        By model output.
    plan : Plan
        Batches.
    epochs : int
        Epochs in all.
    dt : float
        Step of the model in days.
    weights : mapping of str to float
        Of the losses; 1 where not given.
    stopping : EarlyStopping, optional
        Looks at validation cells.
    """

    trainer: Trainer
    losses: Mapping[str, Loss]
    plan: Plan
    epochs: int
    dt: float
    weights: Mapping[str, float] = field(default_factory=dict)
    stopping: EarlyStopping | None = None
    history: History = field(default_factory=History)

    def __call__(
        self, checkpoint: Checkpoint | None, progress: bool
    ) -> NonFiniteLoss | KeyboardInterrupt | None:
        """Train; return what stopped it early, if anything did."""
        done = 0 if checkpoint is None else checkpoint.resume(self.trainer, self.history)
        self.plan.group.check_same(self.trainer.done, "done this many steps:")

        def keep() -> None:
            if checkpoint is not None and self.plan.group.first:
                checkpoint.write(self.trainer, self.history)

        keeper = Keeper(keep, agree=self.plan.group.any)
        with tqdm(
            total=self.epochs,
            initial=done,
            desc="fit",
            unit="epoch",
            disable=not (progress and self.plan.group.first),
            file=sys.stderr,
        ) as bar:

            def advance(_: int) -> None:
                bar.update(1)
                bar.set_postfix_str(f"loss {self.history.loss[-1]:.4g}", refresh=False)
                keep()

            try:
                with keeper.listening():
                    self._train(keeper, [advance])
            except NonFiniteLoss as stopped:
                return stopped
            except KeyboardInterrupt as stopped:  # the second one, which didn't wait
                if not interactive():
                    raise
                self._settle()
                return stopped
            except Stopped as stopped:
                leave(stopped.number)
                self._settle()
                return KeyboardInterrupt()
            finally:
                self.plan.loader.close()
        return None

    def _settle(self) -> None:
        """Leave an interrupted run with the best weights that it had, where it knows them."""
        if self.stopping is not None:
            self.stopping.restore(self.trainer, self.history)

    def _train(self, keeper: Keeper, after_epoch: Sequence[Callable[[int], None]]) -> None:
        plan = self.plan
        columns = plan.batch_size * self.trainer.learner.transform.components
        with _threads_for(columns * (plan.window + plan.warmup)):
            train(
                self.trainer,
                Objective(self.losses, self.weights),
                plan,
                epochs=self.epochs,
                dt=self.dt,
                history=self.history,
                after_epoch=after_epoch,
                watch=keeper,
                stopping=self.stopping,
            )
