"""Between the unbounded numbers that a network gives and parameters within their bounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

import torch
from torch import Tensor

from ..variables import Parameter

__all__ = [
    "ParameterTransform",
    "bounded",
    "central",
    "centre",
    "from_share",
    "share_of",
    "unbounded",
]


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


def central(values: Mapping[str, Tensor], parameters: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """Centre of the parallel sets: (..., cell) of (..., cell, component); shared ones as given."""
    return {
        name: value if parameters[name].shared else centre(value.movedim(-1, 0), parameters[name])
        for name, value in values.items()
    }


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
        self._kept: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {}

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
        widths = [self.width(p) for p in self.parameters.values()]
        named = dict(zip(self.parameters, self._static(raw).split(widths), strict=True))
        values = {name: columns.movedim(0, -1) for name, columns in named.items()}
        if daily is not None:
            values |= self._moved(raw, daily)
        for name, parameter in self.parameters.items():
            if parameter.shared:
                values[name] = values[name].squeeze(-1)
        return values

    def _static(self, raw: Tensor) -> Tensor:
        """Turn (cell, size) into physical values (size, cell), all columns at once.

        A few operations on a whole matrix instead of a few for each parameter: for some hundred
        cells each operation costs the same, whatever its size.
        """
        low, high, span, ratio = (
            column.reshape(-1, *(1,) * (raw.dim() - 1))
            for column in self._columns(raw.dtype, raw.device)
        )
        share = torch.sigmoid(raw.movedim(-1, 0).contiguous())
        value = low + span * share
        if any(p.scale == "log" for p in self.parameters.values()):
            value = torch.where(ratio > 0, low * torch.exp(ratio * share), value)
        return torch.clamp(value, low, high)

    def _columns(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
        """Return by column both bounds, their difference, and the logarithm of their ratio or 0."""
        key = (dtype, device)
        if key not in self._kept:
            rows = []
            for p in self.parameters.values():
                low, high = p.bounds
                ratio = _log_ratio(p, dtype) if p.scale == "log" else 0.0
                rows += [(low, high, high - low, ratio)] * self.width(p)
            table = torch.tensor(rows, dtype=torch.float64).to(device, dtype)
            self._kept[key] = tuple(table.T.contiguous().unbind())
        return self._kept[key]

    def _moved(self, raw: Tensor, daily: Tensor) -> dict[str, Tensor]:
        """Values of the dynamic parameters: (time, cell, component)."""
        values, at, day = {}, 0, 0
        for name, parameter in self.parameters.items():
            width = self.width(parameter)
            if name in self.dynamic:
                columns = raw[..., at : at + width] + daily[..., day : day + width]
                values[name] = bounded(columns, parameter)
                day += width
            at += width
        return values

    def inverse(self, values: Mapping[str, Tensor]) -> Tensor:
        """Turn parameters in physical units back into (cell, size) unbounded numbers."""
        columns = []
        for name, parameter in self.parameters.items():
            value = values[name]
            columns.append(unbounded(value[..., None] if parameter.shared else value, parameter))
        return torch.cat(columns, dim=-1)
