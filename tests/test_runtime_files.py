"""Files that are there whole or not at all, at local paths and at URLs."""

import errno
import os
import stat
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
import toy
import xarray as xr

import xdpl
from xdpl.errors import DeclarationError, FitFileError, RasterError, XdplError
from xdpl.runtime.files import as_path, as_target, check_writable, write_safely
from xdpl.surrogate.files import load_surrogate


def test_a_path_is_text_or_a_path(tmp_path):
    assert as_path(str(tmp_path)) == tmp_path == as_path(tmp_path) == as_path(f"file://{tmp_path}")
    with pytest.raises(DeclarationError, match=r"store=b'a' is of type bytes, not a path. Give te"):
        as_path(b"a", "store")
    for nothing in ("", " ", "a\0b"):
        with pytest.raises(DeclarationError, match="names no file. Give text"):
            as_path(nothing)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("~/a") == as_path(Path("~/a")) == as_target("~/a").local == tmp_path / "a"


@pytest.mark.parametrize("url", ["s3://b/a", "gs://b/a", "memory://b/a", "simplecache::s3://b/a"])
def test_a_url_is_no_local_path(url):
    with pytest.raises(DeclarationError, match=r"is a URL \(.*\), and xdpl needs a local path"):
        as_path(url, "checkpoint")


@pytest.mark.parametrize("take", [as_path, as_target])
def test_a_url_that_lost_a_slash_is_no_local_path(take):
    with pytest.raises(DeclarationError, match=r'Give it as text: "s3://..."'):
        take(Path("s3://bucket/a"))
    assert take("./s3:/a") is not None  # the remedy for a folder of that name


def test_a_scheme_that_is_unknown_or_lacks_its_package_is_named(monkeypatch):
    with pytest.raises(DeclarationError, match="The scheme is 'nonsense'; known ones are"):
        as_target("nonsense://b/a")

    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(
        DeclarationError, match="scheme 's3' needs a package .*Run pip install s3fs, or"
    ):
        as_target("s3://b/a")


def fitted():
    ds = toy.basins(3, 40)
    return ds, xdpl.fit(ds, "qobs", **toy.QUICK)


MAPS = xr.Dataset(
    {"a": (("y", "x"), np.ones((3, 3)))}, {"y": [2.0, 1.0, 0.0], "x": [0.0, 1.0, 2.0]}
).rio.write_crs("EPSG:32632")

DOORS = {
    "fit": lambda path: xdpl.fit(toy.basins(3, 20), "qobs", checkpoint=path, **toy.QUICK),
    "load": lambda path: xdpl.load(path),
    "save": lambda path: fitted()[1].save(path),
    "geotiff": lambda path: MAPS.dpl.to_geotiff(path),
    "zarr": lambda path: MAPS.dpl.to_zarr(path),
    "geopackage": lambda path: MAPS.dpl.to_geopackage(path),
    "surrogate": lambda path: load_surrogate(path),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_what_is_no_path_is_refused_at_every_door(door):
    with pytest.raises(DeclarationError, match="=5 is of type int, not a path"):
        door(5)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_no_door_makes_a_folder_that_is_named_like_a_url(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in ("nonsense://bucket/a.gpkg", Path("s3://bucket/a.gpkg")):
        with pytest.raises(XdplError, match="nonsense|s3"):
            door(url)
    assert os.listdir(tmp_path) == []


WRITERS = {
    "fit": (DOORS["fit"], "~/new"),
    "save": (DOORS["save"], "~/a.xdpl"),
    "geotiff": (DOORS["geotiff"], "~/maps"),
    "zarr": (DOORS["zarr"], "~/a.zarr"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_door_expands_home(name, tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir(), elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(elsewhere)
    door, path = WRITERS[name]
    door(path)
    assert os.listdir(elsewhere) == [] and (home / path.removeprefix("~/")).exists()
    if name == "save":
        assert xdpl.load(path, model=toy.Bucket)


def test_fits_and_maps_go_to_a_url_and_come_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ds, fit = fitted()
    assert fit.save("memory://bucket/a.xdpl") == "memory://bucket/a.xdpl"
    xr.testing.assert_identical(
        xdpl.load("memory://bucket/a.xdpl", model=toy.Bucket).parameters(ds).drop_attrs(),
        fit.parameters(ds).drop_attrs(),
    )
    with pytest.raises(FitFileError, match="there is no fit file 'memory://bucket/b.xdpl'"):
        xdpl.load("memory://bucket/b.xdpl")
    assert MAPS.dpl.to_geotiff("memory://bucket/maps/") == ["memory://bucket/maps/a.tif"]
    (tmp_path / "copy").write_bytes(fsspec.filesystem("memory").cat_file("/bucket/maps/a.tif"))
    np.testing.assert_array_equal(xr.open_dataarray(tmp_path / "copy", engine="rasterio")[0], 1)
    with pytest.raises(RasterError, match=r"it is a bucket.*Write memory://maps/NAME"):
        MAPS.dpl.to_geotiff("memory://maps")
    assert os.listdir(tmp_path) == ["copy"]


def test_a_file_has_the_mode_that_the_umask_gives_or_that_it_had(tmp_path):
    before = os.umask(0o027)
    try:
        write_safely(tmp_path / "a.xdpl", b"whole")
    finally:
        os.umask(before)
    assert (tmp_path / "a.xdpl").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "a.xdpl").stat().st_mode) == 0o640
    (tmp_path / "a.xdpl").chmod(0o600)
    write_safely(tmp_path / "a.xdpl", b"again")
    assert stat.S_IMODE((tmp_path / "a.xdpl").stat().st_mode) == 0o600


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


def test_threads_that_save_to_one_path_leave_one_whole_file(tmp_path):
    path, problems, torn = tmp_path / "a", [], []
    contents = [bytes([number]) * 200_000 for number in range(4)]

    def save(content):
        try:
            for _ in range(15):
                write_safely(path, content)
                torn.append(path.read_bytes() not in contents)
        except OSError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems and len(torn) == 60 and not any(torn) and os.listdir(tmp_path) == ["a"]


def test_a_folder_that_cant_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FitFileError, match="can't write checkpoints to .*Choose a folder"):
        check_writable(tmp_path / "file", "checkpoints")
