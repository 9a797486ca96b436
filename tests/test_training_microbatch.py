"""Steps in microbatches and by several processes: the weights of one that does all at once."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import QUICK, grid
from training_helpers import OBJECTIVE, SIMULATOR, a_batch, a_state, take_step, weights

import xdpl
from xdpl.errors import DeclarationError, OutOfMemory, RankError, XdplWarning
from xdpl.fitting.settings import check_alone
from xdpl.runtime import distributed
from xdpl.training import microbatch_step, train, training_step
from xdpl.training.microbatch import microbatches_of
from xdpl.training.step_memory import bytes_of_step, microbatches_for


def trained(microbatches, steps=6):
    batch = a_batch(cells=11)
    state = a_state(batch, deviating=11, seed=3, microbatches=microbatches)
    return state, [take_step(state, batch) for _ in range(steps)]


@pytest.mark.parametrize("microbatches", [2, 3, 11, 40])
def test_microbatches_give_the_weights_of_the_whole(microbatches):
    whole, expected = trained(1)
    split, losses = trained(microbatches)
    assert losses == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(weights(split), weights(whole), rtol=1e-4, atol=1e-5)


def test_microbatches_are_all_cells_once():
    batch = a_batch(cells=11)
    places, pieces = zip(*microbatches_of(batch, 4), strict=True)
    assert torch.equal(torch.cat(places), torch.arange(11))
    joined = torch.cat([one.forcing["precipitation"] for one in pieces], dim=1)
    assert torch.equal(joined, batch.forcing["precipitation"])
    own = torch.tensor([2, 5, 7])
    mine = batch.__class__(**{**vars(batch), "own": own})
    mine.forcing = {k: v[:, own] for k, v in batch.forcing.items()}
    mine.observed = {k: v[:, own] for k, v in batch.observed.items()}
    places = torch.cat([place for place, _ in microbatches_of(mine, 2)])
    assert torch.equal(places, own)


class Limited:
    """A simulator with memory for a few cells."""

    def __init__(self, cells):
        self.cells = cells

    def simulate(self, forcing, *rest, **keywords):
        if next(iter(forcing.values())).shape[1] > self.cells:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return SIMULATOR.simulate(forcing, *rest, **keywords)


def run(state, batch, cells=99):
    objective = replace(OBJECTIVE, simulator=Limited(cells))
    train(state, training_step(state, objective), lambda *_: iter([batch] * 4), epochs=2)
    return state.history.loss


def test_out_of_memory_halves_the_batch_once_and_says_so():
    batch = a_batch(cells=11)
    expected = run(a_state(batch), batch)
    state = a_state(batch)
    match = "no memory to simulate 11 cells at once.*2 microbatches"
    with pytest.warns(XdplWarning, match=match) as warned:
        losses = run(state, batch, cells=6)
    assert len(warned) == 1 and state.microbatches == 2
    assert losses == pytest.approx(expected, rel=1e-4)


def test_a_step_begun_anew_draws_the_same_random_numbers(monkeypatch):
    batch = a_batch(cells=11)
    state, drawn = a_state(batch), []
    raw = state.field.raw

    def drawing(*given):
        drawn.append(float(torch.rand(())))
        return raw(*given)

    monkeypatch.setattr(state.field, "raw", drawing)
    with pytest.warns(XdplWarning, match="no memory to simulate 11 cells at once"):
        run(state, batch, cells=6)
    failed, again, later = drawn[:3]
    assert failed == again and later != again and len(drawn) == 9


def test_out_of_memory_in_halves_is_an_error():
    batch = a_batch(cells=11)
    match = "no memory for 11 cells in 2 microbatches.*smaller batch_size"
    with (
        pytest.warns(XdplWarning, match="no memory"),
        pytest.raises(OutOfMemory, match=match),
    ):
        run(a_state(batch), batch, cells=2)


def test_a_batch_that_cannot_fit_is_split_before_the_start(monkeypatch):
    ds = grid(days=500)
    expected = xdpl.fit(ds, obs="qobs", **QUICK)
    field = expected.learner
    needed = bytes_of_step(expected.simulator, 1, 16, 730)
    monkeypatch.setattr("xdpl.training.step_memory.machine_memory", lambda: needed)
    assert microbatches_for(field, expected.simulator, 1, 30, torch.device("cpu")) == 1
    with pytest.warns(XdplWarning, match="batch of 16 cells over 730 steps.*2 microbatches"):
        fit = xdpl.fit(ds, obs="qobs", **QUICK)
    assert fit.record["loss"] == pytest.approx(expected.record["loss"], rel=1e-4)


class Moving:
    dynamic = object()


def test_dynamic_parameters_are_learned_whole_or_not_at_all(monkeypatch):
    monkeypatch.setattr("xdpl.training.step_memory.machine_memory", lambda: 1)
    assert microbatches_for(Moving(), SIMULATOR, 16, 730, torch.device("cpu")) == 1
    check_alone(None, distributed.ProcessGroup(0, 2))
    check_alone(Moving.dynamic, distributed.ALONE)
    with pytest.raises(DeclarationError, match="dynamic parameters can't be learned by 2"):
        check_alone(Moving.dynamic, distributed.ProcessGroup(0, 2))
    batch = a_batch(cells=11)
    state = a_state(batch, microbatches=2)
    monkeypatch.setattr(state.field, "dynamic", Moving.dynamic)
    with pytest.raises(DeclarationError, match="can't be learned in microbatches or by several"):
        microbatch_step(state, OBJECTIVE, batch)


def test_processes_that_differ_are_told(monkeypatch):
    second = distributed.ProcessGroup(1, 2)
    # the first process has 7; flags are raised by this one alone
    monkeypatch.setattr(
        torch.distributed, "all_reduce", lambda t: t.add_(7 * (t.dtype == torch.float64))
    )
    assert second.of_first(3.0) == 7.0
    second.check_same(7, "steps")
    with pytest.raises(RankError, match="process 2 of 2 has steps 3, and the first one 7"):
        second.check_same(3, "steps")


def test_one_process_asks_nobody():
    alone, place = distributed.join(torch.device("cpu"))
    assert (alone, place) == (distributed.ALONE, torch.device("cpu"))
    tensor = torch.ones(3)
    assert alone.total(tensor) is tensor and alone.any(True) and not alone.any(False)


def test_a_lost_process_is_named(monkeypatch):
    def lost(tensor):
        raise RuntimeError("Connection closed by peer [127.0.0.1]:4242\nmore")

    monkeypatch.setattr(torch.distributed, "all_reduce", lost)
    with pytest.raises(RankError, match=r"process 1 of 2 has lost another one: Connection closed"):
        distributed.ProcessGroup(0, 2).total(torch.ones(1))


def together(script, *given, **keywords):
    """Start two processes that train together, as torchrun would, but each for itself."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    path = ":".join([str(Path(__file__).parent), *filter(None, sys.path)])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, str(script), *map(str, given)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **shared, "PYTHONPATH": path, "RANK": rank, "LOCAL_RANK": rank},
            **keywords,
        )
        for rank in ("0", "1")
    ]


UNEQUAL = """
import os
import sys
import numpy as np
import xdpl
from toy import QUICK, grid
from xdpl.batches import cells

rank = os.environ["RANK"]
if rank == "1":
    cells.free_memory = lambda: 0
ds = grid(days=500)
ds.prcp[100:120, 2, 3] = np.nan  # in memory this cell is left out
ds = ds.chunk({"time": -1, "y": 1})
keywords = {k: v for k, v in QUICK.items() if k != "batch_size"}
fit = xdpl.fit(ds, obs="qobs", validation=0.2, **keywords)
np.savez(f"{sys.argv[1]}/{rank}.npz", loss=fit.record["loss"], label=fit.label,
         **fit.learner.state_dict())
"""


@pytest.mark.slow
def test_processes_with_unequal_memory_take_the_same_steps(tmp_path):
    script = tmp_path / "fit.py"
    script.write_text(UNEQUAL)
    for process in together(script, tmp_path):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said[-3000:]
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in (0, 1))
    assert len(first["label"]) > 20 and first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


KILLED = """
import os
import signal
import sys
import xdpl
from toy import QUICK, grid
from xdpl.training import step

microbatch_step = step.microbatch_step

def dying(state, *given):
    if state.done == 6 and os.environ["RANK"] == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return microbatch_step(state, *given)

step.microbatch_step = dying
xdpl.fit(grid(days=500), obs="qobs", checkpoint=sys.argv[1], **QUICK)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_the_others_end_soon_after_one_is_killed_and_the_last_state_stays(tmp_path, dead):
    script, folder = tmp_path / "fit.py", tmp_path / "kept"
    script.write_text(KILLED)
    processes = together(script, folder, dead)
    assert processes[dead].wait(timeout=120) == -signal.SIGKILL
    began = time.monotonic()
    _, said = processes[1 - dead].communicate(timeout=30)
    assert processes[1 - dead].returncode == 1 and time.monotonic() - began < 15
    assert f"RankError: process {2 - dead} of 2 has lost another one" in said
    kept = [path.name for path in sorted(folder.glob("epoch-*"))]
    assert kept == [f"epoch-00000{epoch}-00000000.safetensors" for epoch in (1, 2)]
    ds = grid(days=500)
    went_on = xdpl.fit(ds, obs="qobs", checkpoint=folder, **QUICK)
    expected = xdpl.fit(ds, obs="qobs", **QUICK)
    assert went_on.record["loss"] == pytest.approx(expected.record["loss"], rel=1e-4)


def test_a_process_that_never_comes_is_told(monkeypatch):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", port)
    monkeypatch.setattr(distributed, "PATIENCE", timedelta(seconds=1))
    with pytest.raises(RankError, match="process 1 of 2 waited for the others, .*torchrun"):
        distributed.join(torch.device("cpu"))


SCRIPT = """
import os
import sys
import numpy as np
import xdpl
from toy import QUICK, grid

ds = grid(days=500).chunk({"time": -1, "y": 1})
keywords = {k: v for k, v in QUICK.items() if k != "batch_size"}
fit = xdpl.fit(ds, obs="qobs", checkpoint=sys.argv[1] + "/kept", **keywords)
rank = os.environ.get("RANK", "0")
np.savez(f"{sys.argv[1]}/{rank}.npz", loss=fit.record["loss"],
         **{k: v.values for k, v in fit.parameters(ds).items()})
"""


def check_that_two_give_what_one_gives(tmp_path):
    """Run SCRIPT alone and twice under torchrun, on GPUs where there are any; compare."""
    script = tmp_path / "fit.py"
    script.write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, options in (("one", []), ("two", torchrun)):
        (tmp_path / name).mkdir()
        command = [sys.executable, *options, str(script), str(tmp_path / name)]
        here = str(Path(__file__).parent)
        path = ":".join([here, *filter(None, sys.path)])

        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert done.returncode == 0, done.stderr[-3000:]
    one = np.load(tmp_path / "one" / "0.npz")
    first, second = (np.load(tmp_path / "two" / f"{rank}.npz") for rank in (0, 1))
    for name in one.files:
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], one[name], rtol=2e-4)
    assert len(list((tmp_path / "two" / "kept").glob("epoch-*"))) == 2


def test_two_processes_give_the_weights_of_one(tmp_path):
    check_that_two_give_what_one_gives(tmp_path)
