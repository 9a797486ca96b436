"""What the studies share: rows kept as they come, the cost of a fit, medians, tables."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xdpl
from xdpl import validation
from xdpl.validation.direct import Direct

Row = dict[str, Any]
CELL_BY_CELL = ("calibrate", "SCE-UA")
"""Methods that know nothing of other cells."""


def methods(sets: int, past: slice, **carried: Any) -> dict[str, Any]:
    """All methods by name, in the order of the tables: one with several sets, some carried on.

    ``past`` is what the network of gZ reads of the observations; it takes no part in its loss.
    """
    one_set = functools.partial(xdpl.fit, components=1, climate=False)
    return {
        "defaults": validation.defaults,
        "uniform": validation.uniform,
        "gA": functools.partial(one_set, deviations=False),
        "gZ": functools.partial(one_set, deviations=False, past=past),
        "mixed effects": one_set,
        f"mixed effects, {sets} sets": functools.partial(one_set, components=sets),
        "calibrate": validation.calibrate,
        "SCE-UA": validation.sce_ua,
        **carried,
        "LSTM": validation.lstm,
    }


class Rows:
    """Rows of a study, written to a file of JSON lines as they come.

    Parameters
    ----------
    path : Path, optional
        Rows that it holds are not computed again: an interrupted study goes on. Without it
        everything is computed.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.found: list[Row] = []
        if path is not None and path.exists():
            self.found = [json.loads(line) for line in path.read_text().splitlines()]

    def has(self, **key: Any) -> bool:
        """Whether the row is there."""
        return any(key.items() <= row.items() for row in self.found)

    def __call__(self, make: Callable[[], Mapping[str, Any]], **key: Any) -> Row:
        """Return the row of a key, made if it is not there."""
        for row in self.found:
            if key.items() <= row.items():
                return row
        row = {**key, **make()}
        self.found.append(row)
        print("  ".join(f"{k} {_text(v)}" for k, v in row.items()), flush=True)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        return row


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.0f}"
    return str(value)


def medians(scores: xr.Dataset, where: xr.DataArray, names: Sequence[str], ahead: str) -> Row:
    """Median of each score over the cells that have one, and their number."""
    inside = where & (scores.n > 0)
    row: Row = {f"{ahead}_{k}": _median(scores[k].where(inside)) for k in names}
    row[f"{ahead}_cells"] = int(np.isfinite(scores[names[0]].where(inside)).sum())
    return row


def _median(values: xr.DataArray) -> float | None:
    found = float(values.median())
    return found if np.isfinite(found) else None


def cost(fit: xdpl.Fit) -> Row:
    """Seconds of a fit, and runs of the model over the training period, for each training cell.

    A step of training runs a window and its spin-up forward and backward and counts by its days,
    once; the backward run costs about two more. An LSTM in the model's place runs no model.
    """
    record, settings = fit.record, fit.settings
    cells = record["cells"]
    row: Row = {"trained_cells": cells, "seconds_a_cell": record["seconds"] / cells}
    if isinstance(fit, Direct):
        return row | {"runs_a_cell": None}
    if "evaluations" in record:
        return row | {"runs_a_cell": record["evaluations"]}
    first, last = (np.datetime64(day) for day in settings["period"])
    days = int((last - first) / np.timedelta64(1, "D")) + 1
    window, warmup = min(365, days), settings["warmup_days"]
    rounds = max(1, round(days / window)) * (settings["epochs"] if record["loss"] else 0)
    return row | {"runs_a_cell": rounds * (window + warmup) / (days + warmup)}


def averaged(rows: Iterable[Row], by: Sequence[str]) -> list[Row]:
    """Mean over the seeds of rows that agree in ``by``; ``NAME_sd`` is the spread over seeds."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in by), []).append(row)
    return [_mean(group, by) for group in groups.values()]


def _mean(group: Sequence[Row], by: Sequence[str]) -> Row:
    mean: Row = {k: group[0][k] for k in by} | {"seeds": len(group)}
    for name, value in {k: v for row in group for k, v in row.items()}.items():
        if name in by or name == "seed" or isinstance(value, str):
            continue
        values = [row[name] for row in group if row.get(name) is not None]
        mean[name] = float(np.mean(values)) if values else None
        if len(values) > 1:
            mean[f"{name}_sd"] = float(np.std(values, ddof=1))
    return mean


def figure(row: Row, name: str, digits: int = 4) -> str:
    """Text of a mean and its spread over seeds; a dash where there is none."""
    if row.get(name) is None:
        return "-"
    text = f"{row[name]:.{digits}f}"
    spread = row.get(f"{name}_sd")
    return text if spread is None else f"{text} ± {spread:.{digits}f}"


def write_table(path: Path, head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV, which the documentation shows, and print it."""
    lines = [list(line) for line in lines]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *lines])
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    for line in (head, *lines):
        print("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)))
