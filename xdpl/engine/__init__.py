"""The time loop: run a step over all time steps, forward and reverse.

Three layers: `eager` is the reference; `trace`, `graph` and their rewrites turn a step and its
adjoint into a small graph; emitters and runtimes run that graph as one kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..errors import DeclarationError, EngineWarning, warn
from . import eager
from .contract import Namespace, Stepping, check
from .convolution import convolve
from .misfit import squared_misfit

__all__ = ["ENGINES", "Namespace", "Stepping", "convolve", "simulate", "squared_misfit"]

ENGINES = ("auto", "eager", "fused")


def simulate(
    model: Stepping,
    forcing: Mapping[str, Tensor],
    parameter: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    *,
    dt: float = 1.0,
    outputs: Sequence[str] | None = None,
    engine: str = "auto",
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run the time loop of a model; differentiable in parameters, state and forcings.

    Parameters
    ----------
    model : Stepping
        With ``name``, the declarations ``forcings``, ``parameters``, ``states``, ``outputs``,
        and ``step(forcing, state, parameter, dt)``.
    forcing : mapping of str to Tensor (time, cell)
        In the declared units.
    parameter : mapping of str to Tensor (cell, component) or (time, cell, component)
        In the declared units, without those that are shared by the components (routing).
    state : mapping of str to Tensor (cell, component[, size])
        The state before the first step.
    dt : float
        Length of a step in days.
    outputs : sequence of str, optional
        The outputs wanted; all of them by default.
    engine : {"auto", "eager", "fused"}
        "eager" is the plain loop. "fused" compiles the loop. "auto" takes the fused one
        wherever it can.

    Returns
    -------
    outputs : dict of str to Tensor (time, cell)
        Means over the components.
    state : dict of str to Tensor (cell, component[, size])
        The state after the last step.

    Raises
    ------
    DeclarationError
        Names, shapes or dtypes don't fit together.

    Warns
    -----
    EngineWarning
        The fused engine can't run this model, and the eager loop takes over: once per model.
    """
    if engine not in ENGINES:
        raise DeclarationError(f"engine {engine!r} is unknown. Use one of {', '.join(ENGINES)}.")
    wanted = tuple(model.outputs) if outputs is None else tuple(outputs)
    looped = {
        name: parameter[name]
        for name, p in model.parameters.items()
        if not p.shared and name in parameter
    }
    check(model, forcing, looped, state, wanted)
    if engine != "eager":
        from . import fused  # compilers load on first use only
        from .tracing import Unsupported

        try:
            return fused.run(model, forcing, looped, state, dt=dt, outputs=wanted)
        except Unsupported as reason:
            _fall_back(model, engine, str(reason))
    return eager.run(model, forcing, looped, state, dt=dt, outputs=wanted)


_WARNED: set[tuple[str, str]] = set()


def _fall_back(model: Stepping, engine: str, reason: str) -> None:
    """Warn once per model and reason, or raise where the fused engine was demanded."""
    if engine == "fused":
        raise DeclarationError(
            f"engine='fused' can't run {model.name}: its step has {reason}. "
            "Use engine='auto', or write the step in elementwise torch."
        )
    if (model.name, reason) not in _WARNED:
        _WARNED.add((model.name, reason))
        warn(
            f"{model.name} runs in the eager time loop, many times slower than the fused one: "
            f"its step has {reason}. Write it in elementwise torch to run it fused.",
            EngineWarning,
        )


def __dir__() -> list[str]:
    return sorted(__all__)
