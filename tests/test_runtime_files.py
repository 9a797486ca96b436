"""Files that are there whole or not at all."""

import errno
import os
import stat

import pytest
import toy

import xdpl
from xdpl.errors import DeclarationError
from xdpl.prediction.fit_files import save
from xdpl.runtime.files import as_path, write_safely
from xdpl.surrogate.files import load_surrogate


def test_a_path_is_text_or_a_path(tmp_path):
    assert as_path(str(tmp_path)) == tmp_path == as_path(tmp_path)
    with pytest.raises(DeclarationError, match=r"store=b'a' is of type bytes, not a path. Give te"):
        as_path(b"a", "store")


DOORS = {
    "fit": lambda ds: xdpl.fit(ds, "qobs", checkpoint=5, **toy.QUICK),
    "load": lambda ds: xdpl.load(5),
    "save": lambda ds: save(None, 5),
    "geotiff": lambda ds: ds.dpl.to_geotiff(5),
    "zarr": lambda ds: ds.dpl.to_zarr(5),
    "geopackage": lambda ds: ds.dpl.to_geopackage(5),
    "surrogate": lambda ds: load_surrogate(5),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_what_is_no_path_is_refused_at_every_door(door):
    with pytest.raises(DeclarationError, match="=5 is of type int, not a path"):
        door(toy.basins(3, 20))


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
