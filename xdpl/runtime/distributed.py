"""The processes that train together, as `torchrun` starts them; one alone is the usual case."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor

from ..errors import RankError

__all__ = ["ALONE", "ProcessGroup", "join", "processes_here"]

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, which may be reading."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together, seen from this one.

    Parameters
    ----------
    rank, size : int
        Its number, and how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def total(self, tensor: Tensor) -> Tensor:
        """Sum over all processes; the tensor itself where there is but one.

        Raises
        ------
        RankError
            Another process is gone.
        """
        if self.size == 1:
            return tensor
        summed = tensor.detach().clone()
        try:
            torch.distributed.all_reduce(summed)
        except RuntimeError as problem:
            raise RankError(
                f"process {self.rank + 1} of {self.size} has lost another one: "
                f"{str(problem).splitlines()[0][:200]}. Look at the output of the others, and make "
                "the same call again: with checkpoint= it goes on from the last state kept."
            ) from problem
        return summed

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return flag if self.size == 1 else bool(self.total(torch.tensor(float(flag))) > 0)

    def of_first(self, value: float) -> float:
        """Give to all processes the number that the first one has."""
        if self.size == 1:
            return value
        return float(self.total(torch.tensor(value if self.first else 0.0, dtype=torch.float64)))

    def check_same(self, value: float, what: str) -> None:
        """Raise RankError, in all processes, unless all of them have this number."""
        first = self.of_first(value)
        if self.any(value != first):
            raise RankError(
                f"process {self.rank + 1} of {self.size} has {what} {value:g}, and the first one "
                f"{first:g}. Give all processes the same data and the same folders."
            )


ALONE = ProcessGroup()


def processes_here() -> int:
    """How many of the processes that train together are on this machine, by `torchrun`."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "1") if "RANK" in os.environ else "1"
    return max(1, int(text)) if text.isdigit() else 1


def _meet(backend: str, size: int) -> None:
    try:
        torch.distributed.init_process_group(backend, timeout=PATIENCE)
    except (RuntimeError, ValueError) as problem:
        number = int(os.environ["RANK"]) + 1
        raise RankError(
            f"process {number} of {size} waited for the others, and not all came: "
            f"{str(problem).splitlines()[0][:200]} Start all of them, by torchrun, and look at "
            "their output."
        ) from problem


def join(device: torch.device) -> tuple[ProcessGroup, torch.device]:
    """Join the others where `torchrun` started several processes.

    Parameters
    ----------
    device : torch.device
        "cuda" without a number is made the one of this process.

    Returns
    -------
    ProcessGroup, torch.device
    """
    size = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    if size == 1:
        return ALONE, device
    if str(device) == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not torch.distributed.is_initialized():
        # single numbers are agreed on by the CPU, what lies on a GPU by the GPUs
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        _meet(backend, size)
    return ProcessGroup(torch.distributed.get_rank(), torch.distributed.get_world_size()), device
