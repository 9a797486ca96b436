"""The house rules: floors, short files, no traces of one machine, a quick and silent import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "xdpl").rglob("*.py"))
TEXTS = [
    path
    for pattern in ("*.py", "*.md", "*.toml", "*.cfg", "*.txt", "*.yaml", ".ci/*")
    for folder in ("", "xdpl/**/", "tests/**/", "docs/**/", "tutorials/**/")
    for path in ROOT.glob(folder + pattern)
    if path.is_file() and not {"_build", "generated"} & set(path.parts)
]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, without what pytest has imported by now."""
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )


def test_modules_import_from_lower_floors_only(monkeypatch, capsys):
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    monkeypatch.chdir(ROOT)
    status = lint_imports(no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_hold_one_thought(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 400, f"{relative(path)} has {len(lines)} lines; split it."


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_public_names_are_documented_and_typed(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{relative(path)} has no docstring."
    bare = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.returns is None and node.name != "__init__"
    ]
    assert not bare, f"{relative(path)}: no return type for {', '.join(bare)}."


def test_nothing_names_a_machine():
    home = re.compile(r"(?<![\w.~/-])/(?:home|root|work|tmp|mnt|opt|Users)/\w")
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if home.search(line)
    ]
    assert not found, "\n".join(found)


def test_import_is_silent_and_leaves_torch_alone():
    done = python("import sys, xdpl; sys.exit('torch' in sys.modules)", "-W", "error")
    assert done.stdout == "" and done.stderr == ""


def test_import_adds_little_to_that_of_xarray():
    code = "import time, xarray; t = time.perf_counter(); import xdpl; print(time.perf_counter()-t)"
    fastest = min(float(python(code).stdout) for _ in range(3))
    assert fastest < 0.5, f"import xdpl takes {fastest:.2f} s on top of xarray."


def test_every_export_can_be_loaded_and_is_listed():
    import xdpl

    for name in xdpl.__all__:
        assert getattr(xdpl, name) is not None
    assert set(xdpl.__all__) <= set(dir(xdpl))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = xdpl.nonsense


def test_version_is_that_of_the_metadata():
    import xdpl

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert xdpl.__version__ == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    names = {re.split(r"[\[<>=]", entry)[0].lower() for entry in wanted} - {"xdpl"}
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    missing = sorted(n for n in names if f"\n{n.replace('_', '-')}==" not in pins)
    assert not missing, f"constraints.txt doesn't pin {', '.join(missing)}."


def test_run_script_refuses_what_it_does_not_know():
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "run.py demo" in done.stdout and "run.py test" in done.stdout
