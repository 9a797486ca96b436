"""Stores of runs: looked at before use, one user at a time, and clear about full disks."""

from __future__ import annotations

import errno
import json
import os
import threading
import time

import numpy as np
import pytest
import zarr

from xdpl.blackbox import Failure, Outcome
from xdpl.emulation.store import DONE, RunStore, held
from xdpl.emulation.store_checks import as_failure, check_arrays, disk_errors, read_batches
from xdpl.errors import FitFileError


def opened(folder) -> RunStore:
    return RunStore(folder, {"model": "a"}, ["k"], ["q"], 5)


def filled(folder) -> RunStore:
    store = opened(folder)
    store.add("sampled", np.zeros(3), np.zeros((3, 1)))
    for number in range(2):
        store.keep(Outcome(number, {"q": np.full(5, number, "f4")}), None)
    store.keep(Outcome(2), Failure("c", {"k": 0.5}, "timeout", "slow"))
    return store


def test_runs_are_kept_and_known_again(tmp_path):
    filled(tmp_path).fold(0, 3)
    again = opened(tmp_path)
    assert again.status.tolist() == [DONE, DONE, 2] and len(again) == 3
    assert again.failures() == {2: Failure("c", {"k": 0.5}, "timeout", "slow")}
    np.testing.assert_array_equal(again.mapped(np.arange(2))[1], 1)


def test_what_is_no_run_in_the_journal_is_left_alone(tmp_path):
    store = filled(tmp_path)
    for name in ("notes.npy", "-1.npy", "99.npy", "1.json.bak", "½.npy"):
        (store.journal / name).write_text("mine")
    (store.journal / "2.json").write_text('{"cell": 1}')  # damaged: the run is made again
    done, failed = store.in_journal()
    assert done == {0, 1} and failed == {}


@pytest.mark.parametrize("values", [np.zeros((1, 4), "f4"), np.zeros((1, 5), "i4")])
def test_a_run_of_another_shape_or_type_is_refused(tmp_path, values):
    store = filled(tmp_path)
    np.save(store.journal / "0.npy", values)
    with pytest.raises(FitFileError, match=r"0.npy' holds no run of this store: .* Remove it"):
        store.fold(0, 3)
    (store.journal / "0.npy").unlink()  # the remedy
    store.fold(0, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batches", None), ("batches", 3), ("batches", [3]), ("batches", [{"kind": "sampled"}]),
        ("batches", [{"kind": "sampled", "count": -1}]),
        ("batches", [{"kind": "sampled", "count": 10**15}]),
        ("batches", [{"kind": 3, "count": 1}]), ("batches", [{"kind": "a", "count": True}]),
    ],
)  # fmt: skip
def test_a_damaged_list_of_runs_is_refused(tmp_path, name, value):
    filled(tmp_path)
    group = zarr.open_group(tmp_path / "runs.zarr", mode="r+")
    group.attrs[name] = value
    with pytest.raises(FitFileError, match="can't be read as runs: .* Use another folder"):
        opened(tmp_path)


def test_arrays_that_are_missing_or_other_ones_are_refused(tmp_path):
    filled(tmp_path)
    path = tmp_path / "runs.zarr"
    for shape, kind in (((3,), "float64"), ((2, 1), "float64"), ((3, 1), "int8")):
        group = zarr.open_group(path, mode="r+")
        group.create_array("parameter", shape=shape, dtype=kind, overwrite=True)
        with pytest.raises(FitFileError, match="can't be read as runs: ValueError: parameter"):
            opened(tmp_path)
    del zarr.open_group(path, mode="r+")["parameter"]
    with pytest.raises(FitFileError, match="it has no array 'parameter'"):
        opened(tmp_path)


def test_a_store_of_an_earlier_version_is_read():
    old = [{"kind": "round 1", "count": 2, "purpose": "ab"}, {"kind": "sampled", "count": 1}]
    new = [{"kind": "round 1", "count": 2, "digest": "ab"}]
    assert read_batches(old)[0] == read_batches(new)[0] == new[0]
    assert read_batches(old)[1]["digest"] == ""
    with pytest.raises(ValueError, match="it has no list of batches"):
        read_batches("x")
    with pytest.raises(ValueError, match="a batch has no kind"):
        read_batches([{"count": 1}])
    with pytest.raises(ValueError, match="a batch has 1.5 runs"):
        read_batches([{"kind": "a", "count": 1.5}])
    with pytest.raises(TypeError, match="no record of a failed run"):
        as_failure({"cell": "a"})


def test_identities_of_another_type_are_refused(tmp_path):
    filled(tmp_path)
    zarr.open_group(tmp_path / "runs.zarr", mode="r+").attrs["identity"] = "x"
    with pytest.raises(FitFileError, match="holds runs of something else: model is None, not a"):
        opened(tmp_path)


def test_codecs_of_a_stranger_are_refused(tmp_path):
    filled(tmp_path)
    path = tmp_path / "runs.zarr" / "status" / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    path.write_text(json.dumps(metadata))
    with pytest.raises(FitFileError, match="can't be read as runs"):
        opened(tmp_path)
    with pytest.raises(Exception, match="no array 'x'"):
        check_arrays(zarr.create_group(tmp_path / "new"), {"x": ((), "int8")}, 0)


def test_a_full_disk_is_told_with_the_folder_and_other_errors_pass(tmp_path):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    match = "No space left on device. Finished runs.*make room"
    with pytest.raises(FitFileError, match=match), disk_errors(tmp_path):
        full()
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        (tmp_path / "missing").read_bytes()
    with pytest.raises(FitFileError, match="mine"), disk_errors(tmp_path):
        raise FitFileError("mine")


def test_users_of_one_store_take_turns(tmp_path):
    inside, most = [], []

    def use():
        with held(tmp_path / "runs"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1] and os.listdir(tmp_path / "runs") == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FitFileError, match="can't write runs to"), held(tmp_path / "file"):
        pass
