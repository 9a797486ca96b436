"""The true model behind a surrogate, run with the parameters that were learned through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from ..blackbox import BlackBox, run_cells, times_before
from ..errors import DeclarationError, warn
from ..surrogate import Surrogate
from .fit_state import FitState

__all__ = ["TrueModel", "true_model_of"]


@dataclass(frozen=True)
class TrueModel:
    """A `Simulator` that runs an external model, without gradients.

    Parameters
    ----------
    external : BlackBox
        The true model.
    scheduler : str, optional
        How dask makes the runs side by side.
    """

    external: BlackBox
    scheduler: str | None = None

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float,
        outputs: Sequence[str] | None = None,
        time: Sequence[object] | None = None,
        label: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Run it; (spin-up + time, cell), NaN where a run failed, which a warning counts."""
        if time is None or label is None:
            raise DeclarationError(
                f"{self.external.name} is an external model, which needs times and labels of the "
                "cells. Give time= and label=."
            )
        index = time if isinstance(time, pd.Index) else pd.Index(time)
        spin_up = len(next(iter(forcing.values()))) - len(index)
        found, failures = run_cells(
            self.external,
            {name: series.numpy() for name, series in forcing.items()},
            {name: values.double().numpy() for name, values in parameter.items()},
            time=times_before(index, spin_up),
            dt=dt,
            label=list(label),
            scheduler=self.scheduler,
        )
        if failures.found:
            warn(failures.message)
        return {name: torch.from_numpy(values) for name, values in found.items()}


def true_model_of(fit: FitState, ds: xr.Dataset) -> TrueModel:
    """Return what runs the true model behind a fit's surrogate.

    Raises
    ------
    DeclarationError
        The model of the fit is no surrogate, or its true model is not at hand.
    """
    if not isinstance(fit.model, Surrogate):
        raise DeclarationError(
            f"true_model=True runs the true model behind a surrogate; {fit.model.name} is no "
            "surrogate. Leave true_model out."
        )
    # a task of dask that waits for other ones could wait for ever
    return TrueModel(fit.model.true_model(), "synchronous" if any(ds.chunks) else None)
