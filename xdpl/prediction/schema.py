"""The header of a fit file: checked before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from ..layout import ForcingRole, Layout
from ..runtime.json_types import Count, NotNegative, Positive, build, mismatch, numbers
from .fit_record import FitSettings, Size, TrainingRecord

__all__ = ["Header", "Named", "check_layout", "check_sizes", "check_tensors", "read_header"]

LARGEST_OPTION = 2**53
"""Whole numbers in the options of a model or loss are at most this large."""

LONGEST_SPAN = 1e6
"""Days over which the network of dynamic parameters may average."""

LARGEST_FACTOR = 1e30
"""Factors and offsets of units are at most this large."""


class Named(TypedDict):
    """A class by its name, with its options."""

    name: str
    options: dict[str, object]


class _Dynamic(TypedDict):
    parameters: list[str]
    hidden: NotRequired[list[Size]]
    spans: NotRequired[list[Positive]]
    dropout: NotRequired[float]


class Header(TypedDict):
    """The header of a fit file; keys that are not named here are not read."""

    format: Count
    model: Named
    network: Named
    dynamic: NotRequired[_Dynamic | None]
    losses: dict[str, Named]
    layout: dict[str, object]
    components: Size
    members: Size
    settings: FitSettings
    record: TrainingRecord
    scores: dict[str, dict[str, float]]
    domain: tuple[Positive, NotNegative] | None
    label: list[str] | None
    climate_label: NotRequired[list[str] | None]
    surrogate: NotRequired[dict[str, object]]


def read_header(header: object) -> Header:
    """Check the types and numbers of a header, and make its settings and record.

    Raises
    ------
    ValueError
        A value is missing, of another type or out of bounds.
    """
    return build(Header, header)


def check_sizes(header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError where a header claims more than its file has weights for."""
    values = sum(tensor.numel() for tensor in tensors.values())
    largest = max((max(t.shape, default=0) for t in tensors.values()), default=0)
    if header["components"] > values or header["members"] > len(tensors):
        raise ValueError("it claims more components or members than it has weights")
    check_options(header["network"]["options"], len(tensors), largest)
    moving = header.get("dynamic")
    if moving is not None:
        check_options(dict(moving), len(tensors), largest)
        if any(days > LONGEST_SPAN for days in moving.get("spans", [])):
            raise ValueError(f"its network averages over more than {LONGEST_SPAN:g} days")
    for named in (header["model"], *header["losses"].values()):
        if any(not abs(number) <= LARGEST_OPTION for number in numbers(named["options"])):
            raise ValueError(f"the options of {named['name']} are out of bounds")
    if header["settings"].deviations and header["label"] is None:
        raise ValueError("it has deviations of cells, but no labels of them")
    if header["label"] is not None and not header["label"]:
        raise ValueError("it names no training cells")
    if header["settings"].climate != ("climate" in tensors):
        raise ValueError("it lacks the climate of its cells, or has one that no network reads")
    climate = header.get("climate_label")
    if climate is not None and climate != sorted(set(climate)):
        raise ValueError("the labels of its climate are not in order")


def check_options(options: Mapping[str, object], tensors: int, largest: int) -> None:
    """Raise ValueError where options of a network describe one larger than the file's tensors.

    Every width of a network is a dimension of one of its weights, and every layer has weights.
    """
    for name, option in options.items():
        found = list(numbers(option))
        whole = [number for number in found if isinstance(number, int)]
        layers = len(option) if isinstance(option, list) else 0
        if layers > (tensors if whole else max(tensors, largest)):
            raise ValueError("it claims more layers than it has weights")
        if name == "layers" and any(number > tensors for number in whole):
            raise ValueError("it claims more layers than it has weights")
        if any(number > largest for number in whole) or not all(map(math.isfinite, found)):
            raise ValueError(f"its network's option {name!r} is larger than its weights")


def check_layout(layout: Layout) -> None:
    """Raise ValueError where a layout is no possible one."""
    wrong = mismatch(layout, Layout, "layout")
    if wrong:
        raise ValueError(wrong)
    if not (math.isfinite(layout.dt) and layout.dt > 0):
        raise ValueError(f"its time step is {layout.dt} days")
    low, high = layout.timesteps
    if not (0 <= low <= high and low < math.inf):
        raise ValueError(f"its model allows steps of {low} to {high} days")
    for name, forcing in layout.forcings.items():
        _check_sources(name, forcing)
    for observed in layout.observed.values():
        _check_factors(observed.variable, observed.source.scale, observed.source.offset)
    for role in layout.attributes:
        _check_factors(role.name, role.scale, role.offset)
        kinds = {isinstance(one, str) for one in role.classes or ()}
        if role.classes is not None and len(kinds) != 1:
            raise ValueError(f"the classes of {role.name!r} are {role.classes}")


def _check_sources(name: str, role: ForcingRole) -> None:
    if not role.sources:
        raise ValueError(f"the forcing {name!r} comes from no variable")
    for source in role.sources.values():
        _check_factors(source.variable, source.scale, source.offset)
    if role.fallback is not None:
        _check_sources(name, role.fallback)


def _check_factors(name: str, scale: float, offset: float) -> None:
    if not (abs(scale) <= LARGEST_FACTOR and abs(offset) <= LARGEST_FACTOR):
        raise ValueError(f"{name!r} is converted by {scale} and {offset}")


def check_tensors(
    cells: int | None,
    layout: Layout,
    tensors: Mapping[str, Tensor],
    climates: int | None = None,
) -> None:
    """Raise ValueError where what is kept of cells is not of their number.

    Parameters
    ----------
    cells, climates : int, optional
        Labels of training cells, and of cells whose climate is kept.
    layout : Layout
        Of the fit.
    tensors : mapping of str to Tensor
        Of the file.
    """
    wanted: dict[str, tuple[int | None, ...]] = {
        f"count.{name}": (cells,) for name in layout.observed
    }
    width = tensors["climate"].shape[-1] if "climate" in tensors else 0
    wanted |= {"domain": (None, len(layout.attributes) + width), "past": (cells, None)}
    wanted["climate"] = (climates, None)
    wanted["cycle"] = (None, cells, None)
    for name, shape in wanted.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        if found is not None and (
            len(found) != len(shape)
            or any(w not in (None, f) for f, w in zip(found, shape, strict=True))
        ):
            raise ValueError(f"{name} has the shape {found}")
    if "domain" in tensors and not len(tensors["domain"]):
        raise ValueError("it keeps the attributes of no training cell")
    for name, tensor in tensors.items():
        known = name == "domain" or name in wanted
        if known and (tensor.is_complex() or bool(torch.isinf(tensor).any())):
            raise ValueError(f"{name} has values that are not finite")
        if name.startswith("count.") and not bool((tensor >= 0).all()):
            raise ValueError(f"{name} has counts below 0")
