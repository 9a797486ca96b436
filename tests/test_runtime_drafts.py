"""Drafts: names that nobody guesses, no links followed, and none left of dead processes."""

import os
import secrets
import subprocess
import sys
import time

import pytest

from xdpl.runtime import drafts
from xdpl.runtime.drafts import draft_folder, put_safely, remove_dead_drafts, write_safely

KILLED = """
import os, sys
from pathlib import Path
from xdpl.runtime import drafts
if sys.argv[2] == "file":
    os.replace = lambda *_: os.kill(os.getpid(), 9)
    drafts.write_safely(Path(sys.argv[1]) / "a", b"half")
with drafts.draft_folder(Path(sys.argv[1])) as folder:
    (folder / "a.tif").write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_drafts_of_killed_processes_go_with_the_next_write(tmp_path, kind):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path, kind], check=False)
    (left,) = os.listdir(tmp_path)
    assert left.startswith(drafts.PREFIX)
    write_safely(tmp_path / "a", b"whole")
    assert os.listdir(tmp_path) == ["a"]


def test_drafts_of_living_processes_and_of_other_machines_stay(tmp_path, monkeypatch):
    ours = tmp_path / drafts.draft_name()
    ours.touch()
    other = tmp_path / f"{drafts.PREFIX}{'0' * 12}-1-0-ab{drafts.SUFFIX}"
    other.touch()
    foreign = tmp_path / f"{drafts.PREFIX}mine"
    foreign.touch()
    with draft_folder(tmp_path):
        assert len(os.listdir(tmp_path)) == 4
    long_ago = time.time() - 2 * drafts.STALE
    os.utime(other, (long_ago, long_ago))
    drafts._swept.clear()
    remove_dead_drafts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([ours.name, foreign.name])


def test_a_later_process_with_the_same_number_is_not_taken_for_the_writer(tmp_path, monkeypatch):
    dead = tmp_path / f"{drafts.PREFIX}{drafts._machine()}-{os.getpid()}-1-ab{drafts.SUFFIX}"
    dead.touch()
    remove_dead_drafts(tmp_path)
    assert not dead.exists()


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0")
    (tmp_path / drafts.draft_name()).symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_safely(tmp_path / "a", b"content")
    with pytest.raises(FileExistsError), draft_folder(tmp_path):
        pass
    assert victim.read_text() == "mine"


def test_a_link_at_the_target_is_replaced_and_what_it_names_left_alone(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a").symlink_to(tmp_path / "victim")
    write_safely(tmp_path / "a", b"content")
    assert (tmp_path / "victim").read_text() == "mine" and (tmp_path / "a").read_text() == "content"


def test_a_draft_folder_is_private_and_on_the_same_disk(tmp_path):
    with draft_folder(tmp_path) as folder:
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o077 == 0
        (folder / "a").write_bytes(b"whole")
        put_safely(folder / "a", tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


def test_a_large_folder_is_looked_at_rarely(tmp_path, monkeypatch):
    looked = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(path) or scan(path))
    drafts._swept[str(tmp_path)] = (time.monotonic(), 60.0)
    write_safely(tmp_path / "a", b"")
    assert looked == []
    drafts._swept[str(tmp_path)] = (time.monotonic() - 6001, 60.0)
    write_safely(tmp_path / "a", b"")
    assert looked == [tmp_path]
