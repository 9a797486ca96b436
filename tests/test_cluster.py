"""On a dask cluster: the same fit and the same maps, bit for bit, and the fit sent once."""

import contextlib
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.errors import DataError

distributed = pytest.importorskip("distributed")

KEYWORDS = {k: v for k, v in QUICK.items() if k != "batch_size"}


@pytest.fixture(scope="module")
def ds():
    return grid(ny=8, days=500).chunk({"time": -1, "y": 2, "x": 6})


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", **KEYWORDS)


@contextlib.contextmanager
def cluster_of(workers):
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client():
    with cluster_of(2) as client:
        yield client


@pytest.fixture
def alone():
    """One worker: all that a cluster holds is lost with it."""
    with cluster_of(1) as client:
        yield client


def asked(fit, ds):
    maps = [fit.parameters(ds), fit.simulate(ds), fit.evaluate(ds)]
    return xr.merge(maps, compat="override").drop_attrs()  # which hold the time of the call


@pytest.mark.slow
def test_the_same_maps_bit_for_bit(ds, fit, client):
    with_cluster = asked(fit, ds).compute()
    without = asked(fit, ds).compute(scheduler="synchronous")
    xr.testing.assert_equal(with_cluster, without)


@pytest.mark.slow
def test_the_same_fit_where_workers_read(ds, fit, client, monkeypatch):
    monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: 0)
    read = xdpl.fit(ds, obs="qobs", **KEYWORDS)
    assert read.record["loss"] == fit.record["loss"]
    xr.testing.assert_equal(read.parameters(ds).compute(), fit.parameters(ds).compute())


class Deadly:
    """A chunk of a store whose worker is killed while it reads, the first time or every time."""

    def __init__(self, folder, always=False):
        self.folder, self.always = Path(folder), always

    def __call__(self, block, block_info=None):
        row = block_info[0]["chunk-location"][1]
        if block.size and row == 1 and self.due(self.folder / str(row)):
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    def due(self, mark):
        try:
            distributed.get_worker()
        except ValueError:  # in the process that trains
            return False
        there = mark.exists()
        mark.touch()
        return self.always or not there

    def of(self, ds):
        data = ds.prcp.data.map_blocks(self, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
        return ds.assign(prcp=ds.prcp.copy(data=data))


@pytest.mark.slow
def test_a_worker_killed_in_loading_changes_nothing(ds, fit, alone, tmp_path, monkeypatch):
    monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: 0)
    read = xdpl.fit(Deadly(tmp_path).of(ds), obs="qobs", **KEYWORDS)
    assert len(list(tmp_path.iterdir())) == 1
    assert read.record["loss"] == fit.record["loss"]


@pytest.mark.slow
def test_a_chunk_that_kills_every_worker_is_an_error(ds, alone, tmp_path, monkeypatch):
    monkeypatch.setattr("xdpl.batches.cells.free_memory", lambda: 0)
    monkeypatch.setattr(alone.cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(DataError, match="no worker lived through the reading.*more memory"):
        xdpl.fit(Deadly(tmp_path, always=True).of(ds), obs="qobs", **KEYWORDS)


@pytest.mark.slow
def test_a_worker_killed_in_predicting_changes_nothing(ds, fit, alone, tmp_path):
    found = fit.parameters(Deadly(tmp_path).of(ds)).compute()
    assert len(list(tmp_path.iterdir())) == 1
    xr.testing.assert_equal(found, fit.parameters(ds).compute(scheduler="synchronous"))


def test_the_fit_is_one_task_and_no_other_holds_it(ds, fit):
    graph = dict(fit.simulate(ds).streamflow.__dask_graph__())
    holding = [key for key, task in graph.items() if b"AttributeEncoder" in pickle.dumps(task)]
    assert len(holding) == 1 and "xdpl-blocks" in str(holding[0])
    assert len(graph) > 8
