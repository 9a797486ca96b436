"""Versions of xdpl, of what it needs and of the machine, for a report of a problem."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from typing import TextIO

__all__ = ["show_versions"]


def show_versions(file: TextIO | None = None) -> None:
    """Print versions of xdpl, Python, all its dependencies, and which GPUs there are.

    Parameters
    ----------
    file : file, optional
        Where to; the standard output by default.

    Examples
    --------
    >>> import xdpl
    >>> xdpl.show_versions()
    xdpl ...
    """
    import torch

    def line(name: str, value: object) -> None:
        (file or sys.stdout).write(f"{name:<15} {value}\n")

    line("xdpl", _version("xdpl"))
    line("python", platform.python_version())
    line("system", f"{platform.platform()}, {os.cpu_count()} cores")
    for name in _dependencies():
        line(name, _version(name))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    line("GPU", ", ".join(gpus) or "none")


def _dependencies() -> list[str]:
    """Names of the packages that xdpl needs, and of optional ones, each once."""
    try:
        declared = importlib.metadata.requires("xdpl") or []
    except importlib.metadata.PackageNotFoundError:  # a source tree that was not installed
        declared = ["xarray", "numpy", "pandas", "dask", "torch"]
    own = re.compile(r"extra == ['\"](dev|docs|test|tutorials)['\"]")
    kept = (one for one in declared if not own.search(one))
    names = (re.split(r"[\[<>=!~; ]", one, maxsplit=1)[0] for one in kept)
    return [name for name in dict.fromkeys(names) if name != "xdpl"]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
