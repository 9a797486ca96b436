"""What parameters are learned from and how, as one digest: the same one means the same fit."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..fitting.problem import Problem, settle
from ..layout import labels
from ..prediction.selection import needed

__all__ = ["digest_of_fit"]

NO_MATTER = ("model", "checkpoint", "progress", "device")
"""Keywords of `xdpl.fit` that don't decide what is learned; of the model, see the weights."""


def digest_of_fit(ds: xr.Dataset, obs: str | Mapping[str, str], keywords: Mapping[str, Any]) -> str:
    """Digest of a fit: values and labels of all that it reads, and its settings.

    Order of the cells and chunks make no difference. One variable is in memory at a time.

    Parameters
    ----------
    ds : Dataset
        Forcings, attributes and observations.
    obs : str or {variable: model output}
        What was observed.
    keywords : mapping
        Of `xdpl.fit`, ``model`` among them.

    Raises
    ------
    LayoutError, UnitsError, DataError, DeclarationError
        As `xdpl.fit`.
    """
    described = [name for name in inspect.signature(settle).parameters if name not in ("ds", "obs")]
    given = {"categorical": (), **{k: v for k, v in keywords.items() if k in described}}
    problem = settle(ds, obs, **{**dict.fromkeys(described), **given})
    others = {k: v for k, v in keywords.items() if k not in (*described, *NO_MATTER)}
    digest = hashlib.sha256()
    for what in (problem.layout.identity(), problem.losses, problem.settings, others):
        digest.update(_text(what).encode())
    for part in _values(problem):
        digest.update(part)
    return digest.hexdigest()


def _text(value: object) -> str:
    """Type and fields of an object, all the way down; no addresses in memory."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k}: {_text(v)}' for k, v in sorted(value.items()))}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    if dataclasses.is_dataclass(value):
        given = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return f"{type(value).__qualname__}{_text(given)}"
    return repr(value)


def _values(problem: Problem) -> Iterator[bytes]:
    """Everything that is read of the Dataset, cell by cell in the order of their labels."""
    layout = problem.layout
    first = max(0, min([problem.span.start - problem.warmup, *_past(problem)]))
    last = max([problem.span.stop, *_past(problem)])
    part = needed(problem.ds, layout).isel({layout.time: slice(first, last)})
    times = part.indexes[layout.time]
    yield f"{times[0]} {times[-1]} {len(times)}".encode()
    label = labels(part, layout)
    order = np.argsort(label, kind="stable")
    yield "\n".join(label[order]).encode()
    if problem.wanted is not None:
        yield np.asarray(problem.wanted.transpose(*layout.space)).ravel()[order].tobytes()
    for name in sorted(map(str, {*part.variables} - {layout.time, *layout.labels})):
        yield name.encode()
        values = part[name].variable
        if set(layout.space) & set(values.dims):
            spread = values.set_dims({d: part.sizes[d] for d in (*layout.space, *values.dims)})
            rows = spread.transpose(*layout.space, ...).values.reshape(len(label), -1)
            yield from (_bytes(rows[number]) for number in order)
        else:
            yield _bytes(values.values.ravel())


def _past(problem: Problem) -> tuple[int, ...]:
    """Steps where the past begins and ends, where the network reads it."""
    return () if problem.past is None else (problem.past.start, problem.past.stop)


def _bytes(values: NDArray[np.generic]) -> bytes:
    """Of numbers as float64, so that the precision of a file makes no difference; else of text."""
    if values.dtype.kind in "biuf":
        return np.where(np.isnan(number := values.astype(np.float64)), np.nan, number).tobytes()
    return "\n".join(map(str, values)).encode()
