"""Damaged files are named by lazy maps, too."""

import os

import pytest
import xarray as xr
from toy import QUICK, grid

import xdpl
from xdpl.errors import DataError


def test_a_damaged_attribute_is_named_by_maps_simulations_and_scores(tmp_path):
    ds = grid(3, 4, 450)
    fit = xdpl.fit(ds, obs="qobs", **QUICK)
    store = tmp_path / "a.zarr"
    ds.chunk({"y": 2}).to_zarr(store, consolidated=False)
    whole = xr.open_zarr(store, consolidated=False)
    xr.testing.assert_allclose(fit.parameters(whole).load(), fit.parameters(ds), rtol=1e-5)
    for chunk in (store / "forest").rglob("*"):
        if chunk.is_file() and "zarr" not in chunk.name:
            chunk.write_bytes(os.urandom(50))
    for lazy in (fit.parameters(whole), fit.simulate(whole), fit.evaluate(whole)):
        with pytest.raises(DataError, match="'forest' can't be read: .*Repair the file, or leave"):
            lazy.load()
