"""The runs of a true model in a zarr store: kept one by one, resumed, extended.

A run that ends is written to the journal at once, as a file of its own, which is there whole or not
at all. When all runs of a chunk have ended, the chunk is written to the zarr arrays, then marked as
done, then its files in the journal go. So whenever it is cut off, what was run is kept.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blackbox import Failure, Outcome
from ..errors import FitFileError
from ..runtime.files import write_safely
from .design import needs

__all__ = ["CHUNK", "DONE", "PENDING", "RunStore"]

CHUNK = 256
"""Runs in a chunk of the arrays."""

PENDING, DONE, FAILED = 0, 1, 2


class RunStore:
    """A folder with ``runs.zarr`` and a journal of the runs since its last chunk.

    Parameters
    ----------
    folder : path
        Made where it does not exist.
    identity : dict of str to str
        What the runs are of; those of anything else are refused.
    parameters, outputs : list of str
        Names.
    steps : int
        Of each run.
    """

    def __init__(
        self,
        folder: str | Path,
        identity: Mapping[str, str],
        parameters: list[str],
        outputs: list[str],
        steps: int,
    ) -> None:
        zarr = needs("zarr")
        self.folder, self.journal = Path(folder), Path(folder) / "journal"
        try:
            self.journal.mkdir(parents=True, exist_ok=True)
            self._group = zarr.open_group(self.folder / "runs.zarr", mode="a")
        except OSError as problem:
            raise FitFileError(
                f"can't write runs to {str(folder)!r}: {problem.strerror or problem}. Choose a "
                "folder that you may write to."
            ) from problem
        self.parameters, self.outputs, self.steps = parameters, outputs, steps
        if "identity" in self._group.attrs:
            self._same(dict(self._group.attrs["identity"]), identity)
        else:
            self._create(identity)
        self.batches: list[dict[str, Any]] = list(self._group.attrs["batches"])
        count = sum(batch["count"] for batch in self.batches)
        self.status: NDArray[np.int8] = np.asarray(self._group["status"][:count])
        self.cell: NDArray[np.int32] = np.asarray(self._group["cell"][:count])
        self.parameter: NDArray[np.float64] = np.asarray(self._group["parameter"][:count])

    def _create(self, identity: Mapping[str, str]) -> None:
        group, width = self._group, len(self.parameters)
        for name, shape, chunks, kind in [
            ("status", (0,), (CHUNK,), "int8"),
            ("cell", (0,), (CHUNK,), "int32"),
            ("parameter", (0, width), (CHUNK, width), "float64"),
            *(
                (f"output.{name}", (0, self.steps), (CHUNK, self.steps), "float32")
                for name in self.outputs
            ),
        ]:
            group.create_array(name, shape=shape, chunks=chunks, dtype=kind, overwrite=True)
        group.attrs["parameters"] = self.parameters
        group.attrs["batches"] = []
        group.attrs["identity"] = dict(identity)  # last: a store without it is made anew

    def _same(self, there: Mapping[str, str], here: Mapping[str, str]) -> None:
        for name in here:
            if there.get(name) != here[name]:
                raise FitFileError(
                    f"{str(self.folder)!r} holds runs of something else: {name} is "
                    f"{str(there.get(name))[:80]}, not {here[name][:80]}. Use another folder, or "
                    "the same model, bounds, cells and period."
                )

    def __len__(self) -> int:
        return len(self.status)

    def add(
        self, kind: str, cell: NDArray[Any], parameter: NDArray[np.float64], purpose: str = ""
    ) -> None:
        """Append runs to be made: cells (run,) and parameters (run, parameter).

        Runs of a kind that were chosen for another purpose, such as for other observations, are
        kept apart.
        """
        old, new = len(self), len(self) + len(cell)
        for name in ("status", "cell", "parameter", *(f"output.{n}" for n in self.outputs)):
            array = self._group[name]
            array.resize((new, *array.shape[1:]))
        self._group["status"][old:new] = np.zeros(len(cell), np.int8)
        self._group["cell"][old:new] = cell.astype(np.int32)
        self._group["parameter"][old:new] = parameter
        self.batches.append({"kind": kind, "count": len(cell), "purpose": purpose})
        self._group.attrs["batches"] = self.batches  # last: what is not counted is written over
        self.status = np.r_[self.status, np.zeros(len(cell), np.int8)]
        self.cell = np.r_[self.cell, cell.astype(np.int32)]
        self.parameter = np.concatenate([self.parameter, parameter])

    def of_kind(self, kind: str, purpose: str = "") -> NDArray[np.intp]:
        """Numbers of the runs of a kind that were chosen for a purpose, in order."""
        ends = np.cumsum([0, *(batch["count"] for batch in self.batches)])
        parts = [
            np.arange(ends[i], ends[i + 1])
            for i, batch in enumerate(self.batches)
            if batch["kind"] == kind and batch.get("purpose", "") == purpose
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.intp)

    def keep(self, outcome: Outcome, failure: Failure | None) -> None:
        """Write one run to the journal, whole or not at all."""
        if failure is None:
            content = io.BytesIO()
            np.save(content, np.stack([outcome.values[n] for n in self.outputs]))
            write_safely(self.journal / f"{outcome.number}.npy", content.getvalue())
        else:
            told = json.dumps(vars(failure)).encode()
            write_safely(self.journal / f"{outcome.number}.json", told)

    def in_journal(self) -> tuple[set[int], dict[int, Failure]]:
        """Numbers of the runs that the journal holds, and what it tells of failed ones."""
        done = {int(path.stem) for path in self.journal.glob("*.npy")}
        failed = {
            int(path.stem): Failure(**json.loads(path.read_text(encoding="utf-8")))
            for path in self.journal.glob("*.json")
        }
        return done, failed

    def fold(self, start: int, stop: int) -> None:
        """Move the runs of a chunk, all of which have ended, from the journal to the arrays."""
        done, failed = self.in_journal()
        new = [n for n in range(start, stop) if n in done or n in failed]
        if not new:
            return
        for i, name in enumerate(self.outputs):
            array = self._group[f"output.{name}"]
            block = np.asarray(array[start:stop])
            for number in new:
                block[number - start] = (
                    np.load(self.journal / f"{number}.npy", allow_pickle=False)[i]
                    if number in done
                    else np.nan
                )
            array[start:stop] = block
        with open(self.folder / "failures.jsonl", "a", encoding="utf-8") as file:
            for number in new:
                if number in failed:
                    file.write(json.dumps({"run": number, **vars(failed[number])}) + "\n")
        for number in new:
            self.status[number] = DONE if number in done else FAILED
        self._group["status"][start:stop] = self.status[start:stop]
        for number in new:
            for kind in ("npy", "json"):
                (self.journal / f"{number}.{kind}").unlink(missing_ok=True)

    def forget_failures(self) -> None:
        """Let failed runs be made again: the model may be put right by then."""
        for path in self.journal.glob("*.json"):
            path.unlink()
        self.status[self.status == FAILED] = PENDING
        self._group["status"][:] = self.status

    def failures(self) -> dict[int, Failure]:
        """What is known of each failed run."""
        path = self.folder / "failures.jsonl"
        if not path.exists():
            return {}
        found = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                told = json.loads(line)
                number = told.pop("run")
                found[number] = Failure(**told)
            except (ValueError, KeyError, TypeError):
                continue  # cut off in the middle of a line: it was written again
        return {n: failure for n, failure in found.items() if self.status[n] == FAILED}

    def mapped(self, runs: NDArray[np.intp]) -> NDArray[np.float32]:
        """Outputs of some runs, (run, time, output), by number; those of all others are 0.

        They lie in a file without a name beside the runs, which is mapped into memory: its pages
        are read when they are used, and let go of where memory is short. What is held meanwhile
        is a chunk of runs.

        Raises
        ------
        FitFileError
            The disk has no room for it: runs x steps x outputs x 4 bytes.
        """
        shape = (len(self), self.steps, len(self.outputs))
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.truncate(4 * math.prod(shape))
                for chunk in np.unique(runs // CHUNK):
                    part = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, len(self)))
                    block = [np.asarray(self._group[f"output.{n}"][part]) for n in self.outputs]
                    file.seek(4 * part.start * math.prod(shape[1:]))
                    file.write(np.stack(block, axis=-1).data)
                file.flush()
                return np.memmap(file, np.float32, "r+", shape=shape)
        except OSError as problem:
            raise FitFileError(
                f"can't lay out the {len(runs)} runs of {str(self.folder)!r} for training: "
                f"{problem.strerror or problem}. Make room there for "
                f"{4e-9 * math.prod(shape):.3g} GB, or choose another store=."
            ) from problem

    def all_but(self, runs: NDArray[np.intp]) -> dict[str, int]:
        """How many runs there are of each kind, but for some."""
        left = ~np.isin(np.arange(len(self)), runs)
        found: dict[str, int] = {}
        start = 0
        for batch in self.batches:
            stop = start + batch["count"]
            if count := int(left[start:stop].sum()):
                found[batch["kind"]] = found.get(batch["kind"], 0) + count
            start = stop
        return found
