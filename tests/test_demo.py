"""The demo writes what it says it writes, and its exit status can be trusted."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio

from xdpl import demo
from xdpl.errors import DataError


@pytest.mark.slow
def test_demo_writes_maps_and_a_picture_and_prints_scores(tmp_path, capsys):
    assert demo.main([str(tmp_path), "--epochs", "2"]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "maps") in said
    assert "nse" in said
    files = list((tmp_path / "maps").glob("*.tif"))
    assert len(files) > 5
    with rasterio.open(files[0]) as raster:
        assert raster.crs is not None
        assert np.isfinite(raster.read(1)).any()
    assert (tmp_path / "parameters.png").stat().st_size > 10_000
    assert (tmp_path / "demo.xdpl").exists()


def test_demo_ends_non_zero_with_the_message_where_xdpl_raises(tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise DataError("nothing is observed. Observe something.")

    monkeypatch.setattr(demo, "run", broken)
    assert demo.main([str(tmp_path)]) == 1
    assert "DataError: nothing is observed" in capsys.readouterr().err


def test_demo_ends_non_zero_where_no_cell_has_a_score(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "run", lambda *_, **__: {"nse": np.array([np.nan, np.nan])})
    assert demo.main([str(tmp_path)]) == 1
    assert "No cell has a finite score" in capsys.readouterr().err


@pytest.mark.slow
def test_demo_without_matplotlib_writes_the_maps_and_says_what_to_install(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert demo.main([str(tmp_path), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert 'none: matplotlib is not installed. Run pip install "xdpl[viz]".' in printed
    assert len(list((tmp_path / "maps").glob("*.tif"))) > 5
    assert not (tmp_path / "parameters.png").exists()
