"""Where a map is doubted, and why."""

import numpy as np
import pytest
import xarray as xr

from xdpl.errors import DataError
from xdpl.rasters import dress
from xdpl.rasters.quality import Quality
from xdpl.validation import doubtful
from xdpl.variables import Parameter

DECLARED = {
    "melt": Parameter("1", bounds=(0, 10)),
    "melt_standard_error": Quality("1", of="melt"),
    "melt_at_bound": Quality("1", of="melt"),
    "melt_identifiability": Quality("1", of="melt"),
    "extrapolation": Quality("", meanings=("like_training", "unlike_training", "no_attributes")),
}


def maps(**layers) -> xr.Dataset:
    """Values 0 to 9 along a line; every layer is fine where it is not given."""
    fine = {"melt_standard_error": 0.1, "melt_at_bound": 0.0, "melt_identifiability": 0.9}
    values = {"melt": np.arange(10.0)}
    values |= {name: np.full(10, value) for name, value in fine.items()}
    values |= {"extrapolation": np.zeros(10, "i1")} | layers
    ds = xr.Dataset(
        {name: ("basin", v) for name, v in values.items()}, {"basin": list("abcdefghij")}
    )
    return dress(ds, ds, DECLARED)


def one(place: int, value: float, rest: float) -> np.ndarray:
    values = np.full(10, rest)
    values[place] = value
    return values


def test_nothing_is_doubted_without_cause():
    found = doubtful(maps())
    assert list(found) == ["melt"] and found.melt.dtype == bool
    assert not found.melt.any()


@pytest.mark.parametrize(
    "layer",
    [
        {"melt_standard_error": one(3, 3.0, 0.1)},
        {"melt_at_bound": one(3, 0.6, 0.4)},
        {"melt_identifiability": one(3, 0.01, 0.5)},
        {"extrapolation": one(3, 1, 0).astype("i1")},
    ],
    ids=lambda layer: next(iter(layer)),
)
def test_each_cause_alone(layer):
    assert list(np.flatnonzero(doubtful(maps(**layer)).melt)) == [3]


def test_thresholds_are_arguments():
    given = maps(melt_at_bound=one(3, 0.6, 0.4))
    assert doubtful(given, at_bound=0.3).melt.all()
    assert not doubtful(given, at_bound=0.7).melt.any()
    assert doubtful(given, spread=0.01).melt.all()
    assert doubtful(given, identifiability=0.95).melt.all()


def test_missing_layers_and_missing_values_are_no_cause():
    given = maps(melt_identifiability=one(3, np.nan, 0.9)).drop_vars("melt_standard_error")
    assert not doubtful(given).melt.any()
    empty = maps(melt=one(3, np.nan, 1.0) * np.arange(10), melt_at_bound=np.ones(10))
    assert list(np.flatnonzero(~doubtful(empty).melt)) == [3]


def test_components_are_doubted_one_by_one():
    ds = maps()
    two = xr.concat([ds.melt, ds.melt], "component").assign_attrs(ds.melt.attrs)
    bound = xr.concat([ds.melt_at_bound, ds.melt_at_bound + 1], "component")
    found = doubtful(ds.assign(melt=two, melt_at_bound=bound)).melt
    assert found.dims == two.dims
    assert not found[0].any() and found[1].all()


def test_maps_without_layers_are_an_error():
    with pytest.raises(DataError, match=r"Ask for the layers: ds.dpl.parameters\(trust=True\)"):
        doubtful(maps()[["melt_at_bound"]])
