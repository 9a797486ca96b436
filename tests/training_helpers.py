"""A batch whose parameters are known, a training state for it, and one step at a time."""

from __future__ import annotations

import numpy as np
import torch
from toy import Bucket

from xdpl.batches import Batch
from xdpl.losses import MSE
from xdpl.networks import MLP
from xdpl.parameters.learner import Learner
from xdpl.parameters.simulator import ProcessSimulator
from xdpl.runtime.random import RandomStream
from xdpl.training import (
    DeviationRule,
    Objective,
    TrainState,
    WarmupCosine,
    adamw,
    microbatch_step,
    whole_step,
)
from xdpl.training.outcome import pace, settle

SIMULATOR = ProcessSimulator(Bucket())
OBJECTIVE = Objective({"streamflow": MSE()}, SIMULATOR)


def a_batch(cells=8, steps=60, warmup=20):
    """Cells with streamflow from parameters that follow from their attribute."""
    draw = torch.Generator().manual_seed(0)
    forcing = {
        "precipitation": 8 * torch.rand(warmup + steps, cells, generator=draw),
        "potential_evaporation": 3 * torch.rand(warmup + steps, cells, generator=draw),
    }
    attribute = torch.rand(cells, 1, generator=draw, dtype=torch.float64)
    parameter = {
        "recession": 0.05 + 0.4 * attribute.float(),
        "evaporation_factor": torch.full((cells, 1), 0.8),
    }
    flow, _ = Bucket().simulate(forcing, parameter)
    return Batch(
        forcing=forcing,
        observed={"streamflow": flow["streamflow"][warmup:]},
        scale={"streamflow": torch.ones(cells)},
        attribute=attribute,
        cycle=None,
        label=np.array([f"cell {i}" for i in range(cells)]),
        index=torch.arange(cells),
        count=torch.full((cells,), steps),
        start=warmup,
    )


def a_state(batch, steps=100, deviating=0, seed=0, **keywords):
    """State at the start, with the same first weights each time; seed: of what is drawn later."""
    with RandomStream(0).drawing():
        field = Learner(MLP(hidden=(8,)), Bucket(), [0], cells=deviating)
    field.learn_statistics(batch.attribute, None)
    return TrainState(
        field,
        adamw(field, 0.03, weight_decay=0.0),
        WarmupCosine(steps),
        DeviationRule(shrinkage=20.0),
        random=RandomStream(seed),
        **keywords,
    )


def take_step(state, batch, objective=OBJECTIVE):
    """Take one step, and return its loss."""
    pace(state)
    step = whole_step if state.microbatches == 1 else microbatch_step
    return settle(state, step(state, objective, batch), batch.label, state.done)


def weights(state):
    """All of them, one after the other."""
    return torch.cat([p.detach().flatten() for p in state.field.parameters()])
