"""What a reviewer asks of learned parameters: cross-validation, baselines, coherence, quality."""

from ..rasters.quality_flags import doubtful, quality_flags
from .coherence import moran
from .crossvalidate import cross_validate
from .direct import lstm
from .evolution import sce_ua
from .gradient import calibrate, defaults, uniform
from .regions import regionalize
from .report import CrossValidation
from .tables import Constant
from .variogram import nugget_share, variogram_range

__all__ = [
    "Constant",
    "CrossValidation",
    "calibrate",
    "cross_validate",
    "defaults",
    "doubtful",
    "lstm",
    "moran",
    "nugget_share",
    "quality_flags",
    "regionalize",
    "sce_ua",
    "uniform",
    "variogram_range",
]


def __dir__() -> list[str]:
    return sorted(__all__)
