"""`fit(validation=...)`: cells that decide when to stop, split off by their labels."""

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, Bucket, basins, grid

import xdpl
from xdpl import errors
from xdpl.fitting.holdout import hold_out
from xdpl.fitting.problem import settle

FIT = {**QUICK, "epochs": 8, "validation": 0.3}


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.fixture(scope="module")
def learned(ds):
    return xdpl.fit(ds, obs="qobs", patience=3, **FIT)


def split(ds, share=0.3, cells=None):
    problem = settle(
        ds, "qobs", model=Bucket(), attributes=None, forcings=None, loss=None, period=None,
        cells=cells, warmup=None, categorical=(),
    )  # fmt: skip
    return tuple(part.wanted for part in hold_out(problem, share))


def test_labels_alone_decide_which_cells(ds):
    train, held = split(ds)
    assert (train ^ held).all() and 4 <= int(held.sum()) <= 14
    part = ds.isel(x=[4, 1, 2], y=slice(None, None, -1)).chunk({"x": 2})
    xr.testing.assert_equal(
        split(part)[1].compute(), held.isel(x=[4, 1, 2], y=slice(None, None, -1))
    )
    assert (held <= split(ds, 0.5)[1]).all(), "a larger share holds back further cells"
    some = ds.elevation > 500
    train, held = split(ds, cells=some)
    assert (train ^ held).equals(some)
    train, held = split(basins())
    assert (train ^ held).all() and held.dims == ("basin",)


def test_they_are_never_trained_on(ds):
    _, held = split(ds)
    keywords = {**FIT, "epochs": 2, "patience": 2}
    fit = xdpl.fit(ds, obs="qobs", **keywords)
    assert fit.record["cells"] == 30 - int(held.sum())
    assert fit.settings["validation_cells"] == int(held.sum())
    assert not set(fit.label) & set(xdpl.fit(ds, obs="qobs", cells=held, **QUICK).label)
    # their observations decide which epoch is kept, and nothing else
    other = xdpl.fit(ds.assign(qobs=ds.qobs.where(~held, 2 * ds.qobs)), obs="qobs", **keywords)
    assert other.record["loss"] == fit.record["loss"]
    assert other.record["validation"] != fit.record["validation"]


def test_what_happened_is_recorded_and_shown(ds, learned, tmp_path):
    (losses,), (epoch,) = learned.record["validation"], learned.record["best_epoch"]
    assert losses[epoch - 1] == min(losses) and len(losses) == len(learned.record["loss"])
    assert f"weights of epoch {epoch} of {len(losses)} kept" in repr(learned)
    assert learned.settings["patience"] == 3
    again = xdpl.load(learned.save(tmp_path / "f.xdpl"), model=Bucket)
    assert repr(again) == repr(learned)
    maps = again.parameters(ds)
    assert maps.attrs["validation_cells"] == learned.settings["validation_cells"]
    assert np.isfinite(maps.recession).all()


def test_a_resumed_fit_has_the_same_bits(ds, tmp_path):
    for last in (8, 7):  # from the end, and from within
        keywords = {**FIT, "patience": 3, "checkpoint": tmp_path / str(last)}
        whole = xdpl.fit(ds, obs="qobs", **{**keywords, "checkpoint": None})
        xdpl.fit(ds, obs="qobs", **keywords)
        files = sorted((tmp_path / str(last)).glob("epoch-*"))
        if last == 7:
            files[-1].unlink()
        resumed = xdpl.fit(ds, obs="qobs", **keywords)
        assert resumed.record["validation"] == whole.record["validation"]
        xr.testing.assert_equal(resumed.parameters(ds), whole.parameters(ds))


def test_members_of_an_ensemble_stop_by_the_same_cells(ds):
    fit = xdpl.fit(ds, obs="qobs", ensemble=2, past=slice("2000-01-01", "2000-06-30"), **FIT)
    assert len(fit.record["best_epoch"]) == 2
    assert "validated" in repr(fit) and fit.settings["patience"] == 2


WRONG = {
    "all": ({"validation": 1}, "validation=1 is not a share"),
    "none": ({"validation": 0.0}, "validation=0.0 is not a share"),
    "text": ({"validation": "some"}, "validation='some' is not a share"),
    "patience": ({"validation": 0.2, "patience": 0}, "patience=0 can't be used"),
    "alone": ({"patience": 5}, "patience=5 needs validation cells"),
}


@pytest.mark.parametrize(("keywords", "said"), WRONG.values(), ids=WRONG)
def test_impossible_choices_are_refused(ds, keywords, said):
    with pytest.raises(errors.DeclarationError, match=said):
        xdpl.fit(ds, obs="qobs", **{**QUICK, **keywords})


def test_too_few_cells_are_refused(ds):
    with pytest.raises(errors.DataError, match="validation=1e-06 holds back no cell"):
        xdpl.fit(ds, obs="qobs", **{**QUICK, "validation": 1e-6})


def test_a_share_that_leaves_few_cells_to_train_on_is_told(ds):
    with pytest.warns(errors.XdplWarning, match=r"validation=0.9 leaves 5 of 30 cells to train"):
        xdpl.fit(ds, obs="qobs", **{**QUICK, "validation": 0.9})


def test_one_cell_can_not_be_split(ds):
    point = ds.isel(x=0, y=0, drop=True)
    with pytest.raises(errors.DataError, match="holds back cells, and the Dataset has 1") as raised:
        xdpl.fit(point, obs="qobs", **FIT)
    assert "validation=None" in str(raised.value)
    assert len(xdpl.fit(point, obs="qobs", **{**FIT, "validation": None}).label) == 1
