"""From batches to weights: a loop to read and copy, its steps, callbacks, checkpoints.

`train` goes through the epochs with a step of your choice; `training_step` chooses one. All that
changes on the way is a `TrainState`. `xdpl.fit` is made of these, and so is a loop of your own.
"""

from .callbacks import Callback, ProgressBar
from .early_stopping import EarlyStopping
from .loop import train
from .microbatch import microbatch_step
from .objective import Objective
from .optimizer import adamw
from .outcome import Outcome
from .state import DeviationRule, History, Trainable, TrainState, WarmupCosine
from .step import training_step
from .whole import whole_step

__all__ = [
    "Callback",
    "DeviationRule",
    "EarlyStopping",
    "History",
    "Objective",
    "Outcome",
    "ProgressBar",
    "TrainState",
    "Trainable",
    "WarmupCosine",
    "adamw",
    "microbatch_step",
    "train",
    "training_step",
    "whole_step",
]
