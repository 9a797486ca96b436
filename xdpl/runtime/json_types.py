"""Values read from JSON, checked against type hints."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = ["misfit"]


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
