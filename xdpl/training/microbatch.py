"""One training step in parts: of a batch that memory can't hold at once, or by several processes.

Every process runs the network on all cells of the batch, which costs next to nothing beside the
process model; the model is run on the cells of each process, one part after the other. What
goes from process to process is the gradient of each cell's parameters. So random numbers, the
hold on extreme gradients and the weights are those of one process that does all by itself, but for
rounding; not where a store has gaps, since each process leaves out the cells that it found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..batches import Batch
from ..errors import DeclarationError, OutOfMemory, warn
from .cuda_graph import Outcome, Work

if TYPE_CHECKING:
    from .loop import Objective, Trainer

__all__ = ["Halving", "advance", "parts_of", "random_of"]


@dataclass(frozen=True)
class _Gradient:
    """Of the unbounded parameters, (cell, size), and what came of the cells on the way.

    ``there`` and ``broken`` are numbers, 1 for yes: cells that some process has simulated, and
    those with a value that is not finite.
    """

    raw: Tensor
    there: Tensor
    broken: Tensor
    loss: Tensor


def parts_of(batch: Batch, parts: int) -> Iterator[tuple[Tensor, Batch]]:
    """Split the cells that this process simulates: their places in the batch, and their series."""
    own = batch.own
    if own is None:
        own = torch.arange(len(batch.index), device=batch.index.device)
    columns = torch.arange(len(own), device=own.device)
    for some in columns.tensor_split(parts):
        if not len(some):
            continue
        place = own[some]
        part = replace(
            batch,
            forcing={k: v[:, some] for k, v in batch.forcing.items()},
            observed={k: v[:, some] for k, v in batch.observed.items()},
            scale={k: v[place] for k, v in batch.scale.items()},
            own=None,
        )
        yield place, part


def advance(trainer: Trainer, batch: Batch, objective: Objective, dt: float) -> Outcome:
    """Do a step as `Trainer.advance` does, in ``trainer.parts`` parts and with ``trainer.group``.

    Raises
    ------
    DeclarationError
        The parameters change with time: their network reads series that only one process has.
    """
    learner = trainer.learner
    if learner.dynamic is not None:
        raise DeclarationError(
            "dynamic parameters can't be learned in parts or by several processes. Train them in "
            "one process with a smaller batch_size, or leave dynamic out."
        )
    raw = learner.raw(batch.attribute, batch.cycle if learner.reads_forcings else None)
    raw, penalty = trainer._deviated(raw, batch)
    weights = _denominators(trainer, batch, objective)
    found = _agreed(trainer, _simulated(trainer, raw.detach(), batch, objective, weights, dt))
    without = ~torch.isfinite(found.raw).all(1) & (found.there > 0)
    trainer.optimizer.zero_grad(set_to_none=True)
    if bool(found.there.any()):
        tamed = trainer.tame(torch.where((found.there > 0)[:, None], found.raw, torch.nan))
        held = [penalty * found.loss] if penalty.requires_grad else []
        torch.autograd.backward([raw, *held], [tamed, *map(torch.ones_like, held)])
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    outcome = Outcome(found.loss, without, found.broken > 0)
    trainer.hold(outcome)
    trainer.optimizer.step()
    return outcome


def _denominators(trainer: Trainer, batch: Batch, objective: Objective) -> dict[str, Tensor]:
    """Sum of the weights of all cells, in all processes, for each output."""
    sums = []
    for name, loss in objective.losses.items():
        observed = batch.observed[name]
        _, weight = loss.per_cell(torch.nan_to_num(observed), observed)
        sums.append(weight.sum().to(torch.float32))
    total = trainer.group.total(torch.stack(sums))
    return dict(zip(objective.losses, total, strict=True))


def _simulated(
    trainer: Trainer,
    raw: Tensor,
    batch: Batch,
    objective: Objective,
    weights: Mapping[str, Tensor],
    dt: float,
) -> _Gradient:
    """Run the process model on the cells of this process, forward and back."""
    learner = trainer.learner
    found = _Gradient(
        torch.zeros_like(raw), raw.new_zeros(len(raw)), raw.new_zeros(len(raw)), raw.new_zeros(())
    )
    for place, part in parts_of(batch, trainer.parts):
        leaf = raw[place].requires_grad_()
        simulated = learner.simulate(
            part.forcing, learner.transform(leaf), dt=dt, outputs=tuple(objective.losses)
        )
        loss = objective.share(simulated, part, weights)
        (gradient,) = torch.autograd.grad(loss, leaf)
        found.raw[place] = gradient
        found.there[place] = 1.0
        found.broken[place] = trainer.broken(simulated).to(raw.dtype)
        found.loss.add_(loss.detach())
    return found


def _agreed(trainer: Trainer, found: _Gradient) -> _Gradient:
    """Put the cells of all processes together, in one message."""
    if trainer.group.size == 1:
        return found
    cells, size = found.raw.shape
    flat = torch.cat([found.raw.flatten(), found.there, found.broken, found.loss[None]])
    raw, there, broken, loss = trainer.group.total(flat).split([cells * size, cells, cells, 1])
    return _Gradient(raw.reshape(cells, size), there, broken, loss[0])


def random_of(device: torch.device) -> list[torch.Generator]:
    """Generators that a step draws from: the host's, and that of its GPU. Nothing here waits."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index])
    return generators


class Halving:
    """Work that goes on in halves of a batch, once, where the device has no memory for it whole."""

    def __init__(self, trainer: Trainer, work: Work, plain: Work) -> None:
        self.trainer, self.work, self.plain = trainer, work, plain
        self.halved = False

    def __call__(self, batch: Batch) -> Outcome:
        generators = random_of(self.trainer.halted.device)
        before = [generator.get_state() for generator in generators]
        try:
            return self.work(batch)
        except (RuntimeError, MemoryError) as problem:
            if not _out_of_memory(problem):
                raise
            if self.halved or self.trainer.group.size > 1 or self.trainer.learner.dynamic:
                raise OutOfMemory(
                    f"no memory for {len(batch.label)} cells in {self.trainer.parts} parts: "
                    f"{str(problem).splitlines()[0][:200]}. Give a smaller batch_size, or shorten "
                    "warmup."
                ) from problem
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)  # the step is begun anew, with the same random numbers
        self.halved = True
        self.trainer.parts *= 2
        self.work = self.plain  # what was recorded was for whole batches
        if self.trainer.halted.is_cuda:
            torch.cuda.empty_cache()
        warn(
            f"no memory to simulate {len(batch.label)} cells at once: batches are simulated in "
            f"{self.trainer.parts} parts from here on. A smaller batch_size is faster."
        )
        return self(batch)


def _out_of_memory(problem: BaseException) -> bool:
    """Whether torch or the system says so; torch has a class of its own on GPUs only."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(problem, kinds) or "can't allocate memory" in str(problem)
