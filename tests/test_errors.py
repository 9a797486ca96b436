"""Warnings: they name the line of the user's program, however deep they come from."""

import contextvars
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from toy import QUICK, grid

import xdpl
from xdpl.errors import Interrupted, XdplWarning, reported, reporting, warn


@pytest.fixture
def ds():
    ds = grid(days=450)
    return ds.assign(forest=ds.forest.where(ds.elevation > 500), same=ds.forest * 0 + 1)


def caught(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [w for w in found if issubclass(w.category, XdplWarning)]


def test_a_warning_names_the_line_outside_of_xdpl(ds):
    fit = xdpl.fit(ds.isel(x=slice(0, 4)), obs="qobs", **QUICK)
    for call in (
        lambda: ds.dpl.fit(obs="qobs", **QUICK),
        lambda: xdpl.fit(ds, obs="qobs", period=slice("1999", "2001-03-01"), **QUICK),
        lambda: ds.dpl.parameters(fit),
        lambda: fit.evaluate(ds.isel(y=slice(0, 4))),
    ):
        found = caught(call)
        assert found
        assert {w.filename for w in found} == {__file__}


def test_a_warning_of_no_use_of_xdpl_names_its_own_line():
    (found,) = caught(lambda: warn("mind the gap"))
    assert found.filename == __file__
    assert str(found.message) == "mind the gap"


def test_a_fit_says_once_what_it_found_in_the_same_cells(ds):
    first = caught(lambda: ds.dpl.fit(obs="qobs", **QUICK))
    assert any("an attribute is missing" in str(w.message) for w in first)
    for method in (ds.dpl.parameters, ds.dpl.simulate, ds.dpl.evaluate):
        assert not caught(method)
    fit = ds.dpl.fit(obs="qobs", **QUICK)
    part = ds.isel(x=slice(0, 5))
    assert np.isnan(part.forest).any()
    assert caught(lambda: fit.parameters(part))
    assert not caught(lambda: fit.parameters(part))


def test_a_call_shows_each_message_once_and_keeps_it():
    def call():
        with reporting() as messages:
            for layer in ("layer_1", "layer_2", "layer_1"):
                warn(f"3 values of {layer} are missing")
        assert messages.texts == tuple(f"3 values of layer_{n} are missing" for n in (1, 2))

    assert len(caught(call)) == 2
    assert len(caught(lambda: [call(), call()])) == 4  # each call for itself


def test_what_one_fold_has_shown_the_next_one_only_keeps():
    kept = []

    def fold(cells):
        with reporting():
            warn(f"{cells} of 30 cells are left out")
            warn(f"{cells} values of 'x 1' are missing")
            warn(f"{cells} values of 'x 2' are missing")
            kept.append(reported())

    def call():
        with reporting() as messages:
            fold(3)
            fold(4)
        kept.append(messages.texts)

    assert [str(w.message)[:4] for w in caught(call)] == ["3 of", "3 va", "3 va"]
    assert [len(texts) for texts in kept] == [3, 3, 6]
    assert kept[1][0] == "4 of 30 cells are left out"
    assert reported() == ()


def test_a_changed_name_is_no_message_about_data():
    def call():
        with reporting() as messages:
            warn("old is now new", FutureWarning)
        assert messages.texts == ()

    with pytest.warns(FutureWarning):
        call()


def test_calls_of_two_threads_do_not_meet():
    def call(_):
        with reporting() as messages:
            warn("the same in both")
            return messages.texts

    def both():
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(call, range(2))) == [("the same in both",)] * 2

    assert len(caught(both)) == 2


def test_a_thread_can_carry_on_a_call():
    def call():
        with reporting() as messages, ThreadPoolExecutor(1) as pool:
            warn("read again")
            pool.submit(contextvars.copy_context().run, warn, "read again").result()
            pool.submit(contextvars.copy_context().run, warn, "read slowly").result()
        assert messages.texts == ("read again", "read slowly")

    assert len(caught(call)) == 2


def test_an_interrupt_is_one_and_carries_the_fit():
    stopped = Interrupted("half way", fit="a fit")
    assert isinstance(stopped, KeyboardInterrupt) and not isinstance(stopped, Exception)
    assert str(stopped) == "half way"
    assert pickle.loads(pickle.dumps(stopped)).fit == "a fit"
    assert Interrupted().fit is None
