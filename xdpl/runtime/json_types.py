"""Values read from JSON: checked against type hints with bounds, and made into what these name."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

__all__ = [
    "Count",
    "Finite",
    "NotNegative",
    "Positive",
    "Within",
    "build",
    "mismatch",
    "numbers",
]

LARGEST_INT = 2**63

T = TypeVar("T")


@dataclass(frozen=True)
class Within:
    """Bounds of a number, for ``Annotated``; NaN lies within none.

    Parameters
    ----------
    low, high : float
        Lowest and highest value allowed.
    """

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


LARGEST = 1e300
"""Finite numbers may be this large."""

Finite = Annotated[float, Within(-LARGEST, LARGEST)]
NotNegative = Annotated[float, Within(0.0, LARGEST)]
Positive = Annotated[float, Within(1e-300, LARGEST)]
Count = Annotated[int, Within(0, LARGEST_INT)]


def mismatch(value: object, hint: object, name: str = "header") -> str:
    """Describe which part of a value of JSON is not of its type, or out of bounds.

    Parameters
    ----------
    value : object
        What was read; a list stands for a tuple, an int for a float, a dict for a dataclass.
    hint : type
        A type hint: TypedDict, dataclass, dict, list, tuple, union, Literal, plain type, or any of
        these in ``Annotated`` with `Within`.
    name : str
        Of the value, for the description.

    Returns
    -------
    str
        Empty where all of it fits.
    """
    if hint is Any:
        return ""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return mismatch(value, inner[0], name) or _outside(value, inner[1:], name)
    if origin in (Union, types.UnionType):
        found = [mismatch(value, one, name) for one in inner]
        return "" if "" in found else found[0]
    if origin is Literal:
        return "" if value in inner else f"{name} is {str(value)[:40]!r}, not one of {inner}"
    if is_typeddict(hint) or is_dataclass(hint):
        return _fields(value, cast(type, hint), name)
    kind = cast(type, origin or hint)
    if not _is(value, kind):
        wanted = "None" if kind is type(None) else kind.__name__
        return f"{name} is of type {type(value).__name__}, not {wanted}"
    return next(filter(None, _items(value, kind, inner, name)), "")


def _outside(value: object, bounds: Iterable[object], name: str) -> str:
    for one in bounds:
        if isinstance(one, Within) and isinstance(value, (int, float)) and value not in one:
            return f"{name} is {value!r:.40}, not from {one.low:g} to {one.high:g}"
    return ""


def _is(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind in (bool, object)
    if kind is float:
        return isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST_INT)
    if kind is int:
        return isinstance(value, int) and abs(value) < LARGEST_INT
    return isinstance(value, (list, tuple) if kind in (list, tuple) else kind)


def _items(value: object, kind: type, inner: tuple[object, ...], name: str) -> Iterator[str]:
    """Description of each item of a container, one at a time."""
    if not inner:
        return
    if isinstance(value, Mapping):
        if _simple(value.keys(), inner[0]) and _simple(value.values(), inner[1]):
            return
        for key, item in value.items():
            yield mismatch(key, inner[0], f"a key of {name}"[:100])
            yield mismatch(item, inner[1], f"{name}.{key}"[:100])
        return
    sequence = cast("list[object]", value)
    if kind is list or inner[-1] is Ellipsis:
        if _simple(sequence, inner[0]):
            return
        hints: Iterable[object] = (inner[0] for _ in sequence)
    elif len(sequence) != len(inner):
        yield f"{name} has {len(sequence)} items, not {len(inner)}"
        return
    else:
        hints = inner
    for i, (item, hint) in enumerate(zip(sequence, hints, strict=True)):
        yield mismatch(item, hint, f"{name}[{i}]")


_SIMPLE: dict[object, set[type]] = {float: {int, float}, int: {int}, str: {str}, bool: {bool}}
"""Types of a value of JSON that fit a simple type hint."""


def _simple(items: Collection[object], hint: object) -> bool:
    """Whether all items plainly fit a simple hint: a million are looked through at once."""
    bounds = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    plain = get_args(hint)[0] if bounds else hint
    if not set(map(type, items)) <= _SIMPLE.get(plain, set()):
        return False
    if plain not in (int, float) or not items:
        return True
    found = cast("Collection[float]", items)
    if any(number != number for number in found):  # NaN has no place in an order
        return False
    edges = (min(found), max(found))
    whole = [edge for edge in edges if type(edge) is int]
    return all(abs(edge) < LARGEST_INT for edge in whole) and all(
        edge in one for one in bounds if isinstance(one, Within) for edge in edges
    )


def _fields(value: object, hint: type, name: str) -> str:
    """Description of the fields of a dict of JSON, or of a dataclass."""
    if is_dataclass(hint) and isinstance(value, hint):
        value = {field.name: getattr(value, field.name) for field in fields(hint)}
    if not isinstance(value, dict):
        return f"{name} is of type {type(value).__name__}, not dict"
    optional = _optional(hint)
    for key, wanted in _hints(hint).items():
        if get_origin(wanted) is NotRequired:
            wanted = get_args(wanted)[0]
        if key in value:
            found = mismatch(value[key], wanted, f"{name}.{key}")
        elif key in optional:
            found = ""
        else:
            found = f"{name} lacks {key!r}"
        if found:
            return found
    return ""


def _hints(hint: type) -> dict[str, object]:
    """Type hint of each field; a dataclass has other annotations besides."""
    hints = get_type_hints(hint, include_extras=True)
    return {f.name: hints[f.name] for f in fields(hint)} if is_dataclass(hint) else hints


def _optional(hint: type) -> set[str]:
    """Names of the fields that need not be there."""
    if is_dataclass(hint):
        return {
            f.name
            for f in fields(hint)
            if f.default is not MISSING or f.default_factory is not MISSING or not f.init
        }
    hints = get_type_hints(hint, include_extras=True)
    return {key for key, one in hints.items() if get_origin(one) is NotRequired}


def build(hint: type[T], value: object, name: str = "header") -> T:
    """Check a value of JSON and make it into what a type hint names; unknown keys are not read.

    Raises
    ------
    ValueError
        It is of another type, or a number is out of bounds.

    Examples
    --------
    >>> build(tuple[float, float], [1, 2.5])
    (1, 2.5)
    """
    wrong = mismatch(value, hint, name)
    if wrong:
        raise ValueError(wrong)
    return cast(T, _built(hint, value))


def _built(hint: object, value: object) -> object:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Annotated, NotRequired):
        return _built(inner[0], value)
    if origin in (Union, types.UnionType):
        return _built(next(one for one in inner if not mismatch(value, one)), value)
    if is_dataclass(hint) and isinstance(value, dict):
        hints = get_type_hints(hint, include_extras=True)
        names = [f.name for f in fields(hint) if f.init and f.name in value]
        return cast(type, hint)(**{name: _built(hints[name], value[name]) for name in names})
    if is_typeddict(hint) and isinstance(value, Mapping):
        hints = get_type_hints(hint, include_extras=True)
        return {key: _built(hints.get(key, Any), item) for key, item in value.items()}
    if isinstance(value, Mapping) and len(inner) == 2:
        return {key: _built(inner[1], item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and inner:
        one = origin is list or inner[-1] is Ellipsis
        if one and _simple(value, inner[0]):
            return list(value) if origin is list else tuple(value)
        hints_of = [inner[0]] * len(value) if one else list(inner)
        items = [_built(h, item) for h, item in zip(hints_of, value, strict=True)]
        return items if origin is list else tuple(items)
    return value


def numbers(value: object) -> Iterator[float]:
    """All numbers in a value of JSON, however deep; True and False are none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from numbers(item)
