"""show_versions: what a report of a problem needs."""

import io
import sys

import torch

import xdpl


def test_it_prints_versions_of_what_is_needed_and_names_what_is_missing(capsys, monkeypatch):
    xdpl.show_versions()
    printed = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert rows["xdpl"] == xdpl.__version__
    assert rows["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"python", "xarray", "GPU"} <= set(rows)
    assert "sphinx" not in rows and "pytest" not in rows


def test_it_writes_where_it_is_asked_to(monkeypatch):
    from xdpl import versions

    monkeypatch.setattr(versions, "_dependencies", lambda: ["nonsense-of-nobody"])
    file = io.StringIO()
    xdpl.show_versions(file)
    assert "nonsense-of-nobody not installed\n" in file.getvalue()
    assert f"python          {sys.version.split()[0]}" in file.getvalue()
