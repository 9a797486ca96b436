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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..blackbox import Failure, Outcome
from ..errors import FitFileError
from ..runtime.files import check_writable, write_safely
from ..runtime.locks import locked
from .design import needs
from .store_checks import as_failure, check_arrays, disk_errors, read_batches

__all__ = ["CHUNK", "DONE", "PENDING", "RunStore", "held"]

CHUNK = 256
"""Runs in a chunk of the arrays."""

PENDING, DONE, FAILED = 0, 1, 2


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep out other threads and processes that use the same store; they wait.

    Raises
    ------
    FitFileError
        The folder can't be written to.
    """
    check_writable(folder, "runs")
    with locked(folder / ".xdpl-lock", f"the runs in {str(folder)!r}"):
        yield


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
        self.parameters, self.outputs, self.steps = parameters, outputs, steps
        check_writable(self.journal, "runs")
        with disk_errors(self.folder):
            self._group = zarr.open_group(self.folder / "runs.zarr", mode="a")
            known = dict(self._group.attrs)
            if "identity" in known:
                self._same(known["identity"], identity)
            else:
                self._create(identity)
        try:
            self.batches = read_batches(self._group.attrs["batches"])
            count = sum(batch["count"] for batch in self.batches)
            check_arrays(self._group, self._shapes(), count)
            self.status: NDArray[np.int8] = np.asarray(self._group["status"][:count])
            self.cell: NDArray[np.int32] = np.asarray(self._group["cell"][:count])
            self.parameter: NDArray[np.float64] = np.asarray(self._group["parameter"][:count])
        except Exception as problem:  # whatever a damaged or foreign store leads to
            raise FitFileError(
                f"{str(self.folder)!r} can't be read as runs: {type(problem).__name__}: "
                f"{str(problem)[:200]}. Use another folder."
            ) from problem

    def _shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape of a run and type of each array."""
        return {
            "status": ((), "int8"),
            "cell": ((), "int32"),
            "parameter": ((len(self.parameters),), "float64"),
            **{f"output.{name}": ((self.steps,), "float32") for name in self.outputs},
        }

    def _create(self, identity: Mapping[str, str]) -> None:
        group = self._group
        for name, (shape, kind) in self._shapes().items():
            group.create_array(
                name, shape=(0, *shape), chunks=(CHUNK, *shape), dtype=kind, overwrite=True
            )
        group.attrs["parameters"] = self.parameters
        group.attrs["batches"] = []
        group.attrs["identity"] = dict(identity)  # last: a store without it is made anew

    def _same(self, found: object, here: Mapping[str, str]) -> None:
        there = found if isinstance(found, dict) else {}
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
        self, kind: str, cell: NDArray[np.generic], parameter: NDArray[np.float64], digest: str = ""
    ) -> None:
        """Append runs to be made: cells (run,) and parameters (run, parameter).

        Runs of a kind are told apart by the digest of what they were chosen for, such as
        observations and settings.
        """
        old, new = len(self), len(self) + len(cell)
        for name in ("status", "cell", "parameter", *(f"output.{n}" for n in self.outputs)):
            array = self._group[name]
            array.resize((new, *array.shape[1:]))
        self._group["status"][old:new] = np.zeros(len(cell), np.int8)
        self._group["cell"][old:new] = cell.astype(np.int32)
        self._group["parameter"][old:new] = parameter
        self.batches.append({"kind": kind, "count": len(cell), "digest": digest})
        self._group.attrs["batches"] = self.batches  # last: what is not counted is written over
        self.status = np.r_[self.status, np.zeros(len(cell), np.int8)]
        self.cell = np.r_[self.cell, cell.astype(np.int32)]
        self.parameter = np.concatenate([self.parameter, parameter])

    def of_kind(self, kind: str, digest: str = "") -> NDArray[np.intp]:
        """Numbers of the runs of a kind that were chosen for one digest, in order."""
        ends = np.cumsum([0, *(batch["count"] for batch in self.batches)])
        numbers = [
            np.arange(ends[i], ends[i + 1])
            for i, batch in enumerate(self.batches)
            if batch["kind"] == kind and batch["digest"] == digest
        ]
        return np.concatenate(numbers) if numbers else np.empty(0, np.intp)

    def keep(self, outcome: Outcome, failure: Failure | None) -> None:
        """Write one run to the journal, whole or not at all."""
        if failure is None:
            values = io.BytesIO()
            np.save(values, np.stack([outcome.values[n] for n in self.outputs]))
            write_safely(self.journal / f"{outcome.number}.npy", values.getvalue())
        else:
            content = json.dumps(vars(failure)).encode()
            write_safely(self.journal / f"{outcome.number}.json", content)

    def in_journal(self) -> tuple[set[int], dict[int, Failure]]:
        """Numbers of the runs that the journal holds, and what it tells of failed ones."""
        done, failed = set(), {}
        for path in self.journal.iterdir():
            if not path.stem.isdecimal() or int(path.stem) >= len(self):
                continue  # none of ours
            if path.suffix == ".npy":
                done.add(int(path.stem))
            elif path.suffix == ".json":
                with suppress(ValueError, TypeError, KeyError, OSError):  # it is made again
                    record = json.loads(path.read_text(encoding="utf-8"))
                    failed[int(path.stem)] = as_failure(record)
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
                block[number - start] = self._journalled(number)[i] if number in done else np.nan
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

    def _journalled(self, number: int) -> NDArray[np.float32]:
        """Outputs of a run in the journal, (output, time)."""
        path = self.journal / f"{number}.npy"
        values = np.load(path, allow_pickle=False, mmap_mode="r")  # no more memory than it has
        if values.shape != (len(self.outputs), self.steps) or values.dtype.kind != "f":
            raise FitFileError(
                f"{str(path)!r} holds no run of this store: {values.dtype} of shape "
                f"{values.shape}, not {(len(self.outputs), self.steps)}. Remove it, and make the "
                "same call again."
            )
        return values

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
                record = json.loads(line)
                number = record.pop("run")
                found[number] = as_failure(record)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # cut off in the middle of a line: it was written again
        return {
            n: failure
            for n, failure in found.items()
            if type(n) is int and 0 <= n < len(self) and self.status[n] == FAILED
        }

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
