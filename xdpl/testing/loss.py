"""Check of a loss."""

from __future__ import annotations

import torch
from torch import Tensor

from ..losses import Loss
from .run import described, explained, require

__all__ = ["check_loss"]


def check_loss(loss: Loss, *, seed: int = 0) -> None:
    """Check that a loss adds up over cells, ignores what was not observed, and has gradients.

    Parameters
    ----------
    loss : Loss
        An instance.
    seed : int
        Of the series that it is tried on.

    Raises
    ------
    DeclarationError
        At the first check that fails.
    """
    require(
        isinstance(loss, Loss),
        f"the loss is {described(loss)}, not an instance of a subclass of xdpl.losses.Loss. Write "
        "one with a method per_cell(self, simulated, observed)",
    )
    name = type(loss).__name__
    simulated, observed = _series(seed)
    require(type(loss)(**loss.options) == loss, f"{name}(**options) differs from the loss itself")
    scale = loss.scale(observed)
    require(
        scale.shape[:1] == (6,) and bool((scale[:5] > 0).all() and scale.isfinite()[:5].all()),
        f"scale of {name} must be one positive number per cell",
    )
    total, weight = _per_cell(loss, simulated, observed)
    require(
        total.shape == weight.shape == scale.shape and total.dim() > 0,
        f"per_cell of {name} returns shapes {tuple(total.shape)} and {tuple(weight.shape)}; both "
        "must be (cell,)",
    )
    empty = (float(total[5].detach().abs().sum()), float(weight[5].abs().sum()))
    require(
        empty == (0.0, 0.0),
        f"{name} gives a cell without observations total and weight {empty}; both must be 0",
    )
    pairs = [loss.per_cell(simulated[:, i : i + 2], observed[:, i : i + 2]) for i in (0, 2, 4)]
    require(
        torch.allclose(torch.cat([pair[0] for pair in pairs]), total),
        f"{name} of a cell depends on the other cells of the batch",
    )
    (gradient,) = torch.autograd.grad(loss(simulated, observed), simulated)
    require(bool(gradient.isfinite().all()), f"{name} has gradients that are not finite")
    require(
        bool((gradient[observed.isnan()] == 0).all()),
        f"{name} has gradients where nothing was observed",
    )
    perfect = loss(torch.nan_to_num(observed), observed)
    require(
        float(perfect) <= float(loss(simulated.detach(), observed)),
        f"{name} of a perfect simulation is not the lowest",
    )


def _series(seed: int) -> tuple[Tensor, Tensor]:
    """Simulated and observed series (time, cell); the last two cells are special."""
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand(90, 6, generator=generator, dtype=torch.float64) + 0.1
    observed[torch.rand(observed.shape, generator=generator) < 0.3] = torch.nan
    observed[:, 4] = 0.5  # a cell without variance
    observed[:, 5] = torch.nan  # and one without observations
    simulated = torch.rand(observed.shape, generator=generator, dtype=torch.float64)
    return simulated.requires_grad_(), observed


def _per_cell(loss: Loss, simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Total and weight of each cell, or an error that says what was returned instead."""
    name = type(loss).__name__
    with explained(f"per_cell of {name}"):
        returned = loss.per_cell(simulated, observed)
    require(
        isinstance(returned, (tuple, list))
        and len(returned) == 2
        and all(isinstance(one, Tensor) for one in returned),
        f"per_cell of {name} returns {described(returned)}, not two tensors. Return the sum of the "
        "misfit of each cell and its weight: return misfit.sum(0), seen.sum(0).to(misfit.dtype)",
    )
    total, weight = returned
    return total, weight
