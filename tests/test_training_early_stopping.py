"""Early stopping: decided by the history alone, and back to the best weights."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_helpers import OBJECTIVE, a_batch, a_state

from xdpl.training import Callback, History, train, training_step
from xdpl.training.early_stopping import EarlyStopping, best, halvings, waited

LOSSES = st.lists(st.floats(0, 10), min_size=1, max_size=40)


@given(losses=LOSSES)
def test_the_best_is_the_first_of_the_lowest(losses):
    assert losses[best(losses)] == min(losses)
    assert min(losses) not in losses[: best(losses)]
    assert waited(losses) == len(losses) - 1 - best(losses)


def test_nothing_has_been_waited_for_at_first():
    assert waited([]) == 0 and halvings([], 3) == 0


@pytest.mark.parametrize(
    ("losses", "count"),
    [
        ([3, 2, 1], 0),
        ([1, 2, 3], 1),
        ([1, 2, 2, 2, 2], 2),
        ([1, 2, 0.5, 2, 2, 0.1, 3, 3], 2),
        ([1, math.inf, math.inf], 1),
    ],
)
def test_the_rate_is_halved_after_every_two_epochs_without_gain(losses, count):
    assert halvings(losses, 2) == count


def test_training_stops_and_returns_to_the_weights_that_were_best():
    batch = a_batch()
    # validation asks for the opposite: what is learned can only harm it
    other = a_batch()
    other.observed = {"streamflow": 3 - other.observed["streamflow"]}
    state = a_state(batch)
    history, states, rates = state.history, [], []

    class Note(Callback):
        def on_epoch(self, state):
            states.append({k: v.clone() for k, v in state.field.state_dict().items()})
            rates.append(state.factor)

    stopping = EarlyStopping(lambda: [other], 6, OBJECTIVE)
    train(
        state, training_step(state, OBJECTIVE), lambda epoch, skip: iter([batch] * 5), epochs=50,
        callbacks=[stopping, Note()],
    )  # fmt: skip
    kept = best(history.validation)
    assert len(history.loss) == len(history.validation) == kept + 7 < 50
    for name, value in state.field.state_dict().items():
        assert torch.equal(value, states[kept][name])
    assert not torch.equal(states[kept]["network.head.bias"], states[-1]["network.head.bias"])
    assert rates[kept] == 1.0 and rates[-1] == 0.125
    # after the rise
    assert state.schedule(0.03, state.schedule.steps, state.factor) == 0.03 * 0.125
    assert not state.field.training


def test_a_history_that_has_seen_enough_is_left_alone():
    batch = a_batch()
    state = a_state(batch, history=History([1.0] * 4, validation=[1.0, 2.0, 2.0, 2.0]))
    stopping = EarlyStopping(lambda: [batch], 3, OBJECTIVE)
    step = training_step(state, OBJECTIVE)
    train(state, step, lambda epoch, skip: iter([batch]), epochs=9, callbacks=[stopping])
    assert len(state.history.loss) == 4 and state.done == 0


def test_a_loss_that_breaks_is_never_the_best():
    batch = a_batch()
    batch.forcing = {k: v * torch.nan for k, v in batch.forcing.items()}
    state = a_state(a_batch(), history=History([1.0], validation=[0.5]))
    EarlyStopping(lambda: [batch], 3, OBJECTIVE).on_epoch(state)
    assert state.history.validation == [0.5, math.inf] and not state.history.best
