"""Estimate what a training step takes, so that a batch which can't fit is not even begun."""

from __future__ import annotations

import torch

from ..errors import warn
from ..parameters.field import ParameterField
from ..parameters.simulator import ProcessSimulator
from ..runtime.memory import free_memory, machine_memory

__all__ = ["bytes_of_step", "microbatches_for", "values_at_a_time"]

EAGER = 300
"""Values that torch's autograd keeps of each cell, component and step of a model of usual size."""

SHARE = 0.5
"""Part of the memory that a step may take."""

SIMULATED = 64
"""Bytes that a simulation without gradients takes for each value of one forcing."""

BLOCK_SHARE = 1 / 8
"""Part of the free memory that one simulated block may take: several run at a time."""


def values_at_a_time(most: int) -> int:
    """Values of one forcing to simulate at a time: ``most``, and less where memory is short."""
    return max(1, min(most, int(free_memory() * BLOCK_SHARE) // SIMULATED))


def bytes_of_step(simulator: ProcessSimulator, components: int, cells: int, steps: int) -> int:
    """Estimate the memory of one training step, forward and back.

    The fused engine keeps forcings and outputs, and a state in eight; torch keeps every operation.
    """
    model = simulator.model
    if simulator.engine == "eager":
        values = EAGER * components
    else:
        states, outputs = len(model.states), len(model.outputs)
        values = 2 * len(model.forcings) + components * (states // 8 + 1) + 4 * outputs
    return 4 * cells * steps * values


def microbatches_for(
    field: ParameterField,
    simulator: ProcessSimulator,
    cells: int,
    steps: int,
    device: torch.device,
) -> int:
    """Microbatches in which a batch is simulated, so that each fits; warns if more than one."""
    if field.dynamic is not None:  # its network reads the series of all cells
        return 1
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = machine_memory()
    needed = bytes_of_step(simulator, field.transform.components, cells, steps)
    count = max(1, min(cells, -int(-needed // max(1, int(free * SHARE)))))
    if count > 1:
        warn(
            f"a batch of {cells} cells over {steps} steps takes about {needed / 2**30:.3g} GiB, "
            f"and there are {free / 2**30:.3g}: it is simulated in {count} microbatches. Results "
            "are the same but for rounding; a smaller batch_size is faster."
        )
    return count
