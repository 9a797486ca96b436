"""Which values are flagged, and why; none where there is no value."""

import numpy as np
import pytest
import xarray as xr

from xdpl.errors import DataError
from xdpl.rasters import dress
from xdpl.rasters.quality import Quality
from xdpl.validation import doubtful, quality_flags
from xdpl.variables import Parameter

DECLARED = {
    "melt": Parameter("1", bounds=(0, 10)),
    "melt_standard_error": Quality("1", of="melt"),
    "melt_at_bound": Quality("1", of="melt"),
    "melt_identifiability": Quality("1", of="melt"),
    "extrapolation": Quality("", meanings=("like_training", "unlike_training")),
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


def flagged(ds: xr.Dataset, **thresholds) -> np.ndarray:
    return quality_flags(ds, **thresholds).melt.values == 1


def test_nothing_is_flagged_without_cause():
    found = quality_flags(maps())
    assert list(found) == ["melt"] and not found.melt.any()
    assert found.melt.attrs["flag_meanings"] == "not_flagged flagged"


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
    assert list(np.flatnonzero(flagged(maps(**layer)))) == [3]


def test_thresholds_are_arguments():
    given = maps(melt_at_bound=one(3, 0.6, 0.4))
    assert flagged(given, at_bound=0.3).all()
    assert not flagged(given, at_bound=0.7).any()
    assert flagged(given, spread=0.01).all()
    assert flagged(given, identifiability=0.95).all()


def test_a_missing_layer_is_no_cause_and_sea_has_no_flag():
    assert not flagged(maps().drop_vars("melt_standard_error")).any()
    sea = maps(melt=one(3, np.nan, 1.0) * np.arange(10), melt_at_bound=np.ones(10))
    found = quality_flags(sea).melt
    assert list(np.flatnonzero(np.isnan(found))) == [3]
    assert float(found.mean()) == 1.0  # of the land


def test_an_ungauged_cell_is_never_trusted_more_than_a_gauged_one():
    given = maps(melt_identifiability=one(3, np.nan, 0.9))
    assert list(np.flatnonzero(flagged(given))) == [3]
    assert not flagged(given, identifiability=0).any()
    counted = DECLARED | {"number_of_observations": Quality("1")}
    none = maps().drop_vars("melt_identifiability")  # no observations at all: no such layer
    none["number_of_observations"] = ("basin", one(3, 0, 700))
    assert list(np.flatnonzero(flagged(dress(none, none, counted)))) == [3]
    assert not flagged(dress(none, none, counted), identifiability=0).any()


def test_flags_survive_files_and_lazy_maps(tmp_path):
    given = maps(extrapolation=np.array([0, 1, -1, 0, 0, 0, 0, 0, 0, 0], "i1"))
    given.to_netcdf(tmp_path / "maps.nc")
    for again in (xr.open_dataset(tmp_path / "maps.nc"), given.chunk()):
        np.testing.assert_array_equal(flagged(again), flagged(given))


def test_components_are_flagged_one_by_one():
    ds = maps()
    two = xr.concat([ds.melt, ds.melt], "component").assign_attrs(ds.melt.attrs)
    bound = xr.concat([ds.melt_at_bound, ds.melt_at_bound + 1], "component")
    found = quality_flags(ds.assign(melt=two, melt_at_bound=bound)).melt
    assert found.dims == two.dims
    assert not found[0].any() and found[1].all()


def test_maps_without_layers_are_an_error():
    with pytest.raises(DataError, match=r"Ask for the layers: ds.dpl.parameters\(trust=True\)"):
        quality_flags(maps()[["melt_at_bound"]])


def test_the_old_name_warns_and_gives_true_and_false():
    given = maps(melt_at_bound=one(3, 0.6, 0.4))
    with pytest.warns(FutureWarning, match=r"now called quality_flags.*quality_flags\(maps\) == 1"):
        old = doubtful(given)
    assert old.melt.dtype == bool
    xr.testing.assert_equal(old, quality_flags(given) == 1)
