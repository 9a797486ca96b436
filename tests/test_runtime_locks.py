"""One writer at a time, in threads and processes."""

import errno
import os
import subprocess
import sys
import threading
import time

import pytest

from xdpl.errors import XdplWarning
from xdpl.runtime import locks
from xdpl.runtime.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from xdpl.runtime.locks import locked
with locked(Path(sys.argv[1]), "a"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_threads_take_turns(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(5):
            with locked(tmp_path / "lock", "a"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20 and os.listdir(tmp_path) == []


def test_the_lock_of_a_killed_process_is_free_and_waiting_long_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "LONG", 0.1)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    timer = threading.Timer(0.5, child.kill)
    timer.start()
    told = pytest.warns(XdplWarning, match=f"Waiting for process {child.pid} on .*writes a store")
    with told, locked(tmp_path / "lock", "a store"):
        assert child.wait() != 0
    assert os.listdir(tmp_path) == []


def test_a_disk_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch):
    import fcntl

    def unknown(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with locked(tmp_path / "lock", "a"):
        pass

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path / "lock", "a"):
        pass


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"), locked(tmp_path / "lock", "a"):
        pass
    assert (tmp_path / "victim").read_text() == "mine"
