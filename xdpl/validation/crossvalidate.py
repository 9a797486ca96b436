"""`cross_validate`: scores of cells and times that training never saw."""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
import time as clock
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Unpack, overload

import numpy as np
import xarray as xr

from .. import models as _models
from ..errors import DataError, DeclarationError, reporting
from ..fitting import fit
from ..fitting.run import FitKeywords
from ..fitting.settings import resolve_cells
from ..interrupts import interruptible
from ..layout import Layout, check_dataset, choose_output, recognise, to_grid
from ..layout.periods import as_slice
from ..process import as_model
from ..public import hands_on, unknown_keyword
from ..runtime.progress import tqdm
from .folds import NONE, Split, number_folds, split_time
from .report import CrossValidation, collected

__all__ = ["cross_validate"]

TAKEN = {"seed": "seeds=(0, 1, 2)", "checkpoint": "checkpoint of single calls of xdpl.fit"}
LOST = (
    "cross_validate was interrupted in run {} of {} and gives no scores. Cross-validate one seed "
    "at a time, seeds=(0,), to keep those of the seeds before."
)


@overload
def cross_validate(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    space: str | xr.DataArray | None = None,
    folds: int = 5,
    time: int | Sequence[tuple[object, object]] | None = None,
    seeds: Sequence[int] = (0,),
    progress: bool = True,
    **keywords: Unpack[FitKeywords],
) -> CrossValidation: ...
@overload
def cross_validate(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    space: str | xr.DataArray | None = None,
    folds: int = 5,
    time: int | Sequence[tuple[object, object]] | None = None,
    seeds: Sequence[int] = (0,),
    method: Callable[..., object],
    progress: bool = True,
    **keywords: Any,
) -> CrossValidation: ...
@hands_on(fit, without=("seed", "checkpoint"))
def cross_validate(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    *,
    space: str | xr.DataArray | None = None,
    folds: int = 5,
    time: int | Sequence[tuple[object, object]] | None = None,
    seeds: Sequence[int] = (0,),
    method: Callable[..., object] = fit,
    progress: bool = True,
    **keywords: Any,
) -> CrossValidation:
    """Train again and again with some cells or times held back, and score what was held back.

    What is held back can't reach training: its observations are masked in the Dataset that the
    method is given. Folds and splits are the same for every method and seed.

    Parameters
    ----------
    ds : Dataset
        As of `xdpl.fit`.
    obs : str or {variable: model output}
        What was observed.
    space : {"random", "regions"}, name of a variable, or DataArray, optional
        Cells held back: random ones (prediction in ungauged basins); contiguous blocks from the
        coordinates (prediction in ungauged regions); or the regions that a variable labels, one at
        a time. None holds back no cells.
    folds : int
        Number of folds of "random" and "regions".
    time : int or sequence of (train, test), optional
        Times held back: pairs of periods; or a number n: the record, or ``period``, is cut into
        n + 1 parts of which each but the first is tested once after training on all before it.
        Together with ``space`` cells and times are held back at once. None trains and tests over
        the same period, on different cells.
    seeds : sequence of int
        Every fold is trained once with each.
    method : callable
        `xdpl.fit`, or a baseline of `xdpl.validation`.
    progress : bool
        Show a progress bar.
    **keywords
        Those of the method: all of `xdpl.fit` except seed and checkpoint, or what a baseline
        takes. ``cells`` limits the cells that are used at all, ``period`` the times.

    Returns
    -------
    CrossValidation
        Its ``scores`` is a Dataset with the scores of each cell as `Fit.evaluate` gives them,
        dimensions seed, period (if several) and space, and the number of its ``fold``.

    Raises
    ------
    DeclarationError, LayoutError, DataError
        Nothing is held back; folds, periods or labels that can't be; and what the method raises.
    Interrupted
        Ctrl-C; no scores are kept.

    Examples
    --------
    >>> import xdpl
    >>> ds = xdpl.tutorial.synthetic(cells=16, years=2)
    >>> found = xdpl.cross_validate(
    ...     ds, "streamflow", space="random", folds=2, epochs=1, progress=False
    ... )
    >>> found.scores.nse.dims
    ('seed', 'y', 'x')
    """
    check_dataset(ds)
    _check(space, time, seeds, method, keywords)
    with reporting():
        return _cross_validated(ds, obs, space, folds, time, seeds, method, progress, keywords)


def _cross_validated(
    ds: xr.Dataset,
    obs: str | Mapping[str, str],
    space: str | xr.DataArray | None,
    folds: int,
    time: int | Sequence[tuple[object, object]] | None,
    seeds: Sequence[int],
    method: Callable[..., object],
    progress: bool,
    keywords: dict[str, object],
) -> CrossValidation:
    began = clock.perf_counter()
    layout = _layout(ds, obs, keywords)
    allowed = resolve_cells(keywords.pop("cells", None), ds, layout.space)
    splits = split_time(ds, layout.time, time, keywords.pop("period", None))
    fold, count = _fold(ds, layout, space, folds, allowed)
    plan = [(split, seed) for seed in seeds for split in splits]
    parts: list[xr.Dataset] = []
    runs, number = len(plan) * max(1, count), itertools.count(1)
    with tqdm(
        total=runs,
        desc="cross-validation",
        unit="run",
        disable=not progress,
        file=sys.stderr,
    ) as bar:
        for split, seed in plan:
            call = functools.partial(method, obs=obs, seed=int(seed), progress=False, **keywords)
            total: xr.Dataset | None = None
            for held in _held(fold, count):
                with interruptible(LOST.format(next(number), runs), anew=True):
                    part = _one(ds, layout, call, split, held, allowed)
                total = part if total is None else xr.where(held, part, total, keep_attrs=True)
                bar.update(1)
            assert total is not None
            parts.append(total)
    scores = collected(parts, ds, layout, list(seeds), splits, fold if count else None)
    return CrossValidation(
        scores, _name(method), _described(space, count), clock.perf_counter() - began
    )


def _check(
    space: object,
    time: object,
    seeds: Sequence[int],
    method: object,
    keywords: Mapping[str, object],
) -> None:
    if space is None and time is None:
        raise DeclarationError(
            "nothing is held back. Give space='random' or 'regions' to hold back cells, time= to "
            "hold back times, or both."
        )
    if not callable(method):
        raise DeclarationError(
            f"method is {method!r}, which can't be called. Give xdpl.fit or a baseline such as "
            "xdpl.validation.calibrate."
        )
    if isinstance(seeds, (str, int)) or not len(seeds) or len(set(seeds)) < len(seeds):
        raise DeclarationError(f"seeds={seeds!r} can't be used. Give different ones: seeds=(0, 1).")
    for name, remedy in TAKEN.items():
        if name in keywords:
            raise DeclarationError(f"cross_validate has no keyword {name!r}. Use {remedy}.")
    try:
        known = inspect.signature(method).parameters
    except (TypeError, ValueError):  # a callable that doesn't say what it takes
        return
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    own = inspect.signature(cross_validate).parameters if method is fit else known
    for name in keywords:
        if name not in known:
            taken = ("ds", "obs", "seed", "checkpoint")
            raise unknown_keyword("cross_validate", name, [k for k in own if k not in taken])


def _layout(ds: xr.Dataset, obs: str | Mapping[str, str], keywords: Mapping[str, Any]) -> Layout:
    """Roles of the variables, as the method will find them."""
    model = keywords.get("model")
    known = _models.BUNDLED if model is None else (as_model(_models.bundled(model)),)
    chosen = choose_output(ds, obs, known)
    which, _ = next(iter(chosen.values()))
    return recognise(
        ds,
        as_model(which),
        obs={variable: output for variable, (_, output) in chosen.items()},
        forcings=keywords.get("forcings"),
        attributes=keywords.get("attributes"),
        categorical=keywords.get("categorical", ()),
    )


def _fold(
    ds: xr.Dataset, layout: Layout, space: object, folds: int, allowed: xr.DataArray | None
) -> tuple[xr.DataArray, int]:
    """Number of the fold of each cell, and of folds; no folds where no cells are held back."""
    seen = np.zeros(int(np.prod([ds.sizes[d] for d in layout.space], dtype=int)), bool)
    for role in layout.observed.values():
        there = ds[role.variable].notnull().any(layout.time)
        seen |= there.transpose(*layout.space).values.ravel()
    if allowed is not None:
        seen &= np.asarray(allowed.transpose(*layout.space)).ravel()
    if not seen.any():
        raise DataError(
            "no cell has observations, so there is nothing to validate with. Check obs= and cells=."
        )
    number = np.where(seen, 0, NONE)
    if space is not None:
        number = number_folds(ds, layout, seen, space, folds)
    bare = to_grid(number.astype("i4"), ds[list(layout.labels)].reset_coords(), layout)
    return bare.reset_coords(drop=True), 0 if space is None else int(number.max()) + 1


def _held(fold: xr.DataArray, count: int) -> Iterator[xr.DataArray]:
    """The cells held back, fold by fold; none, once, where only times are."""
    if not count:
        yield fold == NONE - 1
    for number in range(count):
        yield fold == number


def _one(
    ds: xr.Dataset,
    layout: Layout,
    call: Callable[..., object],
    split: Split,
    held: xr.DataArray,
    allowed: xr.DataArray | None,
) -> xr.Dataset:
    """Train once and score all cells over the test period."""
    train = ~held if allowed is None else ~held & allowed
    past = getattr(call, "keywords", {}).get("past")
    inside = _within(ds, layout, split.train)
    tested = ds
    if past is not None:  # the network reads it, but not in cells that are held back
        read = _within(ds, layout, past)
        inside = inside | read
        tested = _observed(ds, layout, ~(read & held))
    result = call(_observed(ds, layout, inside & ~held), cells=train, period=split.train)
    if not hasattr(result, "evaluate"):
        raise DeclarationError(
            f"method returned a {type(result).__name__} without evaluate(ds, period). Return an "
            "xdpl.Fit or the like."
        )
    scores: xr.Dataset = result.evaluate(tested, period=split.test).compute()
    return scores


def _within(ds: xr.Dataset, layout: Layout, period: object) -> xr.DataArray:
    time = ds[layout.time]
    return time.isin(time.sel({layout.time: as_slice(period)}))


def _observed(ds: xr.Dataset, layout: Layout, where: xr.DataArray) -> xr.Dataset:
    """Mask all observations but some."""
    names = [role.variable for role in layout.observed.values()]
    return ds.assign({name: ds[name].where(where) for name in names})


def _name(method: object) -> str:
    while isinstance(method, functools.partial):
        method = method.func
    return str(getattr(method, "__name__", type(method).__name__))


def _described(space: object, count: int) -> str:
    if not count:
        return "all cells known"
    kind = {"random": "random cells", "regions": "contiguous regions"}
    name = str(space.name if isinstance(space, xr.DataArray) else space)
    return f"cells never seen: {count} folds of {kind.get(name, f'regions by {name!r}')}"
