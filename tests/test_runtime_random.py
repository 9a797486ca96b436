"""Random numbers of one run: its own, whatever else draws."""

import threading

import pytest
import torch

from xdpl.runtime.random import RandomStream


def test_a_stream_draws_what_a_seed_gives_and_leaves_the_others_alone():
    torch.manual_seed(7)
    expected = torch.rand(6)
    torch.manual_seed(99)
    outside = torch.get_rng_state()
    stream, found = RandomStream(7), []
    for _ in range(2):
        with stream.drawing():
            found.append(torch.rand(3))
        assert torch.equal(torch.get_rng_state(), outside)
    assert torch.equal(torch.cat(found), expected)


def test_drawing_within_drawing_goes_on():
    stream, other = RandomStream(1), RandomStream(1)
    with stream.drawing():
        first = torch.rand(2)
        with stream.drawing():
            second = torch.rand(2)
        with other.drawing():
            assert torch.equal(torch.rand(2), first)
        third = torch.rand(2)
    with RandomStream(1).drawing():
        assert torch.equal(torch.rand(6), torch.cat([first, second, third]))


def test_what_draws_at_the_same_time_in_other_threads_sees_nothing_of_it():
    def draw(seed, into):
        stream = RandomStream(seed)
        for _ in range(200):
            with stream.drawing():
                into.append(float(torch.rand(())))

    expected, found = {}, {}
    for seed in range(3):
        draw(seed, expected.setdefault(seed, []))
    threads = [
        threading.Thread(target=draw, args=(seed, found.setdefault(seed, []))) for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_a_state_is_kept_and_taken_up_or_refused():
    stream = RandomStream(3)
    states = stream.states
    with stream.drawing():
        first = torch.rand(4)
    stream.states = states
    with stream.drawing():
        assert torch.equal(torch.rand(4), first)
    with pytest.raises((RuntimeError, TypeError), match="state"):
        stream.states = [torch.zeros(5, dtype=torch.uint8)]
