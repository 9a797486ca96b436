"""What a process model declares: forcings, parameters, states and outputs, each with units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from .errors import DeclarationError

__all__ = ["Declared", "Forcing", "Output", "Parameter", "State"]


@dataclass(frozen=True)
class Forcing:
    """A variable that drives the model, one value per cell and time step.

    Parameters
    ----------
    units : str
        The units in which the model wants it, such as ``"mm day-1"``.
    standard_name : str, optional
        Its name in the CF standard name table.
    long_name : str
        What it is, in words.
    names : tuple of str
        Usual variable names, tried where no standard name decides.
    valid_range : (float, float), optional
        Lowest and highest value that can occur, in ``units``; others are treated as missing.
    typical_range : (float, float), optional
        Where the middle of many values lies, in ``units``; outside, the units of the data must be
        wrong, which is an error. Known quantities, such as precipitation, have both ranges; what
        is declared here takes their place.

    Examples
    --------
    >>> humidity = Forcing("percent", names=("rh",), valid_range=(0, 100), typical_range=(5, 100))
    """

    units: str
    standard_name: str | None = None
    long_name: str = ""
    names: tuple[str, ...] = ()
    valid_range: tuple[float, float] | None = None
    typical_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("valid_range", "typical_range"):
            edges = getattr(self, name)
            if edges is None:
                continue
            low, high = edges
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise DeclarationError(
                    f"{name} {edges} of a Forcing is not an interval. "
                    "Give (lowest, highest), both finite, lowest first."
                )


@dataclass(frozen=True)
class Parameter:
    """A quantity that nobody can observe and that the network learns.

    Parameters
    ----------
    units : str
        Units of the parameter and of its bounds.
    bounds : (float, float)
        Lowest and highest physical value.
    long_name : str
        What it is, in words.
    standard_name : str, optional
        Its name in the CF standard name table, where there is one.
    scale : {"linear", "log"}
        The scale on which the network moves it; "log" where the bounds span decades.
    dynamic : bool
        One value per time step instead of one per cell.
    shared : bool
        One value per cell, whatever the number of components (such as routing).
    """

    units: str
    bounds: tuple[float, float]
    long_name: str = ""
    standard_name: str | None = None
    scale: Literal["linear", "log"] = "linear"
    dynamic: bool = False
    shared: bool = False

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise DeclarationError(
                f"bounds {self.bounds} of a Parameter are not an interval. "
                "Give (lowest, highest), both finite, lowest first."
            )
        if self.scale not in ("linear", "log"):
            raise DeclarationError(
                f"scale {self.scale!r} of a Parameter is unknown. Use 'linear' or 'log'."
            )
        if self.scale == "log" and low <= 0:
            raise DeclarationError(
                f"a Parameter on a log scale needs positive bounds, not {self.bounds}. "
                "Raise the lower bound above zero or use scale='linear'."
            )


@dataclass(frozen=True)
class State:
    """A storage that the model carries from one time step to the next.

    Parameters
    ----------
    units : str
        Units of the storage, usually ``"mm"``.
    initial : float
        Its value before the first step, unless ``initial_state`` of the model says otherwise.
    size : int
        Length of its trailing axis; 1 means that there is none.
    long_name : str
        What it is, in words.
    """

    units: str
    initial: float = 0.0
    size: int = 1
    long_name: str = ""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise DeclarationError(f"size {self.size} of a State is below 1. Give its length.")


@dataclass(frozen=True)
class Output:
    """A variable that the model computes at every step.

    Parameters
    ----------
    units : str
        Units of the values that ``step`` returns.
    standard_name : str, optional
        Its name in the CF standard name table; decides which observation it may be held against.
    long_name : str
        What it is, in words.
    names : tuple of str
        Usual names of the observed variable, tried where no standard name decides.
    """

    units: str
    standard_name: str | None = None
    long_name: str = ""
    names: tuple[str, ...] = ()


_KINDS: dict[str, type] = {
    "forcings": Forcing,
    "parameters": Parameter,
    "states": State,
    "outputs": Output,
}


@cache
def _declarations(cls: type, kind: str) -> tuple[tuple[str, object], ...]:
    """Declarations of a class and its bases, in their order; read once, asked for at every step."""
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, _KINDS[kind]):
                found[name] = value
            else:
                found.pop(name, None)
    return tuple(found.items())


class Declared:
    """What every model says of itself, whether it can be differentiated or not.

    Declarations are class attributes without annotation.
    """

    timesteps: ClassVar[tuple[float, float]] = (1.0, 1.0)
    """Shortest and longest step, in days, that the equations allow."""

    def _declared(self, kind: str) -> dict[str, Any]:
        return dict(_declarations(type(self), kind))  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """Name of the model, as it stands in summaries and files."""
        return type(self).__name__

    @property
    def forcings(self) -> dict[str, Forcing]:
        """Declared forcings by name."""
        return self._declared("forcings")

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Declared parameters by name."""
        return self._declared("parameters")

    @property
    def states(self) -> dict[str, State]:
        """Declared states by name."""
        return self._declared("states")

    @property
    def outputs(self) -> dict[str, Output]:
        """Declared outputs by name."""
        return self._declared("outputs")
