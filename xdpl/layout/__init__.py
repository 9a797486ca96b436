"""From xarray to numpy: which variable plays which role, decided once, and the reading of it."""

from .axes import check_dataset
from .choose import choose_output
from .climate import climate
from .daylight import day_length
from .quality import Findings
from .read import CellBlock, read
from .recognise import match, recognise
from .records import AttributeRole, ForcingRole, Layout, ObservedRole, Source
from .stacking import labels, to_grid

__all__ = [
    "AttributeRole",
    "CellBlock",
    "Findings",
    "ForcingRole",
    "Layout",
    "ObservedRole",
    "Source",
    "check_dataset",
    "choose_output",
    "climate",
    "day_length",
    "labels",
    "match",
    "read",
    "recognise",
    "to_grid",
]
