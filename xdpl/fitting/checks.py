"""What keywords may be: checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from ..engine import ENGINES
from ..errors import DeclarationError
from ..parameters.learner import PRECISIONS
from ..training.callbacks import Callback

__all__ = [
    "check_callbacks",
    "check_engine",
    "check_precision",
    "check_seed",
    "positive",
    "yes_or_no",
]


def check_seed(seed: object) -> None:
    """Raise DeclarationError unless the seed is a whole number from 0 that torch can take."""
    whole = int(seed) if isinstance(seed, (int, np.integer)) else -1
    if isinstance(seed, bool) or not 0 <= whole < 2**63:
        raise DeclarationError(f"seed={seed!r} can't be used. Give a whole number from 0.")


def yes_or_no(name: str, value: object) -> None:
    """Raise DeclarationError unless the value is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise DeclarationError(f"{name}={value!r} can't be used. Give True or False.")


def check_engine(engine: object) -> None:
    """Raise DeclarationError if there is no such engine; before anything is read."""
    if engine not in ENGINES:
        raise DeclarationError(f"engine={engine!r} is unknown. Use one of {', '.join(ENGINES)}.")


def check_precision(precision: object, device: torch.device) -> None:
    """Raise DeclarationError if there is no such precision, or the device doesn't have it."""
    if precision not in PRECISIONS:
        raise DeclarationError(
            f"precision={precision!r} is unknown. Use one of {', '.join(PRECISIONS)}."
        )
    if precision == "mixed" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeclarationError(
            f"precision='mixed' computes in bfloat16, which {str(device)!r} doesn't have. "
            "Use precision='float32'."
        )


def positive(name: str, value: object, *, whole: bool = True) -> None:
    """Raise DeclarationError unless the value is None or a number above zero."""
    if value is None:
        return
    number = value if isinstance(value, (int, float, np.integer, np.floating)) else 0
    fraction = whole and not isinstance(value, (int, np.integer))
    if isinstance(value, bool) or fraction or not number > 0:
        wanted = "a whole number above 0" if whole else "a number above 0"
        raise DeclarationError(f"{name}={value!r} can't be used. Give {wanted}.")


def check_callbacks(callbacks: Iterable[object]) -> None:
    """Raise DeclarationError unless all are callbacks."""
    given = [callbacks] if isinstance(callbacks, (Callback, type)) else list(callbacks)
    wrong = [one for one in given if not isinstance(one, Callback)]
    if wrong or isinstance(callbacks, Callback):
        found = repr((wrong or given)[0])
        raise DeclarationError(
            f"callbacks has {found}, which is no list of callbacks. Derive a class from "
            "xdpl.training.Callback, and give a list of its objects: callbacks=[MyCallback()]."
        )
