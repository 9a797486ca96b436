"""What is run as it is found comes from folders that nobody else can have filled."""

import os

import pytest

from xdpl.runtime import drafts, private
from xdpl.runtime.private import PrivateFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners of files")


def planted(folder, name="a", content=b"code"):
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    (folder / name).write_bytes(content)
    (folder / name).chmod(0o600)
    return folder / name


def test_what_was_written_is_read_and_no_one_else_can_read_it(tmp_path):
    folder = PrivateFolder(tmp_path / "deep" / "cache")
    with pytest.raises(FileNotFoundError):
        folder.read("a")
    folder.write("a", b"one")
    folder.write("a", b"two")
    assert folder.read("a") == b"two" and os.listdir(folder.path) == ["a"]
    assert (folder.path / "a").stat().st_mode & 0o077 == 0


def test_links_are_not_followed(tmp_path):
    victim = planted(tmp_path / "other", "victim")
    planted(tmp_path / "cache", "b")
    (tmp_path / "cache" / "a").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        PrivateFolder(tmp_path / "cache").read("a")
    PrivateFolder(tmp_path / "cache").write("a", b"ours")
    assert victim.read_bytes() == b"code"  # the link was replaced


def test_links_of_ones_own_lead_to_the_folder_and_those_of_others_do_not(tmp_path, monkeypatch):
    planted(tmp_path / "cache")
    (tmp_path / "short").symlink_to("cache")
    (tmp_path / "loop").symlink_to("loop")
    assert PrivateFolder(tmp_path / "short").read("a") == b"code"
    with pytest.raises(PermissionError, match="a link of another user leads to the folder"):
        PrivateFolder(tmp_path / "loop").read("a")
    stat = os.stat

    def foreign(path, **keywords):
        found = stat(path, **keywords)
        if path == "short":
            return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))
        return found

    monkeypatch.setattr(os, "stat", foreign)
    with pytest.raises(PermissionError, match="a link of another user leads to the folder"):
        PrivateFolder(tmp_path / "short").read("a")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_in_a_folder_of_many_each_user_has_one(tmp_path, mode):
    planted(tmp_path / "cache").parent.chmod(mode)
    folder = PrivateFolder(tmp_path / "cache")
    with pytest.raises(FileNotFoundError):
        folder.read("a")
    folder.write("a", b"ours")
    assert folder.read("a") == b"ours"
    (tmp_path / "cache" / f"xdpl-{os.getuid()}").chmod(0o777)
    with pytest.raises(PermissionError, match="others may write"):
        folder.read("a")


def test_what_others_own_or_may_write_is_not_read(tmp_path, monkeypatch):
    entry = planted(tmp_path / "cache")
    folder = PrivateFolder(tmp_path / "cache")
    assert folder.read("a") == b"code"
    entry.chmod(0o602)
    assert folder.read("a") is None
    entry.chmod(0o600)
    monkeypatch.setattr(private, "LARGEST", 3)
    assert folder.read("a") is None
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.raises(OSError, match="No such file|Permission"):
        folder.read("a")


def test_a_pipe_or_folder_in_place_of_a_file_is_not_waited_for(tmp_path):
    planted(tmp_path / "cache")
    os.mkfifo(tmp_path / "cache" / "pipe", 0o600)
    assert PrivateFolder(tmp_path / "cache").read("pipe") is None
    (tmp_path / "cache" / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        PrivateFolder(tmp_path / "cache").read("folder")


def test_the_group_of_one_user_alone_may_write(tmp_path, monkeypatch):
    planted(tmp_path / "cache").chmod(0o660)
    monkeypatch.setattr(private, "_is_private_group", lambda number: True)
    assert PrivateFolder(tmp_path / "cache").read("a") == b"code"
    monkeypatch.setattr(private, "_is_private_group", lambda number: False)
    assert PrivateFolder(tmp_path / "cache").read("a") is None
    assert private._is_private_group(os.getgid()) in (True, False)


def test_drafts_of_dead_processes_go_and_a_full_disk_leaves_none(tmp_path, monkeypatch):
    dead = f"{drafts.PREFIX}{drafts._machine()}-{2**22 + 5}-1-ab{drafts.SUFFIX}"
    planted(tmp_path / "cache", dead)
    folder = PrivateFolder(tmp_path / "cache")
    folder.write("a", b"one")
    assert os.listdir(folder.path) == ["a"]

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        folder.write("b", b"two")
    assert os.listdir(folder.path) == ["a"]
