"""From what is known of cells to the parameters of a process model, and the model run with them.

A `ParameterField` gives parameters from `CellInputs`; `Learner`, a network, is the usual one. A
`Simulator` runs a model with them.
"""

from .cell_inputs import CellInputs
from .ensemble import Ensemble
from .field import ParameterField
from .learner import Learner
from .simulator import ProcessSimulator, Simulator
from .table import Table
from .transforms import ParameterTransform

__all__ = [
    "CellInputs",
    "Ensemble",
    "Learner",
    "ParameterField",
    "ParameterTransform",
    "ProcessSimulator",
    "Simulator",
    "Table",
]
