"""Files that are there whole or not at all."""

import errno
import os
import stat

import pytest

from xdpl.writing import write_safely


def test_a_file_has_the_mode_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_safely(tmp_path / "a.xdpl", b"whole")
    finally:
        os.umask(before)
    assert (tmp_path / "a.xdpl").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "a.xdpl").stat().st_mode) == 0o640


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_what_was_there_stays_where_writing_fails(tmp_path, monkeypatch, problem):
    path = tmp_path / "a.xdpl"
    path.write_bytes(b"before")

    def fails(descriptor):
        raise problem

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(type(problem)):
        write_safely(path, b"after")
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["a.xdpl"]
