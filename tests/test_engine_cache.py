"""Compiled code on disk: found again, and never in the way."""

import os
import stat
import subprocess
import sys

import pytest
import torch

from xdpl.engine import cache, fused, jit, simulate

from .engine_models import Bucket, inputs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and an engine that has compiled nothing yet."""
    monkeypatch.setenv("XDPL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(fused, "_LOOPS", {})
    return tmp_path / "cache"


@pytest.fixture
def compilations(monkeypatch):
    """Counts how often LLVM compiles."""
    count = []
    compile_ = jit._machine_code
    monkeypatch.setattr(jit, "_machine_code", lambda *a: count.append(1) or compile_(*a))
    return count


def simulated(monkeypatch):
    monkeypatch.setattr(fused, "_LOOPS", {})
    return simulate(Bucket(), *inputs(Bucket()), engine="fused")[0]["runoff"]


def test_a_second_process_finds_the_code(folder, compilations, monkeypatch):
    first = simulated(monkeypatch)
    assert len(compilations) == 1
    assert len(list(folder.iterdir())) == 1
    assert torch.equal(simulated(monkeypatch), first)
    assert len(compilations) == 1


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_entry_is_compiled_again(folder, compilations, monkeypatch, damage):
    first = simulated(monkeypatch)
    (entry,) = folder.iterdir()
    content = entry.read_bytes()
    entry.write_bytes(content[:-5] if damage is None else damage)
    assert torch.equal(simulated(monkeypatch), first)
    assert len(compilations) == 2
    assert entry.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files")
def test_code_that_others_may_write_is_not_run(folder, compilations, monkeypatch):
    simulated(monkeypatch)
    (entry,) = folder.iterdir()
    entry.chmod(entry.stat().st_mode | stat.S_IWOTH)
    simulated(monkeypatch)
    assert len(compilations) == 2


def test_a_cache_that_cant_be_written(folder, compilations, monkeypatch):
    folder.write_text("a file where the directory should be")
    simulated(monkeypatch)
    assert len(compilations) == 1


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    simulated(monkeypatch)
    assert list(folder.iterdir()) == []


def test_the_name_depends_on_the_machine_and_the_versions(monkeypatch):
    before = cache.digest(["graph"])
    assert cache.digest(["another graph"]) != before
    monkeypatch.setattr(cache, "_versions", lambda: ("xdpl 9",))
    assert cache.digest(["graph"]) != before


def test_the_directory_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDPL_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.join("~", "kept"))
    assert cache.directory() == cache.Path.home() / "kept" / "xdpl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == cache.Path.home() / ".cache" / "xdpl"


_CHILD = """
import torch
from xdpl.engine import simulate
from xdpl.models import GR4J
model = GR4J()
forcing = {name: torch.ones(3, 4) for name in model.forcings}
parameter = {name: torch.full((4, 1), 3.0) for name in model.parameters}
out, _ = simulate(model, forcing, parameter, model.initial_state(parameter), engine="fused")
assert out["streamflow"].isfinite().all()
"""


def test_processes_may_compile_at_once(tmp_path):
    environment = {**os.environ, "XDPL_CACHE_DIR": str(tmp_path)}
    children = [subprocess.Popen([sys.executable, "-c", _CHILD], env=environment) for _ in range(3)]
    assert [child.wait(timeout=120) for child in children] == [0, 0, 0]
    assert len([p for p in tmp_path.iterdir() if p.suffix == ".o"]) == 1
