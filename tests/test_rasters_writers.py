"""A writer is one class: what all need is done for it."""

import os

import fsspec
import numpy as np
import pytest
import rioxarray
import xarray as xr

from xdpl.errors import RasterError
from xdpl.rasters import Writer, write
from xdpl.rasters.writers import blocks_of


class AsciiGrid:
    """ESRI's ASCII grid: one map, square cells, row by row from the north."""

    def plan(self, maps, draft):
        if len(maps.data_vars) != 1:
            raise RasterError(
                f"an ASCII grid holds one map, not {len(maps.data_vars)}. Take one: maps[['name']]."
            )
        x, y = maps["x"].values, maps["y"].values
        size = float(x[1] - x[0])
        self.file = open(draft, "w", encoding="ascii")  # noqa: SIM115  closed by commit
        self.file.write(
            f"ncols {x.size}\nnrows {y.size}\nxllcorner {x[0] - size / 2}\n"
            f"yllcorner {y[-1] - size / 2}\ncellsize {size}\nNODATA_value -9999\n"
        )
        draft.with_suffix(".prj").write_text(maps.rio.crs.to_wkt(), encoding="utf-8")
        return blocks_of(maps, "y")

    def write_block(self, region, block):
        (variable,) = block.data_vars.values()
        np.savetxt(self.file, variable.fillna(-9999).values, fmt="%.9g")

    def commit(self):
        self.file.close()


def maps():
    values = np.random.default_rng(0).random((6, 4))
    values[2, 1] = np.nan
    ds = xr.Dataset(
        {"a": (("y", "x"), values)}, {"y": np.arange(6.0)[::-1] * 10, "x": np.arange(4.0) * 10}
    )
    return ds.rio.write_crs("EPSG:32632").chunk(y=2)


def test_a_writer_of_ones_own_reads_back(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    writer: Writer = AsciiGrid()
    assert write(maps(), "~/a.asc", writer) == tmp_path / "a.asc"
    assert sorted(os.listdir(tmp_path)) == ["a.asc", "a.prj"]
    found = rioxarray.open_rasterio(tmp_path / "a.asc", masked=True)[0]
    np.testing.assert_allclose(found, maps().a, rtol=1e-6)
    assert found.rio.crs == maps().rio.crs
    np.testing.assert_array_equal(found.y, maps().y)


def test_it_writes_to_urls_and_keeps_what_must_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write(maps().a, "memory://own/a.asc", AsciiGrid()) == "memory://own/a.asc"
    assert fsspec.filesystem("memory").cat_file("/own/a.asc").startswith(b"ncols 4\nnrows 6")
    with pytest.raises(RasterError, match=r"'memory://own/a.asc' exists. Use overwrite=True or"):
        write(maps(), "memory://own/a.asc", AsciiGrid(), overwrite=False)
    assert os.listdir(tmp_path) == []


def test_failures_leave_the_old_file_and_no_draft(tmp_path):
    (tmp_path / "a.asc").write_text("old")

    class Torn(AsciiGrid):
        def write_block(self, region, block):
            raise OSError("No space left on device")

    class Empty(AsciiGrid):
        def plan(self, maps, draft):
            return []

        def commit(self):
            pass

    def broken(values):
        raise ValueError("damaged chunk")

    lazy = maps()
    lazy["a"] = lazy.a.copy(data=lazy.a.data.map_blocks(broken, dtype=float, meta=np.ones((0, 0))))
    for ds, writer, match in (
        (maps(), Torn(), "OSError: No space left on device.*as it was. Make room"),
        (lazy, AsciiGrid(), "ValueError: damaged chunk.*check the maps and AsciiGrid"),
        (maps(), Empty(), "Empty made nothing, not a.asc. Let its plan"),
        (maps().assign(b=1), AsciiGrid(), "holds one map, not 2. Take one"),
    ):
        with pytest.raises(RasterError, match=match):
            write(ds, tmp_path / "a.asc", writer)
    assert (tmp_path / "a.asc").read_text() == "old" and os.listdir(tmp_path) == ["a.asc"]


def test_blocks_follow_the_chunks():
    ds = maps()
    assert blocks_of(ds) == [{"y": slice(0, 2)}, {"y": slice(2, 4)}, {"y": slice(4, 6)}]
    assert blocks_of(ds, "x") == [{"x": slice(0, 4)}]
    assert blocks_of(ds.compute()) == [{}] == blocks_of(ds, "time")
