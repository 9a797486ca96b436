"""From a Dataset to minibatches of tensors: cells x time windows with a spin-up ahead.

Here, and in `fitting`, labels meet tensors.
"""

from .batch import Batch
from .blocks import blocks_of, chunk_sizes
from .cells import Cells
from .draw import schedule
from .loader import Loader, Task
from .times import annual_cycle, seasons, spin_up_index

__all__ = [
    "Batch",
    "Cells",
    "Loader",
    "Task",
    "annual_cycle",
    "blocks_of",
    "chunk_sizes",
    "schedule",
    "seasons",
    "spin_up_index",
]
