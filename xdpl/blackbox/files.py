"""Input files of a run: templates filled in, tables of the forcings, copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import DeclarationError
from .base import Forcings

__all__ = ["Content", "Table", "fields_of", "fill", "write_files"]


@dataclass(frozen=True)
class Table:
    """A text file with one row for each time step.

    Parameters
    ----------
    row : str
        Template of a row: ``"{time:%Y-%m-%d};{precipitation:.3f}"``, with the forcings by name.
    header, footer : str
        Templates of what stands before and after the rows, such as names of columns.
    """

    row: str
    header: str = ""
    footer: str = ""

    def text(self, forcings: Forcings, fields: Mapping[str, Any]) -> str:
        """The whole file."""
        names = ["time", *forcings]
        columns = zip(forcings.time, *forcings.values(), strict=True)
        rows = [
            fill(self.row, {**fields, **dict(zip(names, values, strict=True))})
            for values in columns
        ]
        ends = (fill(part, fields) for part in (self.header, self.footer))
        header, footer = (f"{part.rstrip(os.linesep)}\n" if part else "" for part in ends)
        return f"{header}{chr(10).join(rows)}\n{footer}"


Content: TypeAlias = str | Table | Path | Callable[[Path, Forcings, Mapping[str, Any]], object]
"""A template, a `Table`, a file to copy, or a function ``write(path, forcings, parameters)``."""


def fields_of(forcings: Forcings, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What templates may name besides the forcings of a row."""
    return {
        **parameters,
        "steps": len(forcings.time),
        "dt": forcings.dt,
        "first": forcings.time[0],
        "last": forcings.time[-1],
        "cell": forcings.cell,
        "folder": str(forcings.folder),
    }


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """Fill in a template, by the rules of ``str.format``."""
    try:
        return template.format(**fields)
    except (KeyError, IndexError, ValueError) as problem:
        raise DeclarationError(
            f"the template {_short(template)!r} can't be filled in: {type(problem).__name__}: "
            f"{problem}. It may name {', '.join(fields)}; write braces of the file itself twice, "
            "as {{ and }}."
        ) from problem


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def write_files(
    files: Mapping[str, Content], forcings: Forcings, parameters: Mapping[str, Any]
) -> None:
    """Write the input files of a run into its folder."""
    fields = fields_of(forcings, parameters)
    for name, content in files.items():
        path = forcings.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Table):
            path.write_text(content.text(forcings, fields), encoding="utf-8")
        elif isinstance(content, str):
            path.write_text(fill(content, fields), encoding="utf-8")
        elif isinstance(content, Path):
            shutil.copy(content, path)
        else:
            content(path, forcings, parameters)
