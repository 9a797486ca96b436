#!/usr/bin/env python3
"""Run xdpl on a machine that has Python 3.11+ and pip, and nothing else.

python3 run.py demo    install into .venv, learn parameters, write the maps (see xdpl/demo.py)
python3 run.py test    install into .venv, then check style and types, then run all tests
                       (floors, docs and tutorials are tests, too)

What follows ``demo`` or ``test`` goes to the demo or to pytest. The environment variable
XDPL_VENV names another folder for the virtual environment. Uses the standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("XDPL_VENV") or ROOT / ".venv").absolute()
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
EXTRAS = {"demo": "viz", "test": "test,tutorials,docs,dev"}

CHECKS = {
    "ruff": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
}
COVERAGE = ["--cov", "--cov-report=term", "--cov-fail-under=90", "--durations=15"]
# The tests of a file share what is costly to make; more workers than this only wait for the docs.
SIDE_BY_SIDE = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]


def run(*command: str | Path) -> int:
    """Run a command in the repository; its output goes to the terminal."""
    print("$", *command, flush=True)
    # Threads that sleep while they wait, instead of spinning: on a machine that does something else
    # as well, spinning makes small torch operations many times slower.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    return subprocess.call([str(part) for part in command], cwd=ROOT, env=environment)


def module(*arguments: str) -> int:
    """Run a module with the Python of the virtual environment."""
    return run(PYTHON, "-m", *arguments)


def create_environment() -> int:
    """Make the virtual environment where there is none yet."""
    if PYTHON.exists():
        return 0
    if run(sys.executable, "-m", "venv", VENV) == 0:
        return 0
    # Some systems ship venv without ensurepip; the pip outside can fill the environment too.
    return run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)


def install(extras: str) -> int:
    """Install this checkout, editable, in the versions of constraints.txt."""
    what = ["install", "--quiet", "-c", "constraints.txt", "-e", f".[{extras}]"]
    inside = subprocess.call([str(PYTHON), "-m", "pip", "--version"], stdout=subprocess.DEVNULL)
    if inside == 0:
        return module("pip", *what)
    return run(sys.executable, "-m", "pip", "--python", PYTHON, *what)


def test(arguments: list[str]) -> int:
    """Run every check, also after one has failed; pytest comes last."""
    failed = [name for name, command in CHECKS.items() if module(*command)]
    # Arguments usually choose some of the tests, and these alone can't cover the package.
    if module("pytest", *(arguments or [*SIDE_BY_SIDE, *COVERAGE])):
        failed.append("pytest")
    print(f"failed: {', '.join(failed)}" if failed else "style, types and tests: all green")
    return bool(failed)


def main(arguments: list[str]) -> int:
    """Prepare the environment and run what was asked; the exit status tells how it went."""
    if sys.version_info < (3, 11):
        print(f"Python {sys.version.split()[0]} runs this, but xdpl needs 3.11 or newer.")
        return 2
    if not arguments or arguments[0] not in EXTRAS:
        print(__doc__)
        return 2
    what, *rest = arguments
    start = time.monotonic()
    if create_environment() or install(EXTRAS[what]):
        print(f"Can't install xdpl into {VENV}; see pip's message above.")
        return 1
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)
    return test(rest) if what == "test" else module("xdpl.demo", *rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
