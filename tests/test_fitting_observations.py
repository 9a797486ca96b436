"""Several observations at once: weights, cadences and gaps."""

from dataclasses import replace

import numpy as np
import pytest
from toy import QUICK, Bucket, grid

import xdpl
from xdpl import errors
from xdpl.losses import MSE, NSE

BOTH = {"qobs": "streamflow", "stored": "water"}


@pytest.fixture(scope="module")
def ds():
    """Daily streamflow, and the water stored, at every seventh day and in half of the cells."""
    ds = grid()
    true = xdpl.fit(ds, obs="qobs", **{**QUICK, "epochs": 1}).simulate(ds, outputs="water").water
    seventh = ds.time.copy(data=np.arange(ds.sizes["time"]) % 7 == 3)
    sparse = true.where(seventh & (ds.x > ds.x.mean()))
    return ds.assign(stored=sparse.assign_attrs(units="mm"))


def test_a_sparse_observation_of_other_units_is_not_drowned(ds):
    contradicting = ds.assign(stored=(ds.stored * 3).assign_attrs(units="mm"))
    keywords = {**QUICK, "epochs": 25}
    errors_of = {}
    for weight in (0.01, 100.0):
        fit = xdpl.fit(contradicting, BOTH, weights={"stored": weight}, **keywords)
        errors_of[weight] = fit.scores["water"]["rmse"], fit.scores["streamflow"]["rmse"]
    # the more weight, the better the water stored is met, and the worse the streamflow
    assert errors_of[100.0][0] < 0.8 * errors_of[0.01][0]
    assert errors_of[100.0][1] > 1.2 * errors_of[0.01][1]


def test_units_of_one_observation_change_nothing(ds):
    metres = ds.assign(stored=(ds.stored / 1000).assign_attrs(units="m"))
    one, other = (xdpl.fit(d, BOTH, **QUICK).parameters(d) for d in (ds, metres))
    np.testing.assert_allclose(one.recession, other.recession, rtol=1e-3)


def test_a_variable_seen_on_other_days_or_in_other_cells_only_is_fine(ds):
    early = ds.time < ds.time[400]
    apart = ds.assign(
        qobs=ds.qobs.where(early & (ds.x < ds.x.mean())), stored=ds.stored.where(~early)
    )
    fit = xdpl.fit(apart, BOTH, **QUICK)
    assert fit.record["cells"] == 30
    scores = fit.evaluate(apart)
    assert scores.n.sel(observation="qobs").max() == 400
    assert float(scores.n.sel(observation="stored", x=ds.x.max()).min()) == 57
    assert np.isfinite(scores.rmse.sel(observation="qobs", x=ds.x.min())).all()
    assert np.isnan(scores.rmse.sel(observation="qobs", x=ds.x.max())).all()


def test_weekly_means_are_scored_as_means(ds):
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    flow = fit.simulate(ds).streamflow
    weekly = flow.rolling(time=7).mean()[6::7].reindex(time=ds.time)
    means = ds.assign(qobs=weekly.assign_attrs(units="mm day-1"))
    told = xdpl.fit(means, obs="qobs", loss=NSE(average=7), **{**QUICK, "epochs": 1})
    told = replace(told, learner=fit.learner)
    assert float(told.evaluate(means).rmse.max()) < 1e-4
    assert float(fit.evaluate(means).rmse.max()) > 0.1
    assert "average=7" in str(told.losses["streamflow"])


def test_weights_and_losses_are_kept_and_shown(ds, tmp_path):
    losses = {"qobs": NSE(), "stored": MSE(average=7)}
    fit = xdpl.fit(ds, BOTH, weights={"qobs": 2, "water": 0.5}, loss=losses, **QUICK)
    assert fit.settings["weights"] == {"streamflow": 2.0, "water": 0.5}
    assert "2 x NSE(" in repr(fit) and "0.5 x MSE(" in repr(fit) and "of stored" in repr(fit)
    again = xdpl.load(fit.save(tmp_path / "f.xdpl"), model=Bucket)
    assert again.losses == fit.losses and repr(again) == repr(fit)


WRONG = {
    "no mapping": (0.5, "weights is 0.5, not a mapping"),
    "unknown": ({"swe": 1}, "entry for 'swe', which is not observed. Give weights of qobs, stored"),
    "negative": ({"qobs": -1}, r"weights\['qobs'\]=-1 can't be used. Give a number above 0"),
    "none": ({"qobs": None}, "weights.*None can't be used. Give a finite number"),
    "infinite": ({"qobs": float("inf")}, "weights.*inf can't be used. Give a finite number"),
}


@pytest.mark.parametrize(("weights", "said"), WRONG.values(), ids=WRONG)
def test_impossible_weights_are_refused(ds, weights, said):
    with pytest.raises(errors.DeclarationError, match=said):
        xdpl.fit(ds, BOTH, weights=weights, **QUICK)
