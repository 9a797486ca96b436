"""The range of a variogram, of maps whose range is known."""

import numpy as np
import pytest
import xarray as xr

from xdpl.errors import DataError
from xdpl.validation import nugget_share, variogram_range


def grid(values: np.ndarray) -> xr.DataArray:
    rows, columns = values.shape
    place = {"lat": ("y", 40 + np.arange(rows) / 111.195), "lon": ("x", np.arange(columns) / 111.0)}
    return xr.DataArray(
        values, {"y": np.arange(rows), "x": np.arange(columns), **place}, ("y", "x")
    )


def exponential(reach: float, size: int = 26, seed: int = 0) -> xr.DataArray:
    """A Gaussian field with an exponential covariance of a given practical range in km."""
    there = grid(np.zeros((size, size)))
    x = np.radians(there.lon.values) * 6371 * np.cos(np.radians(40.16))
    y = np.arange(size, dtype=float)
    place = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)
    distance = np.sqrt(((place[:, None] - place[None]) ** 2).sum(-1))
    factor = np.linalg.cholesky(np.exp(-3 * distance / reach) + 1e-9 * np.eye(len(place)))
    values = factor @ np.random.default_rng(seed).standard_normal(len(place))
    return there.copy(data=values.reshape(size, size))


def test_the_range_that_a_field_was_made_with():
    for reach in (4.0, 9.0):
        found = np.median([variogram_range(exponential(reach, seed=seed)) for seed in range(7)])
        assert found == pytest.approx(reach, rel=0.35)


def test_noise_has_a_shorter_range_than_any_field():
    noise = grid(np.random.default_rng(0).standard_normal((26, 26)))
    assert variogram_range(noise) == 0.0 < 4.0 < variogram_range(exponential(9.0))


def test_units_of_the_map_change_nothing_and_constants_have_no_range():
    field = exponential(9.0)
    assert variogram_range(field * 1000 + 5) == pytest.approx(variogram_range(field))
    assert np.isnan(variogram_range(field * 0 + 3))


def test_a_dataset_keeps_its_components_and_leaves_out_what_is_no_map():
    field = exponential(9.0, size=12)
    both = xr.concat([field, field * 2], "component")
    found = variogram_range(xr.Dataset({"a": both, "word": ("y", ["b"] * 12)}))
    assert list(found) == ["a"] and found["a"].dims == ("component",)
    assert found["a"].attrs["units"] == "km"
    assert float(found["a"][0]) == pytest.approx(variogram_range(field))


def test_missing_cells_are_left_out():
    field = exponential(9.0, size=20)
    some = field.where(np.random.default_rng(0).random((20, 20)) < 0.7)
    assert variogram_range(some) == pytest.approx(variogram_range(field), rel=0.4)
    with pytest.raises(DataError, match="only 3 cells have values .* Give a map with 10 or more"):
        variogram_range(field.where((field.x < 3) & (field.y < 1)))


def test_the_share_of_noise_that_was_added_to_a_field():
    shares = []
    for seed in range(5):
        field = exponential(20.0, seed=seed)
        noise = np.random.default_rng(seed).standard_normal(field.shape)
        shares.append(nugget_share(field / field.std() + noise))
        assert nugget_share(field) < 0.2
    assert np.median(shares) == pytest.approx(0.5, abs=0.12)
    assert nugget_share(field * 0 + noise) == 1.0
    assert nugget_share(xr.Dataset({"a": field}))["a"].attrs["units"] == "1"
