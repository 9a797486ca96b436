"""What the header of a fit file must look like before anything is built from it."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import (
    Any,
    NotRequired,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from torch import Tensor

from ..layout import ForcingRole, Layout

__all__ = ["Header", "check_header", "check_layout", "check_tensors", "misfit"]


class _Named(TypedDict):
    name: str
    options: dict[str, Any]


class _Settings(TypedDict):
    period: tuple[str, str]
    warmup_days: float
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    deviations: bool
    past: NotRequired[tuple[str, str] | None]
    weights: NotRequired[dict[str, float]]
    dynamic: NotRequired[list[str]]
    ensemble: NotRequired[int]
    validation: NotRequired[float | None]
    validation_cells: NotRequired[int]
    patience: NotRequired[int]
    precision: NotRequired[str]


class _Record(TypedDict):
    cells: NotRequired[int]
    batches: NotRequired[int]
    left_out: NotRequired[list[str]]
    loss: NotRequired[list[float]]
    validation: NotRequired[list[list[float]]]
    best_epoch: NotRequired[list[int]]
    seconds: NotRequired[float]
    device: NotRequired[str]
    versions: NotRequired[dict[str, str]]
    stopped: NotRequired[str]


class Header(TypedDict):
    """The header of a fit file; what is not named here is not read."""

    format: int
    model: _Named
    network: _Named
    dynamic: NotRequired[dict[str, Any] | None]
    losses: dict[str, _Named]
    layout: dict[str, Any]
    components: int
    members: int
    settings: _Settings
    record: _Record
    scores: dict[str, dict[str, float]]
    domain: tuple[float, float] | None
    label: list[str] | None


def misfit(value: Any, hint: Any, name: str = "header") -> str:
    """Say which part of a value of JSON is not of its type; nothing where all are.

    Parameters
    ----------
    value : object
        What was read; a list stands for a tuple, and an int for a float.
    hint : type
        A type hint: TypedDict, dataclass, dict, list, tuple, union or plain type.
    name : str
        Of the value, in what is said.
    """
    if hint is Any:
        return ""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        said = [misfit(value, one, name) for one in inner]
        return "" if "" in said else said[0]
    if is_typeddict(hint) or is_dataclass(hint):
        return _in_parts(value, hint, name)
    kind = origin or hint
    if not _is(value, kind):
        wanted = "None" if kind is type(None) else kind.__name__
        return f"{name} is of type {type(value).__name__}, not {wanted}"
    return next(filter(None, _items(value, kind, inner, name)), "")


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)
    if kind is int:
        return isinstance(value, int) and abs(value) < 2**63
    return isinstance(value, (list, tuple) if kind in (list, tuple) else kind)


def _items(value: Any, kind: type, inner: tuple[Any, ...], name: str) -> list[str]:
    """What is said of each item of a container."""
    if not inner:
        return []
    if isinstance(value, Mapping):
        return [misfit(item, inner[1], f"{name}.{key}"[:100]) for key, item in value.items()]
    if kind is list or inner[-1] is Ellipsis:
        return [misfit(item, inner[0], f"{name}[{i}]") for i, item in enumerate(value)]
    if len(value) != len(inner):
        return [f"{name} has {len(value)} items, not {len(inner)}"]
    pairs = zip(value, inner, strict=True)
    return [misfit(item, one, f"{name}[{i}]") for i, (item, one) in enumerate(pairs)]


def _in_parts(value: Any, hint: Any, name: str) -> str:
    """What is said of the fields of a dictionary of JSON, or of a dataclass made from one."""
    hints = get_type_hints(hint, include_extras=True)
    if isinstance(hint, type) and is_dataclass(hint):
        if not isinstance(value, hint):
            return f"{name} is of type {type(value).__name__}"
        value = {field.name: getattr(value, field.name) for field in fields(hint)}
    if not isinstance(value, dict):
        return f"{name} is of type {type(value).__name__}, not dict"
    for key, wanted in hints.items():
        optional = get_origin(wanted) is NotRequired
        if key in value:
            said = misfit(value[key], get_args(wanted)[0] if optional else wanted, f"{name}.{key}")
        else:
            said = "" if optional else f"{name} lacks {key!r}"
        if said:
            return said
    return ""


def check_header(header: Any, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError where the header is of other types, or claims more than the file holds."""
    said = misfit(header, Header)
    if said:
        raise ValueError(said)
    values = sum(tensor.numel() for tensor in tensors.values())
    if not 0 < header["components"] <= values or not 0 < header["members"] <= len(tensors):
        raise ValueError("it claims more components or members than it has weights")
    for option in header["network"]["options"].values():
        if isinstance(option, list) and len(option) > len(tensors):
            raise ValueError("it claims more layers than it has weights")
    if header["settings"]["deviations"] and header["label"] is None:
        raise ValueError("it has deviations of cells, but no labels of them")


def check_layout(layout: Layout) -> None:
    """Raise ValueError where a layout is no possible one."""
    said = misfit(layout, Layout, "layout")
    if said:
        raise ValueError(said)
    if not (math.isfinite(layout.dt) and layout.dt > 0):
        raise ValueError(f"its time step is {layout.dt} days")
    low, high = layout.timesteps
    if not (0 <= low <= high and low < math.inf):
        raise ValueError(f"its model allows steps of {low} to {high} days")
    for name, forcing in layout.forcings.items():
        _check_sources(name, forcing)
    for role in layout.attributes:
        kinds = {isinstance(one, str) for one in role.classes or ()}
        if role.classes is not None and len(kinds) != 1:
            raise ValueError(f"the classes of {role.name!r} are {role.classes}")


def _check_sources(name: str, role: ForcingRole) -> None:
    if not role.sources:
        raise ValueError(f"the forcing {name!r} comes from no variable")
    if role.fallback is not None:
        _check_sources(name, role.fallback)


def check_tensors(header: Mapping[str, Any], layout: Layout, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError where what is kept of the training cells is not of their number."""
    cells = None if header["label"] is None else len(header["label"])
    wanted: dict[str, tuple[int | None, ...]] = {
        f"count.{name}": (cells,) for name in layout.observed
    }
    wanted |= {"domain": (None, len(layout.attributes)), "past": (cells, None)}
    wanted["cycle"] = (None, cells, None)
    for name, shape in wanted.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        if found is not None and (
            len(found) != len(shape)
            or any(w not in (None, f) for f, w in zip(found, shape, strict=True))
        ):
            raise ValueError(f"{name} has the shape {found}")
    if header["domain"] is not None and "domain" not in tensors:
        raise ValueError("it lacks the attributes of its training cells")
