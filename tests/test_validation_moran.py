"""Moran's I: known values, gaps, grids and points."""

import numpy as np
import pytest
import xarray as xr
from toy import basins, grid

from xdpl import errors
from xdpl.validation import moran


def board(values):
    values = np.asarray(values, float)
    return xr.DataArray(
        values,
        dims=("y", "x"),
        coords={"y": np.arange(values.shape[0]), "x": np.arange(values.shape[1])},
    )


def test_chessboards_contrast_and_slopes_cohere():
    chess = board(np.indices((8, 8)).sum(0) % 2)
    assert moran(chess, "rook") == pytest.approx(-1)
    assert moran(chess) > -0.1  # corners are alike
    assert moran(board(np.indices((20, 20)).sum(0)), "rook") > 0.9
    noise = board(np.random.default_rng(0).normal(size=(60, 60)))
    assert moran(noise) == pytest.approx(-1 / 3599, abs=0.03)


@pytest.mark.parametrize("neighbours", ["rook", "queen"])
def test_it_is_the_formula_with_gaps_left_out(neighbours):
    draw = np.random.default_rng(1)
    values = draw.normal(size=(5, 4))
    values[draw.random((5, 4)) < 0.2] = np.nan
    cells = np.argwhere(np.isfinite(values))
    z = values[tuple(cells.T)] - np.nanmean(values)
    apart = np.abs(cells[:, None] - cells[None])
    reach = apart.sum(-1) if neighbours == "rook" else apart.max(-1)
    weight = (reach == 1).astype(float)
    expected = len(z) / weight.sum() * (weight * np.outer(z, z)).sum() / (z**2).sum()
    assert moran(board(values), neighbours) == pytest.approx(expected)


def test_points_use_their_nearest_neighbours():
    ds = basins(20, 30)
    smooth = xr.Dataset({"a": ds.lat * 2.0, "b": ds.forest, "name": ds.basin})
    found = moran(smooth)
    assert set(found.data_vars) == {"a", "b"}
    assert found.a > 0.5 > abs(found.b)
    assert moran(smooth.a, 2) > float(found.a)
    assert "Moran's I" in found.a.attrs["long_name"]


def test_components_are_kept_and_constants_have_none():
    ds = grid(4, 5, 30)
    maps = ds[["forest"]].expand_dims(component=2).assign(flat=ds.forest * 0 + 1)
    found = moran(maps)
    assert found.forest.dims == ("component",) and found.forest.notnull().all()
    assert found.flat.isnull()


def test_sparse_grids_want_a_number():
    sparse = board(np.where(np.indices((9, 9)).max(0) % 2 == 0, np.indices((9, 9)).sum(0), np.nan))
    lonely = sparse.where((sparse.x % 2 == 0) & (sparse.y % 2 == 0))
    with pytest.raises(errors.DataError, match="no two neighbouring cells.*neighbours=8"):
        moran(lonely)
    assert moran(lonely, 4) > 0.5
    with pytest.raises(errors.DataError, match="no two neighbouring cells"):
        moran(sparse.where((sparse.x == 0) & (sparse.y == 0)), 4)


def test_what_can_not_be_measured_is_refused():
    ds = grid(4, 5, 30)
    with pytest.raises(errors.DeclarationError, match="neighbours='king'.*'queen', 'rook'"):
        moran(ds.forest, "king")
    points = basins(6, 30)
    with pytest.raises(errors.DeclarationError, match="neighbours='queen'.*number of nearest"):
        moran(points.forest, "queen")
    with pytest.raises(errors.LayoutError, match="not known which of the dimensions"):
        moran(points[["qobs"]])
