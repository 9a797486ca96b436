"""The reference time loop: plain torch, one call of ``step`` per time step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .contract import Namespace, Stepping, columns, expected, results_of, steps

__all__ = ["run"]


def run(
    model: Stepping,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    *,
    dt: float,
    outputs: Sequence[str],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Advance ``model`` over all time steps; shapes as in `xdpl.engine.simulate`.

    Any difference between another engine and this loop, beyond rounding, is an error of the
    other engine.
    """
    shape = columns(parameter, state)
    current = {name: state[name].expand(expected(model, name, shape)) for name in model.states}
    static = {name: p for name, p in parameter.items() if p.dim() == 2}
    dynamic = {name: p for name, p in parameter.items() if p.dim() == 3}
    series: dict[str, list[Tensor]] = {name: [] for name in outputs}
    for t in range(steps(model, forcing)):
        now = {name: forcing[name][t].unsqueeze(-1).expand(shape) for name in model.forcings}
        here = static | {name: p[t] for name, p in dynamic.items()}
        returned = model.step(Namespace(**now), Namespace(**current), Namespace(**here), dt)
        states, results = results_of(model, returned)
        current = {name: states[name].expand(expected(model, name, shape)) for name in current}
        for name in outputs:
            series[name].append(results[name].expand(shape).mean(-1))
    return {name: torch.stack(values) for name, values in series.items()}, current
