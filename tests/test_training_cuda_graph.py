"""Recorded steps: what is replayed is what would have been launched."""

import warnings

import numpy as np
import pytest
import torch

from xdpl.batches import Batch
from xdpl.errors import EngineWarning
from xdpl.training.cuda_graph import DIRECT, MOST, Replay, record, tensors_of
from xdpl.training.outcome import Outcome


def a_batch(cells=3, value=1.0):
    return Batch(
        forcing={"rain": torch.full((4, cells), value)},
        observed={"flow": torch.zeros(2, cells)},
        scale={"flow": torch.ones(cells)},
        attribute=torch.zeros(cells, 1, dtype=torch.float64),
        cycle=None,
        label=np.array([str(i) for i in range(cells)]),
        index=torch.arange(cells),
        count=torch.ones(cells),
        start=0,
    )


def work(batch):
    broken = batch.forcing["rain"].isnan().any(0)
    return Outcome(batch.forcing["rain"].sum(), broken, broken)


class Recorder:
    """Stands for a CUDA graph: it works on the recorded batch's tensors again."""

    def __init__(self):
        self.recorded, self.played = [], 0

    def __call__(self, work, batch, beside):
        outcome = work(batch)
        self.recorded.append(batch)

        def play():
            self.played += 1
            outcome.loss.copy_(work(batch).loss)

        return play, outcome


def test_a_shape_that_comes_back_is_recorded_and_replayed_with_new_values():
    recorder = Recorder()
    replay = Replay(work, recorder)
    for number in range(6):
        assert replay(a_batch(value=float(number))).loss == 12.0 * number
    assert recorder.played == 6 - DIRECT
    assert len(recorder.recorded) == 1


def test_the_recorded_batch_is_a_copy():
    recorder = Recorder()
    replay = Replay(work, recorder)
    batches = [a_batch(value=float(number)) for number in range(4)]
    for batch in batches:
        replay(batch)
    assert batches[DIRECT].forcing["rain"][0, 0] == DIRECT
    for theirs, ours in zip(tensors_of(batches[-1]), tensors_of(recorder.recorded[0]), strict=True):
        assert torch.equal(theirs, ours)
        assert theirs.data_ptr() != ours.data_ptr()


def test_each_shape_has_a_record_of_its_own_up_to_a_number():
    recorder = Recorder()
    replay = Replay(work, recorder)
    for cells in range(1, MOST + 3):
        for _ in range(DIRECT + 1):
            assert replay(a_batch(cells)).loss == 4.0 * cells
    assert [len(batch.label) for batch in recorder.recorded] == list(range(1, MOST + 1))


def test_work_that_waits_for_the_device_is_launched_anew_with_one_warning():
    def refuse(work, batch, beside):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    replay = Replay(work, refuse)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for number in range(6):
            assert replay(a_batch(value=float(number))).loss == 12.0 * number
    assert [w.category for w in found] == [EngineWarning]
    assert "not permitted when stream is capturing Results are the same" in str(found[0].message)


def test_without_memory_to_record_work_is_launched_anew_and_says_why():
    def full(work, batch, beside):
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture.")

    replay = Replay(work, full)
    for _ in range(DIRECT):
        replay(a_batch(value=1.0))
    with pytest.warns(EngineWarning, match="previous error.*a smaller batch_size leaves memory"):
        assert replay(a_batch(value=2.0)).loss == 24.0
    assert replay(a_batch(value=3.0)).loss == 36.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_gives_what_launching_gives():
    here = torch.device("cuda")
    replay = Replay(work, record)
    for number in range(6):
        outcome = replay(a_batch(value=float(number)).to(here)).on_host()
        outcome.wait()
        assert outcome.loss == 12.0 * number
