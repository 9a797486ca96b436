"""The loop: it learns, follows its schedule, and stops before harm is done."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from training_helpers import OBJECTIVE, SIMULATOR, a_batch, a_state, take_step

from xdpl.errors import DataError, NonFiniteLoss, XdplWarning
from xdpl.losses import MSE
from xdpl.training import Callback, History, Objective, WarmupCosine, train, whole_step
from xdpl.training import loop as module
from xdpl.training.clipping import clip_per_cell
from xdpl.training.loop import _losses


def step_of(state, objective=OBJECTIVE):
    return partial(whole_step, state, objective)


class Log(Callback):
    """Notes what it hears."""

    def __init__(self):
        self.heard, self.losses = [], []

    def on_start(self, state):
        self.heard.append("start")

    def on_step(self, state):
        self.losses.append(state.history.step[-1])

    def on_epoch(self, state):
        self.heard.append(len(state.history.loss))

    def on_end(self, state):
        self.heard.append(state.ended_by or "end")


def test_it_learns():
    batch, log = a_batch(), Log()
    state = a_state(batch)
    batches = lambda epoch, skip: iter([batch] * 10)  # noqa: E731
    train(state, step_of(state), batches, epochs=10, callbacks=[log])
    assert state.history.loss[-1] < 0.05 * state.history.loss[0]
    assert log.heard == ["start", *range(1, 11), "end"]
    assert np.mean(log.losses[-10:]) == pytest.approx(state.history.loss[-1])
    assert state.done == len(log.losses) == 100
    assert not state.field.training


def test_it_goes_on_from_a_history():
    batch = a_batch()
    state, seen = a_state(batch, history=History([1.0, 1.0, 1.0])), []
    train(state, step_of(state), lambda epoch, skip: seen.append(epoch) or iter([batch]), epochs=5)
    assert seen == [3, 4]


def test_a_callback_ends_training_after_the_epoch():
    class Enough(Callback):
        def on_step(self, state):
            if state.done == 5:
                state.stop = True

    batch = a_batch()
    state = a_state(batch)
    train(state, step_of(state), lambda *_: iter([batch] * 3), epochs=9, callbacks=[Enough()])
    assert len(state.history.loss) == 2 and state.done == 6 and state.ended_by is None


def test_callbacks_hear_of_what_ended_training():
    class Fails(Callback):
        def on_epoch(self, state):
            raise OSError("the power went out")

    batch, log = a_batch(), Log()
    state = a_state(batch)
    with pytest.raises(OSError, match="the power went out") as problem:
        train(state, step_of(state), lambda *_: iter([batch]), epochs=9, callbacks=[log, Fails()])
    assert log.heard == ["start", 1, problem.value]


def test_a_pause_waits_for_the_steps_under_way(monkeypatch):
    class Pauses(Callback):
        def __init__(self):
            self.losses = []

        def wants_pause(self, state):
            return state.done == 3

        def on_pause(self, state):
            self.losses.append(len(state.history.step))

    batch, pauses = a_batch(), Pauses()
    state = a_state(batch)
    monkeypatch.setattr(module, "_ahead", lambda state: 16)
    train(state, step_of(state), lambda *_: iter([batch] * 5), epochs=1, callbacks=[pauses])
    assert pauses.losses == [3]


def test_the_loop_is_short_enough_to_read():
    with open(module.__file__) as file:
        assert len(file.readlines()) <= 150


def test_the_rate_rises_and_falls():
    rates = [WarmupCosine(100)(0.03, done) for done in range(100)]
    assert np.argmax(rates) in (9, 10)
    assert max(rates) == pytest.approx(0.03)
    assert rates[0] == pytest.approx(0.003)
    assert rates[-1] < 0.001
    # steps added later don't bring the rate back
    assert WarmupCosine(100)(0.03, 500) == pytest.approx(0.0003)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_broken_cell_is_named_and_the_weights_stay(what):
    batch = a_batch()
    state = a_state(batch)
    before = {k: v.clone() for k, v in state.field.state_dict().items()}
    if what == "loss":
        batch.forcing["precipitation"][30, 5] = torch.nan
    else:

        class Steep(MSE):
            def per_cell(self, simulated, observed):
                total, weight = super().per_cell(simulated, observed)
                # 0 with an infinite gradient, in one cell more than a tenth allows
                bad = torch.sqrt((total[5:6] - total[5:6].detach()).abs())
                return torch.cat([total[:5], total[5:6] + bad, total[6:]]), weight

    objective = OBJECTIVE if what == "loss" else Objective({"streamflow": Steep()}, SIMULATOR)
    with pytest.raises(NonFiniteLoss, match=f"{what} of batch 1 .* 1 of its 8 cells: cell 5"):
        take_step(state, batch, objective)
    for name, value in state.field.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("ahead", [0, 2, 16])
def test_steps_under_way_end_as_those_taken_one_by_one(ahead, monkeypatch):
    batch = a_batch()
    one, other = a_state(batch, deviating=8), a_state(batch, deviating=8)
    expected = [take_step(one, batch) for _ in range(5)]
    monkeypatch.setattr(module, "_ahead", lambda state: ahead)
    assert list(_losses(other, step_of(other), iter([batch] * 5), [])) == expected
    for p, q in zip(one.field.parameters(), other.field.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("ahead", [0, 2, 16])
def test_nothing_is_learned_after_a_broken_batch(ahead, monkeypatch):
    fine, broken = a_batch(), a_batch()
    broken.forcing["precipitation"][30, 5] = torch.nan
    state, expected = a_state(fine), a_state(fine)
    for _ in range(3):
        take_step(expected, fine)
    monkeypatch.setattr(module, "_ahead", lambda state: ahead)
    batches = [fine, fine, fine, broken, fine, fine]
    with pytest.raises(NonFiniteLoss, match=r"loss of batch 4 .* 1 of its 8 cells: cell 5"):
        list(_losses(state, step_of(state), iter(batches), []))
    for p, q in zip(expected.field.parameters(), state.field.parameters(), strict=True):
        assert torch.equal(p, q)
    assert state.done == 3
    # whoever goes on all the same learns again
    take_step(state, fine)
    assert state.done == 4
    assert not torch.equal(q, p)


def test_weights_of_several_losses():
    batch = a_batch()
    simulated = {"streamflow": batch.observed["streamflow"] + 2}
    assert OBJECTIVE(simulated, batch).item() == pytest.approx(4.0)
    heavier = Objective({"streamflow": MSE()}, SIMULATOR, weights={"streamflow": 3.0})
    assert heavier(simulated, batch).item() == pytest.approx(12.0)


def test_the_spin_up_carries_no_loss():
    batch = a_batch()
    simulated = torch.cat([torch.full((20, 8), 1e6), batch.observed["streamflow"]])
    assert OBJECTIVE({"streamflow": simulated}, batch).item() == 0


def test_one_cell_does_not_decide_the_step():
    gradient = torch.ones(9, 4)
    gradient[3] = 1e30
    clipped = clip_per_cell(gradient)
    assert torch.equal(clipped[:3], gradient[:3])
    assert clipped[3].norm().item() == pytest.approx(20.0)  # each of the four at 10
    gradient[5, 1] = torch.nan
    assert (clip_per_cell(gradient)[5] == 0).all()
    assert torch.isfinite(clip_per_cell(torch.full((2, 3), torch.nan))).all()
    # where most cells have no gradient there is nothing to compare with
    lonely = torch.zeros(9, 4)
    lonely[2] = 3.0
    assert torch.equal(clip_per_cell(lonely), lonely)


@pytest.mark.parametrize("deviating", [0, 11])
def test_a_cell_without_a_finite_gradient_is_counted(deviating):
    batch = a_batch(cells=11)

    class Steep(MSE):
        def per_cell(self, simulated, observed):
            total, weight = super().per_cell(simulated, observed)
            bad = torch.sqrt((total[5:6] - total[5:6].detach()).abs())
            return torch.cat([total[:5], total[5:6] + bad, total[6:]]), weight

    state = a_state(batch, deviating=deviating)
    before = [p.clone() for p in state.field.parameters()]
    for _ in range(5):
        take_step(state, batch, Objective({"streamflow": Steep()}, SIMULATOR))
    assert state.without_gradient == {"cell 5": 5}
    assert all(torch.isfinite(p).all() for p in state.field.parameters())
    assert any(not torch.equal(p, q) for p, q in zip(before, state.field.parameters(), strict=True))


def test_no_cells_have_no_gradient_to_hold():
    for shape in ((0, 3), (5, 0, 3)):
        assert clip_per_cell(torch.zeros(shape)).shape == shape


def an_empty(batch):
    """The batch, had its forcings gaps in all cells."""
    cells = {"attribute": batch.attribute[:0], "label": batch.label[:0], "index": batch.index[:0]}
    series = {"forcing": {k: v[:, :0] for k, v in batch.forcing.items()}}
    return replace(batch, **cells, **series)


def test_batches_without_cells_are_left_out_and_counted():
    batch = a_batch()
    histories = []
    for batches in ([batch, batch], [batch, an_empty(batch), batch]):
        state = a_state(batch)
        warned = pytest.warns(XdplWarning, match="1 of 3 batches of the first epoch were left out")
        with warned if len(batches) == 3 else nullcontext():
            train(state, step_of(state), lambda *_, b=batches: iter(b), epochs=2)
        histories.append(state.history.loss)
        assert state.done == 4
    assert histories[0] == histories[1]
    state = a_state(batch)
    with pytest.raises(DataError, match="no batch of epoch 1 has a cell with complete forcings"):
        train(state, step_of(state), lambda *_: iter([an_empty(batch)]), epochs=1)
