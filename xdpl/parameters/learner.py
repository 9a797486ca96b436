"""`Learner`: a network that gives parameters, and what single cells deviate from it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import DeclarationError
from ..networks import Dynamic, Network
from ..process import ProcessModel
from .cell_inputs import CellInputs
from .transforms import ParameterTransform

__all__ = ["PRECISIONS", "AttributeEncoder", "Learner"]

PRECISIONS = ("float32", "mixed")
"""How networks compute while they are trained."""


class AttributeEncoder(nn.Module):
    """Standardises numbers and spreads classes into indicators, by statistics it keeps.

    Strictly positive, strongly skewed attributes are standardised on a log scale. A number
    outside the range seen in training is held at the edge of that range: a network knows
    nothing beyond it. A class never seen in training gives zeros:
    no weight was learned for it. So does a number that is missing (NaN): the mean.

    Parameters
    ----------
    classes : sequence of int
        For each attribute the number of its classes, 0 for a number. Values of an attribute
        with classes are positions among them; any other value is an unknown class.
    """

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor
    log: Tensor
    known: Tensor
    origin: Tensor
    code: Tensor

    def __init__(self, classes: Sequence[int]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        count = len(self.classes)
        for name, start in (
            ("mean", 0.0),
            ("std", 1.0),
            ("low", -1e30),
            ("high", 1e30),
            ("log", 0.0),
        ):
            self.register_buffer(name, torch.full((count,), start, dtype=torch.float64))
        self.register_buffer("known", torch.ones(self.size, dtype=torch.float64))
        # of each column that the network reads: its attribute, and its class or -1 for a number
        spread = [
            (i, code)
            for i, count in enumerate(self.classes)
            for code in (range(count) if count else (-1,))
        ]
        columns = torch.tensor(spread).reshape(-1, 2)
        self.register_buffer("origin", columns[:, 0].clone(), persistent=False)
        self.register_buffer("code", columns[:, 1].double(), persistent=False)

    @property
    def size(self) -> int:
        """Columns that the network reads."""
        return sum(max(1, count) for count in self.classes)

    def learn_statistics(self, attribute: Tensor) -> None:
        """Keep mean, spread and range of the training cells; attribute (cell, attribute)."""
        values = attribute.double()
        for i, classes in enumerate(self.classes):
            column = values[:, i]
            if classes:
                at = sum(max(1, n) for n in self.classes[:i])
                seen = torch.bincount(column.long(), minlength=classes) > 0
                self.known[at : at + classes] = seen
                continue
            column = column[~torch.isnan(column)]
            if not len(column):
                self.known[sum(max(1, n) for n in self.classes[:i])] = 0.0
                continue
            if bool((column > 0).all()) and _skewness(column) > 2.0:
                self.log[i], column = 1.0, column.log()
            self.mean[i] = column.mean()
            self.std[i] = column.std(correction=0).clamp(min=1e-12)
            self.low[i], self.high[i] = column.min(), column.max()

    def forward(self, attribute: Tensor) -> Tensor:
        """Turn raw attributes (cell, attribute) into the network's inputs (cell, size)."""
        values = attribute.double()
        tiny = torch.finfo(torch.float64).tiny
        logged = torch.where(self.log > 0, torch.log(values.clamp(min=tiny)), values)
        scaled = (torch.minimum(torch.maximum(logged, self.low), self.high) - self.mean) / self.std
        numbers = torch.where(torch.isnan(scaled), 0.0, scaled)[:, self.origin]
        members = (values[:, self.origin] == self.code).double()
        return (torch.where(self.code < 0, numbers, members) * self.known).float()


def _skewness(column: Tensor) -> float:
    anomaly = column - column.mean()
    spread = anomaly.pow(2).mean().sqrt()
    return float(anomaly.pow(3).mean() / spread.clamp(min=1e-300) ** 3)


class Learner(nn.Module):
    """One global map from attributes to the parameters of a process model.

    Parameters
    ----------
    network : Network
        Declares g.
    model : ProcessModel
        The process model whose parameters are learned.
    classes : sequence of int
        Number of classes of each attribute, 0 for numbers; see `AttributeEncoder`.
    components : int
        Parallel parameter sets per cell whose outputs are averaged.
    cells : int
        Cells that have a deviation of their own from what the network gives (mixed effects);
        0 for none.
    dynamic : Dynamic, optional
        Parameters with one value per time step, and the network that moves them.
    climate : int
        Climate statistics (`climate_statistics`) that the networks read as further numbers after
        the attributes; 0 for none.
    past : int
        Statistics of past observations (`xdpl.parameters.past_statistics`) that the network
        reads as well (gZ); 0 for none (gA). They follow the attributes as further columns, NaN
        in cells without any.
    precision : {"float32", "mixed"}
        "mixed": while training, matrix products of the networks are computed in bfloat16. Weights,
        what the networks give, and all of the process model stay in float32; so does whatever
        is asked of a learner that isn't training.
    """

    cycle_mean: Tensor
    cycle_std: Tensor
    weather_mean: Tensor
    weather_std: Tensor

    def __init__(
        self,
        network: Network,
        model: ProcessModel,
        classes: Sequence[int],
        components: int = 1,
        cells: int = 0,
        dynamic: Dynamic | None = None,
        past: int = 0,
        climate: int = 0,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.model, self.dynamic = model, dynamic
        self.precision = precision
        self.encoder = AttributeEncoder([*classes, *[0] * climate])
        moving = dynamic.parameters if dynamic else ()
        self.transform = ParameterTransform(model.parameters, components, moving)
        forcings = len(model.forcings)
        self.past = AttributeEncoder([0] * past) if past else None
        size = self.encoder.size + (past + 1 if past else 0)
        self.network = network.build(size, forcings, self.transform.size)
        self.mover: nn.Module | None = None
        if dynamic is not None:
            size = self.transform.dynamic_size
            self.mover = dynamic.build(self.encoder.size, forcings, size)
            self.register_buffer("weather_mean", torch.zeros(forcings))
            self.register_buffer("weather_std", torch.ones(forcings))
        self.deviation = nn.Parameter(torch.zeros(cells, self.transform.size)) if cells else None
        self.reads_forcings = network.reads_forcings
        self.register_buffer("cycle_mean", torch.zeros(forcings))
        self.register_buffer("cycle_std", torch.ones(forcings))

    @property
    def deviations(self) -> Sequence[Tensor]:
        """The table of deviations (cell, size), if there is one; see `ParameterField`."""
        return () if self.deviation is None else (self.deviation,)

    def learn_statistics(self, attribute: Tensor, cycle: Tensor | None) -> None:
        """Keep the statistics of the training cells: (cell, attribute), (season, cell, forcing)."""
        fixed, past = self._split(attribute)
        self.encoder.learn_statistics(fixed)
        if self.past is not None:
            self.past.learn_statistics(past)
        if cycle is not None:
            flat = cycle.reshape(-1, cycle.shape[-1])
            self.cycle_mean.copy_(flat.mean(0))
            self.cycle_std.copy_(flat.std(0, correction=0).clamp(min=1e-6))

    def learn_weather(self, forcing: Mapping[str, Tensor]) -> None:
        """Keep the statistics of forcings (time, cell), for dynamic parameters."""
        for i, name in enumerate(self.model.forcings):
            series = forcing[name].double()
            self.weather_mean[i] = series.mean()
            self.weather_std[i] = series.std(correction=0).clamp(min=1e-6)

    def raw(self, attribute: Tensor, cycle: Tensor | None = None) -> Tensor:
        """Unbounded parameters (cell, size) from raw attributes (cell, attribute)."""
        if cycle is not None:
            cycle = (cycle - self.cycle_mean) / self.cycle_std
        read = self.reading(attribute)
        with self._lowered(read.device):
            raw: Tensor = self.network(read, cycle)
        return raw.to(read.dtype)

    def _lowered(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """Where networks may compute in bfloat16, which has the range of float32: no scaled loss.

        No cache: a weight is read once a step, and a CUDA graph must not record what lies in one.
        """
        if not (self.training and self.precision == "mixed"):
            return contextlib.nullcontext()
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def _split(self, attribute: Tensor) -> tuple[Tensor, Tensor]:
        count = len(self.encoder.classes)
        return attribute[:, :count], attribute[:, count:]

    def reading(self, attribute: Tensor) -> Tensor:
        """What the network reads (cell, input): attributes, and what past observations say.

        While training half of the cells, at random, go without the latter, so that the network
        knows what to make of a cell where nothing was observed.
        """
        fixed, past = self._split(attribute)
        if self.past is None:
            return self.encoder(fixed)
        there = (~torch.isnan(past)).any(1, keepdim=True)
        if self.training:
            there = there & (torch.rand(len(past), 1, device=past.device) < 0.5)
        read = torch.where(there, self.past(past), 0.0)
        return torch.cat([self.encoder(fixed), read, there.to(read.dtype)], dim=1)

    def daily(
        self, attribute: Tensor, forcing: Mapping[str, Tensor] | None, dt: float
    ) -> Tensor | None:
        """What is added to dynamic parameters (time, cell, column); None where all are static."""
        if self.mover is None:
            return None
        if forcing is None:
            raise DeclarationError(
                "a learner with dynamic parameters was asked for them without forcings. "
                "Give forcing={name: (time, cell)}."
            )
        series = torch.stack([forcing[name] for name in self.model.forcings], dim=-1)
        weather = (series - self.weather_mean) / self.weather_std
        read = self.encoder(self._split(attribute)[0])
        with self._lowered(read.device):
            moved: Tensor = self.mover(read, weather, dt)
        return moved.to(weather.dtype)

    def bounded(self, raw: Tensor, daily: Tensor | None = None) -> dict[str, Tensor]:
        """Parameters in physical units; see `ParameterTransform`."""
        return self.transform(raw, daily)

    def parameters_of(self, inputs: CellInputs) -> dict[str, Tensor]:
        """Parameters in physical units: (cell, component), or (cell,) where shared.

        Dynamic ones are (time, cell, component).
        """
        raw = self.raw(inputs.attribute, inputs.cycle)
        if inputs.index is not None and self.deviation is not None:
            own = self.deviation[inputs.index.clamp(min=0)]
            raw = raw + torch.where(inputs.index[:, None] >= 0, own, 0.0)
        return self.transform(raw, self.daily(inputs.attribute, inputs.forcing, inputs.dt))

    def each(self, inputs: CellInputs) -> list[dict[str, Tensor]]:
        """The one set of parameters; see `ParameterField.each`."""
        return [self.parameters_of(inputs)]
