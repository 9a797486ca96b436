"""From a block of a Dataset to numpy: all its cells, in the units and roles of the Layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import XdplError
from .attribute_values import class_codes
from .daylight import DAY_LENGTH, SECONDS_A_DAY
from .derivations import derive
from .quality import Findings, fill_gaps, looks_filled
from .records import ForcingRole, Layout
from .sample import load
from .stacked_cells import StackedCells
from .stacking import labels, only_coordinates

__all__ = ["CellBlock", "read", "read_once"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]

PIECE = 2**20
"""Values of a series converted at once, in double precision: more would only take memory."""


@dataclass(frozen=True)
class CellBlock:
    """All cells of a block, stacked: Y before X, X fastest.

    Parameters
    ----------
    label : array of str (cell,)
        Names of the cells, whatever the order, flips or chunks.
    space_shape : tuple of int
        Sizes of ``layout.space``: ``values.reshape(..., *space_shape)`` undoes the stacking.
    forcing : dict of str to float32 array (time, cell)
        By the model's forcing, in its units. NaN where incomplete.
    observed : dict of str to float32 array (time, cell)
        By the model's output, in its units. NaN where nothing was observed.
    attribute : float64 array (cell, attribute)
        As they are; of classes, the position in ``AttributeRole.classes``, and their
        number for one that is not among them. NaN where missing.
    has_forcing, has_attributes, has_observation : bool array (cell,)
        Forcing complete, attributes complete, anything observed.
    exists : bool array (cell,)
        Any forcing value at all (of attributes, where no forcing was read).
    findings : Findings
        What was left out, filled in or computed.
    """

    label: NDArray[np.str_]
    space_shape: tuple[int, ...]
    forcing: Mapping[str, NDArray[np.float32]]
    observed: Mapping[str, NDArray[np.float32]]
    attribute: Array
    has_forcing: NDArray[np.bool_]
    has_attributes: NDArray[np.bool_]
    has_observation: NDArray[np.bool_]
    exists: NDArray[np.bool_]
    findings: Findings = field(default_factory=Findings)


def read(
    block: xr.Dataset,
    layout: Layout,
    *,
    forcing: bool = True,
    observed: bool = True,
    attribute: bool = True,
) -> CellBlock:
    """Read all cells of a block: convert units, mask the impossible, fill gaps, compute.

    Parameters
    ----------
    block : Dataset
        Any selection by position of the Dataset that the Layout describes, its dimensions in
        any order, numpy or dask (then loaded in this thread).
    layout : Layout
        Which variable plays which role.
    forcing, observed, attribute : bool
        What to read. What is not read is empty, and False in ``has_...``.

    Returns
    -------
    CellBlock

    Raises
    ------
    DataError
        A variable can't be read.
    """
    parts = {"forcing": forcing, "observed": observed, "attribute": attribute}
    try:
        return read_once(block, layout, **parts)
    except (XdplError, MemoryError):
        raise
    except Exception:
        for name in layout.variables(**parts):
            load(block[name].variable, name)  # says which one can't be read
        raise


def read_once(
    block: xr.Dataset, layout: Layout, *, forcing: bool, observed: bool, attribute: bool
) -> CellBlock:
    """`read` that leaves what a store raises as it is, for those who try again."""
    parts = {"forcing": forcing, "observed": observed, "attribute": attribute}
    raw = _load(block, layout, **parts)
    pieces = [_read_piece(piece, layout, **parts) for piece in _pieces(raw, layout)]
    return _joined(pieces, tuple(raw.sizes[dim] for dim in layout.space))


def _pieces(raw: xr.Dataset, layout: Layout) -> Iterator[xr.Dataset]:
    """Some rows of cells at a time: what is computed of them stays small."""
    rows = raw.sizes[layout.space[0]] if layout.space else 1
    values = int(np.prod([raw.sizes[dim] for dim in layout.space], dtype=int))
    values *= raw.sizes.get(layout.time, 1)
    at_once = max(1, rows * PIECE // max(1, values))
    if at_once >= rows:
        yield raw
        return
    for first in range(0, rows, at_once):
        yield raw.isel({layout.space[0]: slice(first, first + at_once)})


def _joined(pieces: Sequence[CellBlock], space_shape: tuple[int, ...]) -> CellBlock:
    """Put pieces together that follow one another along the first dimension of space."""
    if len(pieces) == 1:
        return pieces[0]

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(piece, name) for piece in pieces])

    def series(kind: str) -> dict[str, Single]:
        parts: list[dict[str, Single]] = [getattr(piece, kind) for piece in pieces]
        # what is joined is let go before the next
        return {k: np.concatenate([p.pop(k) for p in parts], axis=1) for k in list(parts[0])}

    return CellBlock(
        label=together("label"),
        space_shape=space_shape,
        forcing=series("forcing"),
        observed=series("observed"),
        attribute=together("attribute"),
        has_forcing=together("has_forcing"),
        has_attributes=together("has_attributes"),
        has_observation=together("has_observation"),
        exists=together("exists"),
        findings=sum((piece.findings for piece in pieces), Findings()),
    )


def _read_piece(
    raw: xr.Dataset, layout: Layout, *, forcing: bool, observed: bool, attribute: bool
) -> CellBlock:
    cells = StackedCells(raw, layout)
    label = labels(raw, layout)
    size = label.size
    counts: dict[tuple[str, str], int] = {}
    driven = _read_forcings(cells, counts) if forcing else {}
    exists: NDArray[np.bool_] = cells.exists if forcing else np.zeros(size, dtype=bool)
    seen = _read_observed(cells) if observed else {}
    fixed = _read_attributes(cells, counts, exists if forcing else None) if attribute else None
    attributes = np.empty((size, 0)) if fixed is None else fixed
    if not forcing and attribute:
        exists = np.asarray(np.isfinite(attributes).any(axis=1))
    complete = _complete(driven, size) & exists
    has_attributes = exists & np.isfinite(attributes).all(axis=1)
    has_attributes &= attribute
    has_observation = _any(seen, size)
    for name, n in cells.impossible.items():
        counts["impossible", name] = int(n[exists].sum() if forcing else n.sum())
    counts["cells", ""] = int(exists.sum())
    if forcing:
        counts["no forcing", ""] = int((exists & ~complete).sum())
    if attribute:
        counts["no attributes", ""] = int((exists & ~has_attributes).sum())
    if observed and forcing and layout.observed:
        counts["no observation", ""] = int((exists & ~has_observation).sum())
    return CellBlock(
        label=label,
        space_shape=tuple(raw.sizes[dim] for dim in layout.space),
        forcing=driven,
        observed=seen,
        attribute=attributes,
        has_forcing=complete,
        has_attributes=has_attributes,
        has_observation=has_observation,
        exists=exists,
        findings=Findings({key: n for key, n in counts.items() if n}),
    )


def _load(block: xr.Dataset, layout: Layout, **parts: bool) -> xr.Dataset:
    """The variables needed, in memory; the caller's Dataset stays lazy."""
    names = list(layout.variables(**parts))
    extra = [layout.latitude, layout.grid_mapping, *layout.labels]
    wanted = [name for name in dict.fromkeys([*names, *extra]) if name and name in block.variables]
    small = only_coordinates(block[wanted], {*wanted, layout.time, *layout.space})
    lazy = any(v.chunks is not None for v in small.variables.values())
    return small.compute(scheduler="synchronous") if lazy else small.compute()


def _read_forcings(cells: StackedCells, counts: dict[tuple[str, str], int]) -> dict[str, Single]:
    found: dict[str, Single] = {}
    for name, role in cells.layout.forcings.items():
        values = _read_role(cells, role, counts)
        filled = fill_gaps(values, cells.longest_gap)
        _count(counts, "filled", name, filled)
        if role.fallback is not None:
            _fill_from(cells, role, values, counts)
        found[name] = values.astype(np.float32)
    for name, single in found.items():
        missing = np.isnan(single)
        absent = missing.all(axis=0) & cells.exists
        _count(counts, "absent", name, int(absent.sum()))
        _count(counts, "gap", name, int((missing.any(axis=0) & cells.exists & ~absent).sum()))
    return found


def _fill_from(
    cells: StackedCells, role: ForcingRole, values: Array, counts: dict[tuple[str, str], int]
) -> None:
    """Compute what is still missing of a forcing, in place."""
    missing = np.isnan(values)
    if role.fallback is None or not missing.any():
        return
    computed = _read_role(cells, role.fallback, {})
    fill_gaps(computed, cells.longest_gap)
    missing &= np.isfinite(computed)
    np.copyto(values, computed, where=missing)
    _count(counts, "computed", role.name, int(missing.any(axis=0).sum()))


def _read_role(cells: StackedCells, role: ForcingRole, counts: dict[tuple[str, str], int]) -> Array:
    """One forcing, gaps and all, in the model's units."""
    parts: dict[str, Array] = {}
    for part, source in role.sources.items():
        if part in ("albedo", "elevation"):
            given = cells.static(source.variable).astype(np.float64)
            given[looks_filled(given)] = np.nan
            parts[part] = given * source.scale + source.offset
            continue
        if source.dim:
            parts[part] = cells.monthly(source)
            continue
        values = cells.series(source)
        cells.mask(source, values)
        if part != DAY_LENGTH:  # which is known of the sea, too
            cells.witness(source.variable, values)  # a fill value is no value
        parts[part] = values
    if DAY_LENGTH in parts:
        light = parts.pop(DAY_LENGTH) / SECONDS_A_DAY
        parts["shortwave" if "shortwave" in parts else "value"] *= light
    if "maximum" in parts and "minimum" in parts:
        names = f"{role.sources['maximum'].variable} and {role.sources['minimum'].variable}"
        swapped = int(np.count_nonzero(parts["minimum"] > parts["maximum"]))
        _count(counts, "swapped", names, swapped, add=False)
    return derive(cells.block, cells.layout, role, parts)


def _read_observed(cells: StackedCells) -> dict[str, Single]:
    found = {}
    for output, role in cells.layout.observed.items():
        source = role.source
        values = cells.series(source)
        cells.mask(source, values)
        found[output] = values.astype(np.float32)
    return found


def _read_attributes(
    cells: StackedCells, counts: dict[tuple[str, str], int], exists: NDArray[np.bool_] | None
) -> Array:
    roles = cells.layout.attributes
    table = np.full((cells.size, len(roles)), np.nan)
    unknown, filled = np.zeros((2, *table.shape), dtype=bool)
    for column, role in enumerate(roles):
        values = cells.static(role.variable, role.dim, role.item)
        if values.dtype.kind in "fiub":
            values = values.astype(np.float64)
            filled[:, column] = looks_filled(values, role.fills)
            values[filled[:, column]] = np.nan
        if role.classes is None:
            given = values.astype(np.float64) * role.scale + role.offset
            table[:, column] = np.where(np.isfinite(given), given, np.nan)
        else:
            table[:, column], unknown[:, column] = class_codes(values, role)
    if exists is None:
        exists = np.isfinite(table).any(axis=1)
    for column, role in enumerate(roles):
        strange = unknown[:, column] & exists
        missing = np.isnan(table[:, column]) & exists
        _count(counts, "class", role.name, int(strange.sum()))
        _count(counts, "fill", role.name, int((filled[:, column] & exists).sum()))
        _count(counts, "attribute", role.name, int(missing.sum()))
    return table


def _count(
    counts: dict[tuple[str, str], int], kind: str, subject: str, n: int, add: bool = True
) -> None:
    if n:
        counts[kind, subject] = counts.get((kind, subject), 0) * add + n


def _complete(found: Mapping[str, Single], size: int) -> NDArray[np.bool_]:
    complete = np.full(size, bool(found))
    for values in found.values():
        complete &= np.isfinite(values).all(axis=0)
    return complete


def _any(found: Mapping[str, Single], size: int) -> NDArray[np.bool_]:
    seen = np.zeros(size, dtype=bool)
    for values in found.values():
        seen |= np.isfinite(values).any(axis=0)
    return seen
