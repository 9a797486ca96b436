"""Cross-validation: what is held back stays out of training, in space, in time and in both."""

import functools
import warnings

import numpy as np
import pytest
import xarray as xr
from toy import QUICK, Bucket, basins, grid

import xdpl
from xdpl import errors
from xdpl.spatial import blocks, nearest, positions
from xdpl.validation import defaults, uniform

TRAIN, TEST = slice("2000-01-01", "2000-12-31"), slice("2001-01-01", "2001-05-14")
CHEAP = {"model": Bucket(), "progress": False}
ONCE = {**QUICK, "epochs": 1}
DAYS = 500


@pytest.fixture(scope="module")
def ds():
    return grid(4, 5, DAYS)


class Spy:
    """A method that remembers what it was given, and scores nothing."""

    def __init__(self):
        self.calls = []

    def __call__(self, ds, obs, *, period, cells, seed, progress, **keywords):
        self.calls.append({"ds": ds, "period": period, "cells": cells, "seed": seed})
        return defaults(ds, obs, period=period, cells=cells, progress=False, **keywords)


def test_held_back_cells_and_times_never_reach_training(ds):
    spy = Spy()
    found = xdpl.cross_validate(
        ds, "qobs", space="random", folds=4, time=[(TRAIN, TEST)], seeds=(0, 7), method=spy, **CHEAP
    )
    assert len(spy.calls) == 8
    assert [call["seed"] for call in spy.calls] == [0] * 4 + [7] * 4
    fold = found.scores.fold
    for number, call in enumerate(spy.calls):
        held = fold == number % 4
        given = call["ds"].qobs
        assert given.where(held).isnull().all()
        assert given.sel(time=TEST).isnull().all()
        assert given.sel(time=TRAIN).where(~held).notnull().sum() == (~held).sum() * 366
        assert not (call["cells"] & held).any()
    assert ds.qobs.notnull().all(), "the user's Dataset was changed"


def test_scores_are_those_of_the_folds_fits(ds):
    found = xdpl.cross_validate(ds, "qobs", space="random", folds=2, time=[(TRAIN, TEST)], **QUICK)
    fold = found.scores.fold
    quick = {**QUICK, "cells": fold != 1}
    alone = xdpl.fit(ds, "qobs", period=TRAIN, **quick).evaluate(ds, period=TEST)
    one = found.scores.isel(seed=0)
    np.testing.assert_allclose(
        one.nse.where(fold == 1).values, alone.nse.where(fold == 1).values, rtol=1e-5
    )
    assert one.n.max() == DAYS - 366
    assert set(found.scores.data_vars) == set(xdpl.scores.SCORES)
    assert found.scores.nse.dims == ("seed", "y", "x")
    assert found.scores.rmse.attrs["units"] == "mm day-1"
    assert found.scores.attrs["Conventions"] == "CF-1.11"
    assert found.scores.rio.crs == ds.rio.crs
    assert set(np.unique(fold)) == {0, 1}


@pytest.mark.parametrize("kind", ["grid", "basins"])
@pytest.mark.parametrize("lazy", [False, True])
def test_regions_and_several_splits_on_grids_and_basins(kind, lazy, tmp_path):
    ds = grid(4, 5, DAYS) if kind == "grid" else basins(9, DAYS)
    found = xdpl.cross_validate(
        ds.chunk() if lazy else ds, "qobs", space="regions", folds=3, time=2, method=defaults,
        seeds=(0, 1), **CHEAP,
    )  # fmt: skip
    scores = found.scores
    assert dict(scores.nse.sizes) == {"seed": 2, "period": 2} | {
        dim: n for dim, n in ds.sizes.items() if dim != "time"
    }
    assert np.isfinite(scores.nse).all()
    assert list(scores.trained.values)[1] == "2000-01-01/2000-11-28"
    assert list(scores.tested.values)[1] == "2000-11-29/2001-05-14"
    assert not any(v.chunks for v in scores.variables.values())
    scores.to_netcdf(tmp_path / "scores.nc")
    assert found.medians.nse.dims == ("seed", "period")
    # defaults do not depend on the seed
    np.testing.assert_allclose(found.spread.nse, 0, atol=1e-12)
    text = repr(found)
    for word in ("defaults", "3 folds of contiguous regions", "2 seeds", "2000-11-28", "nse", "+-"):
        assert word in text


def test_time_alone_scores_all_cells(ds):
    found = xdpl.cross_validate(ds, "qobs", time=[(TRAIN, TEST)], method=defaults, **CHEAP)
    assert np.isfinite(found.scores.nse).all()
    assert "fold" not in found.scores.coords
    assert "all cells known" in repr(found)
    assert found.spread.nse.isnull()


def test_the_later_period_may_train(ds):
    found = xdpl.cross_validate(ds, "qobs", time=[(TEST, TRAIN)], method=defaults, **CHEAP)
    assert found.scores.n.max() == 366


def test_labels_of_regions_are_held_back_one_at_a_time(ds):
    labelled = ds.assign(state=(ds.x > ds.x[2]).astype(int) + 0 * (ds.y > 0))
    for space in ("state", labelled.state):
        found = xdpl.cross_validate(
            labelled, "qobs", space=space, method=defaults, attributes=["forest"], **CHEAP
        )
        np.testing.assert_array_equal(found.scores.fold, labelled.state.transpose("y", "x"))
    assert "2 folds of regions by 'state'" in repr(found)


def test_cells_without_observations_or_not_allowed_are_in_no_fold(ds):
    sparse = ds.assign(qobs=ds.qobs.where(ds.y < ds.y[0]))
    allowed = (ds.x < ds.x[4]) & ds.forest.notnull()
    found = xdpl.cross_validate(
        sparse, "qobs", space="random", folds=3, cells=allowed, method=defaults, **CHEAP
    )
    used = allowed & (ds.y < ds.y[0])
    np.testing.assert_array_equal(found.scores.fold >= 0, used.transpose("y", "x"))
    np.testing.assert_array_equal(found.scores.nse.notnull().isel(seed=0), used.transpose("y", "x"))


def test_random_folds_follow_labels_not_places(ds):
    kinds = [ds, ds.isel(y=slice(None, None, -1)), ds.transpose("x", "y", "time")]
    folds = [
        xdpl.cross_validate(d, "qobs", space="random", method=defaults, **CHEAP).scores.fold
        for d in kinds
    ]
    for fold in folds[1:]:
        xr.testing.assert_equal(
            folds[0].reset_coords(drop=True).sortby("y").transpose("y", "x"),
            fold.reset_coords(drop=True).sortby("y").transpose("y", "x"),
        )


def test_methods_may_be_partial(ds):
    quick = functools.partial(uniform, epochs=2)
    found = xdpl.cross_validate(ds, "qobs", time=1, method=quick, **CHEAP)
    assert found.method == "uniform"


def test_blocks_are_contiguous_equal_and_repeatable():
    place = np.random.default_rng(0).uniform(0, 1, (101, 2)) * [10, 1]
    number = blocks(place, 5)
    assert sorted(np.bincount(number)) == [20, 20, 20, 20, 21]
    # cut across the long side: the ranges along it don't overlap
    ranges = sorted((place[number == i, 0].min(), place[number == i, 0].max()) for i in range(5))
    assert all(a[1] <= b[0] for a, b in zip(ranges, ranges[1:], strict=False))
    np.testing.assert_array_equal(number, blocks(place, 5))


def test_nearest_finds_neighbours_across_the_date_line():
    ds = xr.Dataset(coords={"lat": ("c", [0.0, 0.0, 0.0]), "lon": ("c", [179.5, -179.5, 170.0])})
    place = positions(ds, ("c",))
    np.testing.assert_array_equal(nearest(place, place, 2)[:, 1], [1, 0, 0])


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({}, errors.DeclarationError, "nothing is held back"),
        ({"space": "county"}, errors.LayoutError, "space='county' is neither"),
        ({"space": "prcp"}, errors.LayoutError, r"labels of regions are given as dimensions"),
        ({"space": "random", "folds": 1}, errors.DeclarationError, "folds=1 .* from 2 to 20"),
        ({"space": "random", "folds": 21}, errors.DeclarationError, "folds=21 .* 20 observed"),
        ({"time": 0}, errors.DeclarationError, "time=0 can't be used"),
        ({"time": "2000"}, errors.DeclarationError, "time='2000' can't be used.*pairs"),
        ({"time": [(TRAIN,)]}, errors.DeclarationError, "can't be used.*pairs"),
        ({"time": [(TRAIN, slice("2000-12-31", None))]}, errors.DataError, "overlaps"),
        ({"time": [(TRAIN, TEST)], "period": TRAIN}, errors.DeclarationError, "both say when"),
        ({"time": 1, "seeds": 3}, errors.DeclarationError, "seeds=3 can't be used"),
        ({"time": 1, "seeds": (1, 1)}, errors.DeclarationError, r"seeds=\(1, 1\)"),
        ({"time": 1, "seed": 3}, errors.DeclarationError, "no keyword 'seed'. Use seeds"),
        ({"time": 1, "method": "nse"}, errors.DeclarationError, "'nse', which can't be called"),
        ({"time": 1, "method": lambda *a, **k: 3}, errors.DeclarationError, "returned a int"),
    ],
)
def test_impossible_questions_are_refused(ds, keywords, error, message):
    with pytest.raises(error, match=message):
        xdpl.cross_validate(ds, "qobs", **{**CHEAP, **keywords})


def test_one_region_is_not_enough(ds):
    one = ds.assign(state=ds.forest * 0)
    with pytest.raises(errors.DataError, match="'state' labels 1 region"):
        xdpl.cross_validate(one, "qobs", space="state", attributes=["forest"], **CHEAP)


def test_nothing_observed_is_an_error(ds):
    with pytest.raises(errors.DataError, match="no cell has observations"):
        xdpl.cross_validate(ds, "qobs", time=1, cells=ds.forest > 9, **CHEAP)


def test_cells_without_positions_have_no_regions():
    ds = basins(6, DAYS).drop_vars(["lat", "lon"])
    with pytest.raises(errors.LayoutError, match="no positions.*assign_coords"):
        xdpl.cross_validate(ds, "qobs", space="regions", folds=2, **CHEAP)
    with pytest.raises(errors.LayoutError, match="a single cell has no neighbours"):
        positions(ds.isel(basin=0), ())


def test_the_past_reaches_the_network_but_for_cells_that_are_held_back(ds):
    given = []

    def method(ds, obs, **keywords):
        given.append(ds.qobs)
        return xdpl.fit(ds, obs, epochs=1, deviations=False, **keywords)

    past, train = slice("2000-01-01", "2000-06-30"), slice("2000-07-01", "2000-12-31")
    keywords = {"time": [(train, TEST)], "past": past, "method": method, **CHEAP}
    with pytest.warns(errors.XdplWarning, match="10 of 20 cells have no observations in the past"):
        found = xdpl.cross_validate(ds, "qobs", space="random", folds=2, **keywords)
    fold = found.scores.fold
    for number, seen in enumerate(given):
        there = seen.sel(time=past).notnull().any("time")
        assert (there == (fold != number)).all()
        assert seen.sel(time=TEST).isnull().all()
    assert np.isfinite(found.scores.nse).all()


def test_several_observations_are_shown_one_by_one(ds):
    two = ds.assign(store=(10 * ds.qobs).assign_attrs(units="mm"))
    two["store"][:, 0, :3] = np.nan
    found = xdpl.cross_validate(
        two,
        {"qobs": "streamflow", "store": "water"},
        folds=2,
        space="random",
        **ONCE,
    )
    shown = repr(found)
    assert "qobs: 20 cells scored" in shown and "store: 17 cells scored" in shown
    assert shown.count("    nse ") == 2


def test_observations_that_never_change_are_counted_and_leak_no_warning(ds):
    still = ds.assign(qobs=xr.ones_like(ds.qobs).assign_attrs(ds.qobs.attrs))
    told = r"\d+ of \d+ cells have observations of qobs that never change.*std\(\"time\"\) > 0"
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.warns(errors.XdplWarning, match=told):
            found = xdpl.cross_validate(still, "qobs", folds=2, space="random", **ONCE)
        fit = xdpl.fit(still, "qobs", **ONCE)
        scores = fit.evaluate(still)
    assert "nse    nan" in repr(found) and np.isnan(fit.scores["streamflow"]["nse"])
    assert scores.nse.isnull().all() and (scores.rmse >= 0).all()
