"""The contract of a process model: declarations, one time step, and how to run it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from . import engine as _engine
from .engine import Namespace
from .errors import DeclarationError
from .variables import Declared

__all__ = ["ProcessModel", "StepModel"]


@dataclass(frozen=True)
class ProcessModel(Declared, ABC):
    """A model whose parameters can be learned: declarations and ``simulate``.

    Options of a model are the fields of its (frozen) dataclass; declarations are class
    attributes without annotation.

    Attributes
    ----------
    parallel_sets : int
        Parameter sets of each cell whose outputs are averaged, if `xdpl.fit` is not given
        ``components``. The bundled models declare what cross-validation found.
    """

    parallel_sets: ClassVar[int] = 1

    @property
    def options(self) -> dict[str, Any]:
        """Options that rebuild the model: ``type(model)(**model.options)``."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @abstractmethod
    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float = 1.0,
        outputs: Sequence[str] | None = None,
        state: Mapping[str, Tensor] | None = None,
        engine: str = "auto",
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Run the model over all time steps.

        Parameters
        ----------
        forcing : mapping of str to Tensor (time, cell)
            In the declared units.
        parameter : mapping of str to Tensor (cell, component) or (time, cell, component)
            In the declared units; a shared parameter has shape (cell,).
        dt : float
            Length of a step in days.
        outputs : sequence of str, optional
            The outputs wanted; all of them by default.
        state : mapping of str to Tensor (cell, component[, size]), optional
            The state before the first step; ``initial_state`` by default.
        engine : {"auto", "eager", "fused"}
            How the time loop runs.

        Returns
        -------
        outputs : dict of str to Tensor (time, cell)
            Means over the components.
        state : dict of str to Tensor (cell, component[, size])
            The state after the last step.
        """


@dataclass(frozen=True)
class StepModel(ProcessModel):
    """A model written as one time step in plain, elementwise torch."""

    @abstractmethod
    def step(
        self, forcing: Namespace, state: Namespace, parameter: Namespace, dt: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Advance all cells by one step.

        Parameters
        ----------
        forcing, state, parameter : namespaces of Tensor (cell, component)
            By declared name; a state of size n has shape (cell, component, n).
        dt : float
            Length of the step in days.

        Returns
        -------
        state, outputs : dict of str to Tensor
            One entry for every declared state and output. Nothing is changed in place.
        """

    def initial_state(self, parameter: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """State before the first step, shapes (cell, component[, size])."""
        some = next(iter(self._looped(parameter).values()))
        some = some[0] if some.dim() == 3 else some
        return {
            name: some.new_full(
                (*some.shape, state.size) if state.size > 1 else tuple(some.shape), state.initial
            )
            for name, state in self.states.items()
        }

    def route(
        self, outputs: dict[str, Tensor], parameter: Mapping[str, Tensor], dt: float
    ) -> dict[str, Tensor]:
        """Move water after the loop: outputs (time, cell), shared parameters (cell,)."""
        return outputs

    def _looped(self, parameter: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {k: parameter[k] for k, p in self.parameters.items() if not p.shared}

    def simulate(
        self,
        forcing: Mapping[str, Tensor],
        parameter: Mapping[str, Tensor],
        *,
        dt: float = 1.0,
        outputs: Sequence[str] | None = None,
        state: Mapping[str, Tensor] | None = None,
        engine: str = "auto",
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        self._check(forcing, "forcing", self.forcings)
        self._check(parameter, "parameter", self.parameters)
        for name in outputs or ():
            if name not in self.outputs:
                raise DeclarationError(
                    f"{self.name} has no output {name!r}. It has {', '.join(self.outputs)}."
                )
        looped = self._looped(parameter)
        if state is None:
            state = self.initial_state(parameter)
        results, final = _engine.simulate(
            self, forcing, looped, state, dt=dt, outputs=outputs, engine=engine
        )
        return self.route(results, parameter, dt), final

    def _check(
        self, given: Mapping[str, Tensor], kind: str, declared: Mapping[str, object]
    ) -> None:
        missing = [name for name in declared if name not in given]
        if missing:
            raise DeclarationError(
                f"{self.name} was run without {kind} {', '.join(missing)}. "
                f"Give {', '.join(declared)}."
            )


def as_model(model: object) -> ProcessModel:
    """Return an instance, whether a model or its class was given."""
    if isinstance(model, type) and issubclass(model, ProcessModel):
        return model()
    if isinstance(model, ProcessModel):
        return model
    if isinstance(model, Declared) or (isinstance(model, type) and issubclass(model, Declared)):
        raise DeclarationError(
            f"{model.name if isinstance(model, Declared) else model.__name__} is a black box: no "
            "gradient runs through it. Train a surrogate of it and give that: "
            "model=xdpl.emulate(box, ds)."
        )
    raise DeclarationError(
        f"model is a {type(model).__name__}, not a process model. "
        "Give one such as xdpl.models.HBV() or your own subclass of xdpl.StepModel."
    )
