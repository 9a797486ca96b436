"""CF metadata of everything that leaves xdpl: set anew, never inherited."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import xarray as xr

from ..errors import RasterError
from ..spatial import GRID_MAPPING, find_grid
from ..variables import Output, Parameter
from .coordinates import (
    attach_grid_mapping,
    complete_coordinates,
    fill_value,
    in_order,
    with_coordinates,
)
from .quality import Quality, ancillary_of

__all__ = ["CONVENTIONS", "dress", "score"]

CONVENTIONS = "CF-1.11"

_REFERENCE = "Tsai et al. 2021, doi:10.1038/s41467-021-26107-z"


@dataclasses.dataclass(frozen=True)
class _Score(Output):
    """A score of simulated against observed values."""


def score(name: str, units: str, observed: str = "") -> Output:
    """Declare a score, so that ``dress`` knows its units and meaning.

    Parameters
    ----------
    name : str
        One of ``xdpl.scores.SCORES``.
    units : str
        Units of the observation; empty where several of different units were scored together.
    observed : str
        What was observed, in words, for the long name.
    """
    if name not in _MEANINGS:
        raise RasterError(f"score {name!r} is unknown. There are {', '.join(_MEANINGS)}.")
    long_name = f"{_MEANINGS[name]}, {observed}" if observed else _MEANINGS[name]
    return _Score(units if name in _DIMENSIONAL else "1", long_name=long_name)


_MEANINGS = {
    "bias": "mean of simulated minus observed",
    "rmse": "root mean square error",
    "ubrmse": "root mean square error without the bias",
    "corr": "Pearson correlation of simulated and observed",
    "nse": "Nash-Sutcliffe efficiency",
    "kge": "Kling-Gupta efficiency",
    "n": "number of observations compared",
}

_DIMENSIONAL = ("bias", "rmse", "ubrmse")


def dress(
    maps: xr.Dataset,
    source: xr.Dataset,
    declared: Mapping[str, Parameter | Output],
    provenance: Mapping[str, object] | None = None,
    *,
    title: str | None = None,
) -> xr.Dataset:
    """Return maps with the coordinates of their source and attributes that are all set anew.

    Nothing that the variables or the Dataset carried before survives: xarray keeps attributes
    through arithmetic, so a derived variable would claim the name of another quantity.

    Parameters
    ----------
    maps : Dataset
        Variables over the space dimensions of ``source``, perhaps with time or component; numpy
        or dask. Not changed.
    source : Dataset
        Gives coordinates and the grid mapping.
    declared : mapping of str to Parameter or Output
        Units, names and bounds of every variable of ``maps``.
    provenance : mapping of str to object, optional
        Global attributes such as model, observation, period, seed, scores (a text or a mapping),
        references. Values that netCDF can't hold are written as text.
    title : str, optional
        Of the Dataset; says model and observation by default.

    Returns
    -------
    Dataset
        CF-1.11: units, long_name, standard_name, valid_range (bounds, in the type of the data),
        grid mapping named ``spatial_ref``, axes, history. Layers that are declared as ``Quality``
        are the ``ancillary_variables`` of those they are about. Basins' ids are labels with the
        role ``timeseries_id``. Lazy where ``maps`` is.

    Raises
    ------
    RasterError
        A variable is not declared.
    """
    missing = [str(name) for name in maps.data_vars if name not in declared]
    if missing:
        raise RasterError(
            f"no units are known of {', '.join(missing)}. Declare each as a Parameter or Output."
        )
    maps = in_order(with_coordinates(maps, source))
    maps, mapped = attach_grid_mapping(maps, source)
    for name, variable in maps.data_vars.items():
        attrs = _variable_attrs(str(name), declared[str(name)], variable.dtype)
        about = ancillary_of(str(name), declared, maps.data_vars)
        if about:
            attrs["ancillary_variables"] = about
        if mapped and _lies_in_space(maps, variable):
            attrs["grid_mapping"] = GRID_MAPPING  # last: rioxarray and GDAL look here
        variable.attrs = attrs
        variable.encoding = {} if "_FillValue" in attrs else fill_value(variable.dtype)
    complete_coordinates(maps)
    maps.attrs = _global_attrs(maps, source, dict(provenance or {}), title)
    maps.encoding = {}
    return maps


def _lies_in_space(maps: xr.Dataset, variable: xr.DataArray) -> bool:
    space = find_grid(maps)
    return space is not None and set(space) <= set(variable.dims)


def _variable_attrs(
    name: str, declaration: Parameter | Output, dtype: np.dtype
) -> dict[str, object]:
    attrs: dict[str, object] = {"units": declaration.units} if declaration.units else {}
    attrs["long_name"] = declaration.long_name or name.replace("_", " ")
    if declaration.standard_name:
        attrs["standard_name"] = declaration.standard_name
    metadata = _temperature_metadata(declaration)
    if metadata:
        attrs["units_metadata"] = metadata
    if isinstance(declaration, Parameter) and dtype.kind == "f":
        attrs["valid_range"] = np.asarray(declaration.bounds, dtype=dtype)
    if isinstance(declaration, Quality):
        attrs |= declaration.flags()
    scored = isinstance(declaration, _Score | Quality)
    attrs["coverage_content_type"] = "qualityInformation" if scored else "modelResult"
    return attrs


def _temperature_metadata(declaration: Parameter | Output) -> str | None:
    """Say whether degrees are a point on the scale or a difference (CF-1.11, section 3.1.2)."""
    kelvin, others = {"K", "degC", "degree_Celsius", "celsius", "Celsius", "kelvin"}, set()
    tokens = declaration.units.replace("*", " ").replace("/", " ").replace(".", " ").split()
    bare = {token.rstrip("-+^0123456789") for token in tokens}
    if not bare & kelvin:
        return None
    others = bare - kelvin
    if others or len(tokens) > 1 or tokens[0] not in kelvin:
        return "temperature: difference"
    if tokens[0] not in ("K", "kelvin") or "temperature" in (declaration.standard_name or ""):
        return "temperature: on_scale"
    return "temperature: unknown"


def _global_attrs(
    maps: xr.Dataset, source: xr.Dataset, provenance: dict[str, object], title: str | None
) -> dict[str, object]:
    model = str(provenance.get("model", "process model"))
    observation = provenance.get("observation")
    about = f" learned from {_text(observation)}" if observation else ""
    title = title or f"{model}{about}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} xdpl {_version('xdpl')}: {title}"
    history = "\n".join(filter(None, (line, str(source.attrs.get("history", "")))))
    attrs: dict[str, object] = {
        "Conventions": CONVENTIONS,
        "title": title,
        "history": history,
        "source": f"{model}, xdpl {_version('xdpl')}, torch {_version('torch')}",
        "references": _REFERENCE,
    }
    for key, value in provenance.items():
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        attrs[key] = value if plain else _text(value)
    attrs = {k: v for k, v in attrs.items() if v is not None and v != ""}
    basin = any(c.attrs.get("cf_role") == "timeseries_id" for c in maps.coords.values())
    timed = any(c.attrs.get("axis") == "T" for c in maps.coords.values())
    if basin and timed:
        attrs["featureType"] = "timeSeries"
    return attrs


def _text(value: object) -> str:
    """Return any value of the provenance as one readable line."""
    if value is None:
        return ""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, slice):
        return f"{value.start} to {value.stop}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
