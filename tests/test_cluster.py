"""On a dask cluster: the same fit and the same maps, bit for bit, and the fit sent once."""

import pickle

import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl

distributed = pytest.importorskip("distributed")

KEYWORDS = {k: v for k, v in QUICK.items() if k != "batch_size"}


@pytest.fixture(scope="module")
def ds():
    return grid(ny=8, days=500).chunk({"time": -1, "y": 2, "x": 6})


@pytest.fixture(scope="module")
def fit(ds):
    return xdpl.fit(ds, obs="qobs", **KEYWORDS)


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
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


def test_the_fit_is_one_task_and_no_other_holds_it(ds, fit):
    graph = dict(fit.simulate(ds).streamflow.__dask_graph__())
    holding = [key for key, task in graph.items() if b"AttributeEncoder" in pickle.dumps(task)]
    assert len(holding) == 1 and "xdpl-blocks" in str(holding[0])
    assert len(graph) > 8
