"""The house rules: floors, short files, no traces of one machine, a quick and silent import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
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


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Modules of the package that one imports: anywhere, in functions and for types as well."""
    here = module_name(path).split(".")
    package = here if path.name == "__init__.py" else here[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
    return (found & modules) - {".".join(here)}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules of which each imports all others, if only by way of others."""
    reached = {}
    for name in edges:
        seen, stack = set(), [name]
        while stack:
            fresh = edges[stack.pop()] - seen
            seen |= fresh
            stack += fresh
        reached[name] = seen
    groups = {
        frozenset(b for b in reached[a] if a in reached[b]) for a in reached if a in reached[a]
    }
    return sorted(sorted(group) for group in groups)


def test_no_module_imports_itself_by_way_of_others():
    modules = {module_name(path) for path in SOURCES}
    edges = {module_name(path): imported_modules(path, modules) for path in SOURCES}
    assert len(edges) > 100 and "xdpl.errors" in edges["xdpl.process"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]
    assert not circles(edges), f"modules that import each other: {circles(edges)}"


LONG_FUNCTIONS = {
    "xdpl.engine.tracing.trace_step": "two closures over the same shapes, which torch traces",
    "xdpl.fitting.run.fit": "the order of a fit, one call a line, with its 28 keywords",
    "xdpl.plot.figure.plot": "the order of a figure, one call a line",
    "xdpl.tutorial.mopex._characteristics": "a table of basin attributes",
    "xdpl.units.remedy": "a list of remedies, the most likely first",
    "xdpl.validation.prepare.prepare": "the keywords of fit that baselines take, checked in order",
}
"""Functions whose body is longer than 40 lines, and why; this list only ever gets shorter."""


def functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods below a node by their full names, inner functions included."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.ClassDef)
        name = f"{prefix}.{child.name}" if named else prefix
        if isinstance(child, ast.FunctionDef):
            yield name, child
        yield from functions(child, name)


def body_lines(function: ast.FunctionDef) -> int:
    """Lines below the signature, without the docstring."""
    first, last = function.body[0], function.end_lineno
    if ast.get_docstring(function) is None:
        return last - first.lineno + 1
    return last - first.end_lineno


def test_functions_are_short():
    long = {
        name
        for path in SOURCES
        for name, function in functions(
            ast.parse(path.read_text(encoding="utf-8")), module_name(path)
        )
        if body_lines(function) > 40
    }
    new = sorted(long - set(LONG_FUNCTIONS))
    assert not new, f"longer than 40 lines, split them: {', '.join(new)}"
    short = sorted(set(LONG_FUNCTIONS) - long)
    assert not short, f"short by now, take them off the list: {', '.join(short)}"


def test_lines_of_a_body_are_counted_without_its_docstring():
    code = 'def f(\n    a,\n):\n    """One.\n\n    Two.\n    """\n    a += 1\n    return a\n'
    assert body_lines(ast.parse(code).body[0]) == 2


ANY_PER_1000_LINES = 5
"""Uses of `Any` that are allowed, where a foreign library or a user's value forces them."""


def test_any_is_an_exception():
    uses = lines = 0
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        lines += sum(bool(line.strip()) for line in text.splitlines())
        uses += sum(
            isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(ast.parse(text))
        )
    found = 1000 * uses / lines
    assert found <= ANY_PER_1000_LINES, f"{found:.1f} uses of Any per 1000 lines"


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
