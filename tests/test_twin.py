"""Twin experiments, small: true parameters are recovered, and those that can't be are known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from xdpl.models import GR4J, HBV, VIC

PATH = Path(__file__).resolve().parent.parent / "benchmarks" / "twin.py"
spec = importlib.util.spec_from_file_location("twin", PATH)
twin = importlib.util.module_from_spec(spec)
sys.modules["twin"] = twin
spec.loader.exec_module(twin)


def test_rank_correlation_is_that_of_ranks():
    x = torch.tensor([0.1, 3.0, 2.0, 50.0])
    assert twin.rank_correlation(x, torch.exp(x / 10)) == pytest.approx(1)
    assert twin.rank_correlation(x, -x) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("model", "recovered", "not_identifiable"),
    [
        (GR4J(), set(GR4J().parameters), set()),
        (
            # its 18 parameters are too many for recessions to be found in so few steps (0.64)
            HBV(capillary_rise=False),
            {"field_capacity", "evaporation_correction", "melt_factor", "melt_temperature"},
            {"refreezing_factor"},
        ),
        (
            VIC(),
            {"porosity", "surface_depth", "frozen_share", "threshold_temperature"},
            {"linear_baseflow", "baseflow_threshold", "deep_capacity", "surface_root_fraction"},
        ),
    ],
    ids=["GR4J", "HBV", "VIC"],  # sets have no order, and parallel runs compare names
)
def test_true_parameters_are_recovered(model, recovered, not_identifiable):
    result = twin.twin(model, cells=60, years=3, iterations=150, learning_rate=0.1)
    assert result.misfit < 0.01
    assert recovered <= set(result.recovered), result.correlation
    assert not not_identifiable & set(result.recovered), result.correlation


def test_noise_costs_accuracy():
    clear, noisy = (
        twin.twin(GR4J(), cells=40, years=2, iterations=80, noise=noise) for noise in (0.0, 0.5)
    )
    assert noisy.misfit > clear.misfit + 0.1


def test_the_script_prints_a_table(capsys, monkeypatch):
    options = ["GR4J", "--cells", "10", "--years", "1.5", "--iterations", "3", "--every-output"]
    monkeypatch.setattr(sys, "argv", ["twin.py", *options])
    twin.main()
    printed = capsys.readouterr().out
    assert "GR4J, observed: streamflow, evapotranspiration, groundwater_exchange" in printed
    assert "unit_hydrograph_time" in printed and "misfit" in printed
    assert "HBV" not in printed
