"""Both parts of mixed effects, in physical units, and how far cells spread around the network."""

import numpy as np
import pytest
import torch
import xarray as xr
from toy import QUICK, Bucket, grid

import xdpl
from xdpl import errors
from xdpl.models import HBV
from xdpl.parameters.transforms import bounded, unbounded
from xdpl.prediction.mixed_effects import spread
from xdpl.rasters import to_geotiff


@pytest.fixture(scope="module")
def ds():
    return grid()


@pytest.fixture(scope="module")
def west(ds):
    return xr.ones_like(ds.forest, dtype=bool) & (ds.x < ds.x[3])


@pytest.fixture(scope="module")
def learned(ds, west):
    return xdpl.fit(ds, obs="qobs", cells=west, **{**QUICK, "epochs": 30})


def test_the_parts_add_up(ds, west, learned):
    found = learned.mixed_effects(ds)
    for name in ("recession", "evaporation_factor"):
        alone, own = found[f"{name}_network"], found[f"{name}_deviation"]
        np.testing.assert_allclose(alone + own, found[name], rtol=1e-6)
        assert found[name].equals(learned.parameters(ds)[name])
        assert alone.equals(learned.parameters(ds, deviations=False)[name])
        assert (own.where(~west, 0) == 0).all() and (own.where(west).std() > 0)


def test_the_spread_is_that_of_the_cells_within_the_bounds(ds, learned):
    found, widths = learned.mixed_effects(ds), spread(learned)
    table = learned.learner.deviation.detach()
    assert widths["recession"] == pytest.approx(float(table[:, 0].pow(2).mean().sqrt()), rel=1e-5)
    for name, parameter in learned.model.parameters.items():
        raw = unbounded(torch.tensor(found[f"{name}_network"].values), parameter)
        high, low = (bounded(raw + sign * widths[name], parameter) for sign in (1, -1))
        np.testing.assert_allclose(found[f"{name}_spread"], (high - low) / 2, rtol=1e-3)
    # about as far as the training cells really lie from the network
    own = found.evaporation_factor_deviation.isel(x=slice(0, 3))
    ratio = float(np.sqrt((own**2).mean()) / found.evaporation_factor_spread.mean())
    assert 0.5 < ratio < 2


def test_metadata_chunks_and_files(ds, learned, tmp_path):
    found = learned.mixed_effects(ds)
    assert found.recession.attrs["ancillary_variables"] == "recession_spread"
    assert found.recession_deviation.units == "day-1" == found.recession_network.units
    assert "valid_range" not in found.recession_deviation.attrs
    lazy = learned.mixed_effects(ds.chunk({"y": 2}))
    assert lazy.recession_spread.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), found, rtol=1e-5)
    assert len(to_geotiff(found, tmp_path)) == 8


def test_components_ensembles_and_temperatures():
    small = xdpl.tutorial.synthetic(cells=9, years=1)
    fit = xdpl.fit(
        small, obs="streamflow", model=HBV, components=2, ensemble=2, epochs=2, progress=False
    )
    found = small.dpl.mixed_effects(fit)
    assert found.field_capacity_spread.dims[0] == "component"
    assert np.isfinite(found.unit_hydrograph_scale_deviation).all()
    assert found.threshold_temperature_network.units == "degC"
    spread_of = found.threshold_temperature_spread
    assert (spread_of.units, spread_of.units_metadata) == ("K", "temperature: difference")


def test_a_fit_without_mixed_effects_is_refused_and_the_old_name_warns(ds, learned):
    fit = xdpl.fit(ds, obs="qobs", deviations=False, **{**QUICK, "epochs": 1})
    with pytest.raises(errors.DeclarationError, match="no mixed effects: it was made with dev"):
        fit.mixed_effects(ds)
    assert isinstance(fit.model, Bucket)
    with pytest.warns(FutureWarning, match="Fit.parts is now Fit.mixed_effects"):
        xr.testing.assert_equal(learned.parts(ds), learned.mixed_effects(ds))
