"""The documentation builds without a warning, and what it runs runs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_documentation_builds_without_warnings(repository, tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", repository / "docs", tmp_path / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path / "html").as_posix() for path in tmp_path.rglob("*.html")}
    assert "index.html" in pages
    assert "reference/generated/xarray.Dataset.dpl.fit.html" in pages


def test_every_page_is_listed_and_every_listed_page_is_there(repository):
    docs = repository / "docs"
    index = (docs / "index.md").read_text(encoding="utf-8")
    listed = {
        line.strip()
        for block in re.findall(r"```\{toctree\}\n(.*?)```", index, re.S)
        for line in block.splitlines()
        if line.strip() and not line.startswith(":")
    }
    there = {
        path.relative_to(docs).with_suffix("").as_posix()
        for path in docs.rglob("*.md")
        if not {"_build", "generated"} & set(path.parts)
    } - {"index"}
    assert listed == there


def test_readme_fits_on_a_screen_and_its_links_hold(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (repository / target).exists(), f"README.md links to {target}, which is not there."
    for target in re.findall(r'src="(?!https?:)([^"]+)"', text):
        assert (repository / target).exists(), f"README.md shows {target}, which is not there."


def test_changelog_has_each_entry_once(repository):
    lines = (repository / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    marks = [line for line in lines if line.startswith(("<<<<<<<", "=======", ">>>>>>>"))]
    assert not marks, f"CHANGELOG.md has marks of a merge: {marks}"
    version = re.split(r"^## ", "\n".join(lines), flags=re.M)[1]
    groups = re.findall(r"^### (\w+)", version, re.M)
    assert groups == [g for g in ("Added", "Changed", "Fixed", "Removed") if g in groups]
    entries = [line for line in version.splitlines() if line.startswith("- ")]
    twice = {line for line in entries if entries.count(line) > 1}
    assert not twice, f"CHANGELOG.md has twice: {twice}"
