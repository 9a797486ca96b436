"""A Dataset that a model made itself, so that its true parameters are known."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from .. import units
from ..errors import LayoutError
from ..rasters import dress
from ..rasters.coordinates import with_grid
from ..variables import Forcing, Output, Parameter
from .weather import Series, smooth_fields, weather

if TYPE_CHECKING:
    from ..process import ProcessModel

__all__ = ["synthetic"]

_CRS = 3035  # ETRS89 / LAEA Europe: cells of equal area
_CORNER = (4_100_000.0, 2_800_000.0)  # m, upper left; southern Germany
_CELL = 10_000.0  # m

_ATTRIBUTES = {
    # name: units, mean, spread, lowest, highest, long_name
    "elevation": ("m", 700.0, 350.0, 50.0, 2500.0, "mean elevation above sea level"),
    "slope": ("percent", 12.0, 6.0, 0.5, 60.0, "mean slope of the terrain"),
    "sand_fraction": ("1", 0.45, 0.14, 0.03, 0.95, "mass fraction of sand in the soil"),
    "soil_depth": ("m", 1.2, 0.4, 0.1, 3.0, "depth to bedrock"),
    "forest_fraction": ("1", 0.4, 0.18, 0.0, 1.0, "fraction of area under forest"),
    "permeability": ("1", -13.5, 0.8, -17.0, -10.0, "decimal logarithm of permeability in m2"),
}


@dataclass(frozen=True)
class _Places:
    """Where the cells are; all of shape (cell,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    shape: tuple[int, ...]

    @property
    def dims(self) -> tuple[str, ...]:
        return ("y", "x") if len(self.shape) == 2 else ("basin",)


@overload
def synthetic(
    model: ProcessModel | type[ProcessModel] | None = ...,
    *,
    cells: int | tuple[int, int] = ...,
    years: float = ...,
    seed: int = ...,
    noise: float = ...,
    grid: bool = ...,
    outputs: Sequence[str] | None = ...,
    return_truth: Literal[False] = ...,
) -> xr.Dataset: ...
@overload
def synthetic(
    model: ProcessModel | type[ProcessModel] | None = ...,
    *,
    cells: int | tuple[int, int] = ...,
    years: float = ...,
    seed: int = ...,
    noise: float = ...,
    grid: bool = ...,
    outputs: Sequence[str] | None = ...,
    return_truth: Literal[True],
) -> tuple[xr.Dataset, xr.Dataset]: ...


def synthetic(
    model: ProcessModel | type[ProcessModel] | None = None,
    *,
    cells: int | tuple[int, int] = 400,
    years: float = 3,
    seed: int = 0,
    noise: float = 0.0,
    grid: bool = True,
    outputs: Sequence[str] | None = None,
    return_truth: bool = False,
) -> xr.Dataset | tuple[xr.Dataset, xr.Dataset]:
    """Return a Dataset that a model made itself from known parameters.

    Parameters
    ----------
    model : ProcessModel or its class, optional
        What makes the observation; ``xdpl.models.HBV`` by default.
    cells : int or (int, int)
        Number of cells or basins, or rows and columns of a grid.
    years : float
        Length of the record in years of 365.25 days, from 1 January 2000 on.
    seed : int
        The same seed gives the same Dataset.
    noise : float
        Standard deviation of the observation's error, relative to the standard deviation of the
        observation in each cell.
    grid : bool
        A grid (y, x) in EPSG:3035 with cells of 10 km; else basins with ids.
    outputs : sequence of str, optional
        Which outputs of the model are observed; the first one by default.
    return_truth : bool
        Whether the true parameters are returned as well.

    Returns
    -------
    ds : Dataset
        Daily forcings, attributes, and the observed outputs under the model's names for them.
    truth : Dataset
        Only with ``return_truth``: the parameters with which the model was run. They are not in
        ``ds``, where a fit would take them for attributes.

    Raises
    ------
    LayoutError
        An unknown output, a forcing that the synthetic weather hasn't, or a number that is not
        positive.

    Notes
    -----
    Each parameter is a smooth nonlinear function of three attributes, within the middle four fifths
    of its bounds, so that a network which sees the attributes can find it wherever the observation
    identifies it. The first year is run once in advance, so that storages start full as they would.
    """
    from ..models import HBV
    from ..process import as_model

    model = as_model(HBV() if model is None else model)
    places = _places(cells, grid)
    days = _days(years)
    attributes = _attributes(places, seed)
    elevation = attributes["elevation"]
    series = weather(
        days, *_unit_square(places), places.latitude, elevation, np.random.default_rng([seed, 1])
    )
    truth = {
        name: _true_parameter(name, parameter, attributes, seed)
        for name, parameter in model.parameters.items()
    }
    roles = {name: _role(model, name, forcing, series) for name, forcing in model.forcings.items()}
    wanted = list(outputs) if outputs is not None else list(model.outputs)[:1]
    for name in wanted:
        if name not in model.outputs:
            raise LayoutError(
                f"{model.name} has no output {name!r}. It has {', '.join(model.outputs)}."
            )
    observed = _observe(model, roles, truth, wanted, noise, seed)
    ds = _assemble(places, days, attributes, series, roles, observed, model)
    ds.attrs["comment"] = f"made by {model.name} with known parameters; seed {seed}"
    if not return_truth:
        return ds
    maps = {name: (places.dims, v.reshape(places.shape).astype("f4")) for name, v in truth.items()}
    known = dress(xr.Dataset(maps), ds, model.parameters, {"model": model.name, "seed": seed})
    return ds, known


def _days(years: float) -> int:
    days = round(years * 365.25)
    if days < 1:
        raise LayoutError(f"years={years} is no record. Give a positive length, such as 3.")
    return days


def _places(cells: int | tuple[int, int], grid: bool) -> _Places:
    if isinstance(cells, tuple) and grid:
        rows, columns = cells
    else:
        count = cells if isinstance(cells, int) else int(np.prod(cells))
        rows = max(1, int(np.sqrt(max(count, 0))))
        columns = -(-count // rows)
        if grid and rows * columns != count:
            # A grid is a rectangle: the nearest pair of sides that gives the number exactly.
            rows = next(side for side in range(rows, 0, -1) if count % side == 0)
            columns = count // rows
    if rows < 1 or columns < 1:
        raise LayoutError(f"cells={cells} are no cells. Give a positive number, such as 400.")
    x = _CORNER[0] + _CELL * (np.arange(columns) + 0.5)
    y = _CORNER[1] - _CELL * (np.arange(rows) + 0.5)
    x, y = (a.ravel() for a in np.meshgrid(x, y))
    if not grid:
        x, y = x[:count], y[:count]
    to_degrees = Transformer.from_crs(_CRS, 4326, always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    return _Places(x, y, latitude, longitude, (rows, columns) if grid else (count,))


def _unit_square(places: _Places) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    side = max(np.ptp(places.x), np.ptp(places.y), _CELL)
    return (places.x - places.x.min()) / side, (places.y - places.y.min()) / side


def _attributes(places: _Places, seed: int) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng([seed, 0])
    fields = smooth_fields(*_unit_square(places), len(_ATTRIBUTES), rng)
    fields = 0.95 * fields + 0.3 * rng.standard_normal(fields.shape)
    return {
        name: np.clip(mean + spread * field, low, high)
        for field, (name, (_, mean, spread, low, high, _)) in zip(
            fields, _ATTRIBUTES.items(), strict=True
        )
    }


def _true_parameter(
    name: str, parameter: Parameter, attributes: Mapping[str, NDArray[np.float64]], seed: int
) -> NDArray[np.float64]:
    """Return a smooth nonlinear function of three attributes, within the bounds."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    chosen = rng.choice(sorted(attributes), 3, replace=False)
    z = [(attributes[c] - _ATTRIBUTES[c][1]) / _ATTRIBUTES[c][2] for c in chosen]
    weight = rng.choice([-1, 1], 3) * rng.uniform(0.6, 1.2, 3)
    signal = weight[0] * z[0] + weight[1] * np.tanh(z[1]) + 0.4 * weight[2] * z[2] * z[0]
    fraction = 0.1 + 0.8 / (1 + np.exp(-signal))
    low, high = parameter.bounds
    if parameter.scale == "log":
        return low * (high / low) ** fraction
    return low + (high - low) * fraction


def _role(
    model: ProcessModel, name: str, forcing: Forcing, series: Mapping[str, Series]
) -> tuple[str, NDArray[np.float64]]:
    """Return which series is a forcing of the model, and its values in the model's units."""
    for own, one in series.items():
        if forcing.standard_name == one.standard_name or {own, *one.names} & {name, *forcing.names}:
            scale, offset = units.conversion(one.units, forcing.units, variable=own)
            return own, one.values * scale + offset
    raise LayoutError(
        f"synthetic weather has no {name!r} for {model.name}. It has "
        f"{', '.join(s.standard_name for s in series.values())}; give the forcing one of these "
        "standard names, or make a Dataset of your own."
    )


def _observe(
    model: ProcessModel,
    roles: Mapping[str, tuple[str, NDArray[np.float64]]],
    truth: Mapping[str, NDArray[np.float64]],
    wanted: list[str],
    noise: float,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Run the model, its first year twice, and return its outputs (time, cell) with noise."""
    import torch

    low, high = model.timesteps
    if not low <= 1.0 <= high:
        raise LayoutError(
            f"synthetic weather is daily, but {model.name} runs on steps of {low} to {high} days."
            " Make a Dataset of your own."
        )
    spin_up = min(365, *(values.shape[0] for _, values in roles.values()))
    forcing = {
        name: torch.from_numpy(np.concatenate([values[:spin_up], values]).astype("f4"))
        for name, (_, values) in roles.items()
    }
    parameter = {}
    for name, values in truth.items():
        column = torch.from_numpy(values.astype("f4"))
        parameter[name] = column if model.parameters[name].shared else column[:, None]
    with torch.no_grad():
        results, _ = model.simulate(forcing, parameter, dt=1.0, outputs=wanted)
    rng = np.random.default_rng([seed, 2])
    observed = {}
    for name in wanted:
        exact = results[name][spin_up:].numpy().astype("f8")
        error = noise * exact.std(axis=0) * rng.standard_normal(exact.shape)
        observed[name] = np.maximum(exact + error, min(0.0, exact.min())) if noise else exact
    return observed


def _assemble(
    places: _Places,
    days: int,
    attributes: Mapping[str, NDArray[np.float64]],
    series: Mapping[str, Series],
    roles: Mapping[str, tuple[str, object]],
    observed: Mapping[str, NDArray[np.float64]],
    model: ProcessModel,
) -> xr.Dataset:
    time = np.datetime64("2000-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    dims, shape = places.dims, places.shape
    declared: dict[str, Parameter | Output] = {}
    variables: dict[str, object] = {}
    for name in dict.fromkeys(own for own, _ in roles.values()):
        one = series[name]
        declared[name] = Output(one.units, one.standard_name, one.long_name)
        variables[name] = (("time", *dims), one.values.reshape(days, *shape).astype("f4"))
    for name, values in attributes.items():
        declared[name] = Output(_ATTRIBUTES[name][0], long_name=_ATTRIBUTES[name][-1])
        variables[name] = (dims, values.reshape(shape).astype("f4"))
    for name, values in observed.items():
        declared[name] = model.outputs[name]
        variables[name] = (("time", *dims), values.reshape(days, *shape).astype("f4"))
    ds = xr.Dataset(variables, coords={"time": time} | _coordinates(places))
    if len(shape) == 2:
        ds = with_grid(ds, CRS.from_epsg(_CRS))
    ds = dress(ds, ds, declared, {"model": model.name}, title=f"synthetic data of {model.name}")
    for name in attributes:
        ds[name].attrs["coverage_content_type"] = "auxiliaryInformation"
    for name in (own for own, _ in roles.values()):
        ds[name].attrs["cell_methods"] = "time: mean"
    return ds


def _coordinates(places: _Places) -> dict[str, object]:
    if len(places.shape) == 1:
        ids = [f"b{number:04d}" for number in range(1, places.shape[0] + 1)]
        return {
            "basin": ids,
            "lat": ("basin", places.latitude),
            "lon": ("basin", places.longitude),
        }
    rows, columns = places.shape
    return {
        "y": places.y.reshape(rows, columns)[:, 0],
        "x": places.x.reshape(rows, columns)[0],
        "lat": (("y", "x"), places.latitude.reshape(rows, columns)),
        "lon": (("y", "x"), places.longitude.reshape(rows, columns)),
    }
