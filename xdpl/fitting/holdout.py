"""Validation cells: split off the training cells by their labels, for early stopping."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from ..batches import Batch, Cells
from ..errors import DataError, DeclarationError, warn
from ..layout import Layout
from ..layout.stacking import labels, to_grid
from ..training.early_stopping import EarlyStopping
from ..training.objective import Objective
from ..training.run import Plan
from .checks import positive
from .problem import Problem

__all__ = ["Holdout", "check_validation", "hold_out", "read_holdout"]

SHARE_OF_EPOCHS = 5
"""Patience by default: a fifth of the epochs."""


def check_validation(validation: Any, patience: object) -> None:
    """Raise DeclarationError unless the share and the patience can be used."""
    if validation is None:
        if patience is not None:
            raise DeclarationError(
                f"patience={patience!r} needs validation cells. Give validation=0.1 as well."
            )
        return
    positive("patience", patience)
    number = isinstance(validation, (int, float)) and not isinstance(validation, bool)
    if not number or not 0 < validation < 1:
        raise DeclarationError(
            f"validation={validation!r} is not a share of the cells. Give a number between 0 and "
            "1, such as 0.1."
        )


@dataclass(frozen=True)
class Holdout:
    """Cells that are looked at after every epoch, and never trained on.

    Parameters
    ----------
    cells : Cells
        The validation cells.
    warmup, batch_size : int
        Steps of spin-up, and cells run at a time.
    patience : int
        As of `EarlyStopping`.
    device : torch.device
        Where training runs.
    """

    cells: Cells
    warmup: int
    batch_size: int
    patience: int
    device: torch.device

    def _batches(self) -> Iterator[Batch]:
        period = self.cells.period
        for at in range(0, len(self.cells), self.batch_size):
            index = np.arange(at, min(at + self.batch_size, len(self.cells)))
            batch = self.cells.take(index, period.start, period.stop, self.warmup)
            yield batch.to(self.device)

    def stopping(self, objective: Objective) -> EarlyStopping:
        """Early stopping of one run."""
        return EarlyStopping(self._batches, self.patience, objective)


def hold_out(problem: Problem, share: float) -> tuple[Problem, Problem]:
    """Split the cells of a problem in two: those to train on, and those to validate with.

    A cell's label alone decides, so that the split is the same in any Dataset that holds it.
    """
    cells = math.prod(problem.ds.sizes[dim] for dim in problem.layout.space)
    if cells < 2:
        raise DataError(
            f"validation={share} holds back cells, and the Dataset has {cells}. Leave it out: "
            "validation=None."
        )
    held = _held(problem.ds, problem.layout, share)
    wanted = problem.wanted
    train, validate = (~held, held) if wanted is None else (~held & wanted, held & wanted)
    return replace(problem, wanted=train), replace(problem, wanted=validate)


def _held(ds: xr.Dataset, layout: Layout, share: float) -> xr.DataArray:
    chosen = np.array([_place(name) < share for name in labels(ds, layout)])
    bare = to_grid(chosen, ds[list(layout.labels)].reset_coords(), layout)
    return bare.reset_coords(drop=True)


def _place(name: str) -> float:
    """A number from 0 to 1 that only a label decides."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def read_holdout(
    problem: Problem, plan: Plan, settings: dict[str, Any], patience: int | None
) -> Holdout:
    """Read the validation cells; ``settings`` of the fit are told how many, and the patience.

    Raises
    ------
    DataError
        There are none.
    """
    try:
        cells = problem.read(plan.cells.cycle is not None, report=False, group=plan.group)
    except DataError as none:
        raise DataError(
            f"validation={settings['validation']} holds back no cell with forcing, attributes and "
            "observations. Give a larger share, or leave it out where there are few cells."
        ) from none
    if len(cells) > len(plan.cells):
        warn(
            f"validation={settings['validation']} leaves {len(plan.cells)} of "
            f"{len(plan.cells) + len(cells)} cells to train on. Give a smaller share, such as 0.1."
        )
    wait = patience or max(1, math.ceil(settings["epochs"] / SHARE_OF_EPOCHS))
    settings |= {"validation_cells": len(cells), "patience": wait}
    return Holdout(cells, problem.warmup, plan.batch_size, wait, plan.device)
