"""Settings and record of a fit: typed, frozen, and read by key as well."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from toy import QUICK, grid

import xdpl
from xdpl.prediction.fit_record import FitSettings, TrainingRecord

GIVEN = {
    "period": ["2000-01-01", "2000-12-31"], "warmup_days": 365.0, "epochs": 3, "batch_size": 16,
    "learning_rate": 0.01, "seed": 0,
}  # fmt: skip


def test_keys_and_attributes_show_the_same():
    chosen = FitSettings.of(GIVEN)
    assert chosen.period == ("2000-01-01", "2000-12-31")
    assert chosen["period"] == list(chosen.period) and chosen["epochs"] == chosen.epochs == 3
    assert {**chosen, "seed": 5}["seed"] == 5 and chosen == dict(chosen)
    assert chosen["past"] is None and "patience" not in chosen and chosen.get("patience") is None
    assert "patience" in replace(chosen, patience=2)
    with pytest.raises(KeyError):
        chosen["epocs"]
    with pytest.raises(FrozenInstanceError):
        chosen.epochs = 5
    assert FitSettings.of(chosen) is chosen


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"epochs": -1}, r"FitSettings.epochs is -1, not from 0 to"),
        ({"learning_rate": float("nan")}, "FitSettings.learning_rate is nan, not from 0"),
        ({"warmup_days": 1e12}, r"warmup_days is 1000000000000.0, not from 0 to 1e\+07"),
        ({"period": ["2000"]}, "FitSettings.period has 1 items, not 2"),
        ({"precision": "half"}, "FitSettings.precision is 'half', not one of"),
        ({"weights": {"q": 0.0}}, "FitSettings.weights.q is 0.0, not from 1e-300"),
        ({"validation": 1.5}, "FitSettings.validation is 1.5, not from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        FitSettings.of({**GIVEN, **change})
    with pytest.raises(ValueError, match="FitSettings lacks 'seed'"):
        FitSettings.of({k: v for k, v in GIVEN.items() if k != "seed"})


def test_a_record_is_empty_at_first():
    record = TrainingRecord()
    assert record["loss"] == [] and record.get("stopped") is None and "stopped" not in record
    assert TrainingRecord.of({"loss": [1.0, float("nan")]}).loss[0] == 1.0


def test_a_fit_can_not_be_changed_but_copied(tmp_path):
    ds = grid(3, 4, 500)
    ds["elevation"] = ds.elevation.where(ds.elevation > ds.elevation.min())
    with pytest.warns(xdpl.errors.XdplWarning, match="left out") as caught:
        fit = xdpl.fit(ds, obs="qobs", **QUICK)
    with pytest.raises(FrozenInstanceError):
        fit.settings = {}
    other = replace(fit, settings={**fit.settings, "seed": 5})
    assert other.settings.seed == 5 and fit.settings.seed == 0
    np.testing.assert_equal(other.parameters(ds).recession.values, fit.parameters(ds).recession)
    said = [str(one.message) for one in caught if one.category is xdpl.errors.XdplWarning]
    assert fit.messages == list(dict.fromkeys(said)) and fit.messages
    again = xdpl.load(fit.save(tmp_path / "fit.xdpl"), model=type(fit.model))
    assert again.messages == fit.messages and again.record == fit.record
