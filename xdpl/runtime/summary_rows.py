"""Rows of a summary, (what, words), as plain text and as an HTML table."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ..errors import printable

__all__ = ["rows_as_html", "rows_as_text"]


def rows_as_text(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A line for the title and one for each row; a key that repeats is shown once."""
    lines, last = [title], ""
    for key, value in rows:
        lines.append(f"  {'' if key == last else key:<11}{value}")
        last = key
    return printable("\n".join(lines))


def rows_as_html(name: str, title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A table under a title, for notebooks."""
    cells = "".join(
        f"<tr><th style='text-align:left;vertical-align:top'>{escape(key)}</th>"
        f"<td style='text-align:left'>{escape(printable(value))}</td></tr>"
        for key, value in rows
    )
    return f"<div><strong>{name}</strong> {escape(printable(title))}<table>{cells}</table></div>"
