"""Sums of losses in fits: trained, in microbatches, saved, and asked for their evidence."""

from dataclasses import dataclass, replace

import pytest
import torch
import xarray as xr
from test_prediction_fit_files import with_header
from toy import QUICK, Bucket, grid
from training_helpers import SIMULATOR, a_batch

import xdpl
from xdpl.errors import FitFileError
from xdpl.losses import KGE, NSE, Loss
from xdpl.prediction.identifiability import _cell_loss
from xdpl.training.microbatch import microbatches_of
from xdpl.training.objective import Objective


@dataclass(frozen=True)
class Absolute(Loss):
    """A loss that isn't xdpl's own."""

    def per_cell(self, simulated, observed):
        seen = ~torch.isnan(observed)
        error = torch.where(seen, simulated - observed, 0.0).abs()
        return error.sum(0), seen.sum(0).to(error.dtype)


@pytest.fixture(scope="module")
def ds():
    return grid(days=500)


@pytest.fixture(scope="module")
def fit(ds):
    loss = NSE(softening=0.2) + 0.5 * KGE() + 0.1 * Absolute()
    return xdpl.fit(ds, obs="qobs", loss=loss, **{**QUICK, "epochs": 2})


def test_a_sum_is_saved_and_loaded(ds, fit, tmp_path):
    path = fit.save(tmp_path / "fit.xdpl")
    back = xdpl.load(path, model=Bucket, losses=[Absolute])
    assert back.losses == fit.losses and repr(back) == repr(fit)
    text = "NSE(softening=0.2) + 0.5 * KGE() + 0.1 * Absolute()"
    assert str(back.losses["streamflow"]) == text
    xr.testing.assert_equal(back.parameters(ds), fit.parameters(ds))
    with pytest.raises(FitFileError, match=r"the loss Absolute, .*losses=\[Absolute\]"):
        xdpl.load(path, model=Bucket)


@pytest.mark.parametrize(
    "terms",
    [
        None,
        [],
        [["NSE", 1.0]],
        [[1e999, {"name": "MSE", "options": {}}]],
        [[-1.0, {"name": "MSE", "options": {}}]],
        [[1.0, {"name": "WeightedSum", "options": {"terms": []}}]],
        [[1.0, {"name": "MSE", "options": {"per_cell_bias": 1, "nonsense": 2}}]],
    ],
)
def test_a_damaged_sum_is_refused(fit, tmp_path, terms):
    def change(header):
        header["losses"]["streamflow"]["options"] = {} if terms is None else {"terms": terms}
        return header

    path = fit.save(tmp_path / "fit.xdpl")
    path.write_bytes(with_header(path.read_bytes(), change))
    with pytest.raises(FitFileError, match="damaged|can't be read as a fit file"):
        xdpl.load(path, model=Bucket, losses=[Absolute])


def test_microbatches_of_a_sum_add_up_to_the_whole():
    batch = a_batch(cells=11)
    loss = NSE() + 0.5 * KGE(at_least=5)
    batch = replace(
        batch, scale={name: loss.scale(series) for name, series in batch.observed.items()}
    )
    objective = Objective({"streamflow": loss}, SIMULATOR, 1.0)
    parameter = {"recession": torch.full((11, 1), 0.3), "evaporation_factor": torch.ones(11, 1)}
    whole = objective(objective.simulate(batch, parameter), batch)
    denominators = objective.denominators(batch)
    assert denominators.shape == (2,)
    total = torch.zeros(())
    for index, one in microbatches_of(batch, 3):
        own = {name: value[index] for name, value in parameter.items()}
        total = total + objective.share(objective.simulate(one, own), one, denominators)
    torch.testing.assert_close(total, whole)


def test_evidence_of_a_sum():
    """The loss of each cell, from which sensitivities are made, adds up the terms."""
    batch = a_batch(cells=5)
    observed = batch.observed["streamflow"]
    loss = NSE() + 0.5 * KGE()
    own = _cell_loss(loss, observed + 1, observed)
    for cell in range(5):
        one = (observed + 1)[:, [cell]], observed[:, [cell]]
        expected = NSE()(*one, NSE().scale(one[1])) + 0.5 * KGE()(*one)
        torch.testing.assert_close(own[cell], expected)
