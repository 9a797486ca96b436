"""An executable as a black box: files written, a command run, files read."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ..errors import DeclarationError, ModelRunError
from ..units import conversion
from ..variables import Forcing, Output, Parameter
from .base import Forcings, Given
from .files import Content, fields_of, fill, write_files

__all__ = ["Column", "CommandLine"]

TOLD = 2000
"""Characters of what a failed command printed that are kept, from its end."""


@dataclass(frozen=True)
class Column:
    """A column of a text file that the command writes, one row for each time step.

    Parameters
    ----------
    file : str
        Its name within the run's folder.
    column : int or str
        Place, from 0 (negative from the end), or name in the header.
    skip : int
        Lines before the first row, or before the header where the column has a name.
    delimiter : str, optional
        Between columns; white space by default.
    units : str, optional
        Units in the file, where they differ from those declared.
    """

    file: str
    column: int | str = 0
    skip: int = 0
    delimiter: str | None = None
    units: str | None = None

    def read(self, folder: Path) -> np.ndarray:
        """Values of the column, (time,)."""
        named = isinstance(self.column, str)
        path = folder / self.file
        if not path.is_file():
            there = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
            raise ModelRunError(
                f"the command wrote no file {self.file!r}; the folder holds {there}.",
                "missing output",
            )
        try:
            table = pd.read_csv(
                path,
                sep=self.delimiter or r"\s+",
                skiprows=self.skip,
                header=0 if named else None,
                skipinitialspace=True,
            )
            column = table[self.column] if named else table.iloc[:, self.column]
        except (ValueError, KeyError, IndexError, OSError) as problem:
            raise ModelRunError(
                f"column {self.column!r} of {self.file!r} can't be read: "
                f"{type(problem).__name__}: {problem}.",
                "missing output",
            ) from problem
        return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


Reader: TypeAlias = Mapping[str, Column] | Callable[[Path], Mapping[str, Any]]


class CommandLine(Given):
    """An executable that reads and writes files.

    Each run gets a directory of its own, in which the input files are written, the command is
    run, and the outputs are read. A status other than 0, a run beyond ``timeout`` and outputs that
    are missing or too short are failures, told with what the command wrote to stderr.

    Parameters
    ----------
    command : sequence of str
        Program and arguments, each a template. No shell is involved.
    forcings, parameters, outputs : mapping of str to Forcing, Parameter, Output
        Declarations by name.
    files : mapping of str to (str, Table, Path or callable)
        Input files by name: a template, a `Table` of the forcings, a file to copy, or a function
        ``write(path, forcings, parameters)``. Templates may name the parameters, ``steps``,
        ``dt``, ``first``, ``last``, ``cell`` and ``folder``.
    read : mapping of str to Column, or callable
        Where each output is found, or a function ``read(folder)`` that gives {output: values}.
    timeout : float
        Seconds after which a run and all that it started are ended.
    environment : mapping of str to str
        Environment variables besides those of this process.
    name : str, optional
        Under which files remember it; that of the program by default.
    **keywords
        ``timesteps``, as of `BlackBox`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        forcings: Mapping[str, Forcing],
        parameters: Mapping[str, Parameter],
        outputs: Mapping[str, Output],
        files: Mapping[str, Content],
        read: Reader,
        timeout: float = 600.0,
        environment: Mapping[str, str] | None = None,
        name: str | None = None,
        **keywords: Any,
    ) -> None:
        if isinstance(command, str) or not command:
            raise DeclarationError(
                f"command is {command!r}. Give program and arguments as a list: "
                '["./model", "input.txt"].'
            )
        named = name or Path(command[0]).stem
        super().__init__(forcings, parameters, outputs, name=named, **keywords)
        if isinstance(read, Mapping) and set(read) != set(outputs):
            raise DeclarationError(
                f"read tells of {', '.join(read) or 'nothing'}; the outputs are "
                f"{', '.join(outputs)}. Give a Column for each."
            )
        self.command, self.files, self.read = tuple(command), dict(files), read
        self.limit, self.environment = timeout, dict(environment or {})

    def run(self, forcings: Forcings, parameters: Mapping[str, Any]) -> dict[str, Any]:
        write_files(self.files, forcings, parameters)
        fields = fields_of(forcings, parameters)
        self._call([fill(part, fields) for part in self.command], forcings.folder)
        if callable(self.read):
            return dict(self.read(forcings.folder))
        found = {}
        for name, column in self.read.items():
            values = column.read(forcings.folder)
            if column.units is not None:
                scale, offset = conversion(column.units, self.outputs[name].units, variable=name)
                values = values * scale + offset
            found[name] = values
        return found

    def _call(self, command: list[str], folder: Path) -> None:
        said = folder / "stdout.txt", folder / "stderr.txt"
        with open(said[0], "wb") as out, open(said[1], "wb") as err:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env={**os.environ, **self.environment},
                    start_new_session=os.name == "posix",
                )
            except OSError as problem:
                raise ModelRunError(
                    f"{command[0]!r} can't be started: {problem.strerror or problem}. Give the "
                    "full path of an executable.",
                    "not started",
                ) from problem
            try:
                status = process.wait(self.limit)
            except BaseException as problem:
                _end(process)
                if not isinstance(problem, subprocess.TimeoutExpired):
                    raise
                raise ModelRunError(
                    f"{command[0]!r} was ended after {self.limit:g} s.{_told(said)}", "timeout"
                ) from None
        if status:
            raise ModelRunError(
                f"{command[0]!r} ended with status {status}.{_told(said)}", f"status {status}"
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it has started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _told(said: Sequence[Path]) -> str:
    """What the command wrote last: to stderr, or, if nothing there, to stdout."""
    for path, kind in ((said[1], "stderr"), (said[0], "stdout")):
        with open(path, "rb") as file:  # only its end: it may be larger than memory
            file.seek(max(0, path.stat().st_size - 4 * TOLD))
            text = file.read().decode("utf-8", "replace").strip()
        if text:
            return f" Its {kind}: {text[-TOLD:]}"
    return " It wrote nothing to stderr."
