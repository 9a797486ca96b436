"""What the header of a fit file must look like before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from torch import Tensor

from ..layout import ForcingRole, Layout
from ..runtime.json_types import misfit

__all__ = ["Header", "check_header", "check_layout", "check_tensors"]


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
