"""Between the unbounded numbers that a network gives and parameters within their bounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

import torch
from torch import Tensor

from .variables import Parameter

__all__ = ["ParameterTransform", "bounded", "centre", "from_share", "share_of", "unbounded"]


def bounded(raw: Tensor, parameter: Parameter) -> Tensor:
    """Map unbounded numbers into the bounds of a parameter, elementwise.

    Parameters
    ----------
    raw : Tensor
        Any real numbers; 0 is the middle of the bounds on the parameter's scale.
    parameter : Parameter
        Gives bounds and scale.

    Returns
    -------
    Tensor
        Physical values of the same shape, within the bounds.
    """
    return from_share(torch.sigmoid(raw), parameter)


def from_share(share: Tensor, parameter: Parameter) -> Tensor:
    """Turn places between the bounds, from 0 to 1 on the parameter's scale, into its values."""
    low, high = parameter.bounds
    if parameter.scale == "log":
        # exp of a rounded logarithm may pass the bound by one unit in the last place
        return torch.clamp(low * torch.exp(_log_ratio(parameter, share.dtype) * share), low, high)
    return torch.clamp(low + (high - low) * share, low, high)


def share_of(value: Tensor, parameter: Parameter) -> Tensor:
    """Invert `from_share`: the place of values between the bounds, 0 to 1."""
    low, high = parameter.bounds
    if parameter.scale == "log":
        return torch.log(value / low) / _log_ratio(parameter, value.dtype)
    return (value - low) / (high - low)


def centre(values: Tensor, parameter: Parameter) -> Tensor:
    """Mean over the first axis on the parameter's scale: geometric where that is logarithmic."""
    return from_share(share_of(values, parameter).mean(0), parameter)


def unbounded(value: Tensor, parameter: Parameter) -> Tensor:
    """Invert `bounded`; values on or beyond a bound are taken just inside it."""
    return torch.logit(share_of(value, parameter), eps=1e-6)


@cache
def _log_ratio(parameter: Parameter, dtype: torch.dtype) -> float:
    """Logarithm of the upper bound over the lower one, in ``dtype``; never on a GPU, for speed."""
    low, high = parameter.bounds
    return float(torch.log(torch.tensor(high / low, dtype=dtype)))


class ParameterTransform:
    """Splits the columns of a network's output into parameters in physical units.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        Declared parameters of the process model.
    components : int
        Parallel parameter sets per cell; shared parameters have one value whatever it is.
    dynamic : collection of str
        Parameters with one value per time step.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        components: int = 1,
        dynamic: Collection[str] = (),
    ) -> None:
        self.parameters = dict(parameters)
        self.components = components
        self.dynamic = frozenset(dynamic)

    def width(self, parameter: Parameter) -> int:
        """Columns that a parameter takes."""
        return 1 if parameter.shared else self.components

    @property
    def size(self) -> int:
        """Columns in all: what the network has to give per cell."""
        return sum(self.width(p) for p in self.parameters.values())

    @property
    def dynamic_size(self) -> int:
        """Columns of the dynamic parameters alone."""
        return sum(self.width(p) for name, p in self.parameters.items() if name in self.dynamic)

    def __call__(self, raw: Tensor, daily: Tensor | None = None) -> dict[str, Tensor]:
        """Turn (cell, size) into {name: (cell, component)}; shared ones are (cell,).

        ``daily`` (time, cell, dynamic_size) is added to the columns of the dynamic parameters,
        which then are (time, cell, component).
        """
        values, at, day = {}, 0, 0
        for name, parameter in self.parameters.items():
            width = self.width(parameter)
            columns = raw[..., at : at + width]
            if daily is not None and name in self.dynamic:
                columns = columns + daily[..., day : day + width]
                day += width
            value = bounded(columns, parameter)
            values[name] = value[..., 0] if parameter.shared else value
            at += width
        return values

    def inverse(self, values: Mapping[str, Tensor]) -> Tensor:
        """Turn parameters in physical units back into (cell, size) unbounded numbers."""
        columns = []
        for name, parameter in self.parameters.items():
            value = values[name]
            columns.append(unbounded(value[..., None] if parameter.shared else value, parameter))
        return torch.cat(columns, dim=-1)
