"""Pictures show units, places and cells that were not fitted."""

from __future__ import annotations

import sys

import geopandas
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from shapely.geometry import box

from xdpl.errors import RasterError
from xdpl.plot import plot
from xdpl.rasters import dress, score
from xdpl.rasters.quality import Quality
from xdpl.variables import Parameter

DECLARED = {
    "melt_factor": Parameter("mm K-1 day-1", bounds=(1, 8)),
    "conductivity": Parameter("m s-1", bounds=(1e-8, 1e-3), scale="log"),
    "porosity": Parameter("1", bounds=(0.2, 0.7)),
}


@pytest.fixture(autouse=True)
def _no_window():
    import matplotlib.pyplot as plt

    with mpl.rc_context({"figure.max_open_warning": 0}):
        plt.switch_backend("agg")
        yield
        plt.close("all")


def grid(missing: bool = True, names=tuple(DECLARED)) -> xr.Dataset:
    rng = np.random.default_rng(0)
    maps = xr.Dataset(
        {
            name: (("y", "x"), np.exp(rng.uniform(*np.log(DECLARED[name].bounds), (6, 8))))
            for name in names
        },
        {"y": 2.8e6 - 1e4 * np.arange(6), "x": 4.1e6 + 1e4 * np.arange(8)},
    )
    if missing:
        maps = maps.where(maps.x > maps.x[0])
    import rioxarray  # noqa: F401

    source = maps.rio.write_crs(3035)
    return dress(maps, source, DECLARED, {"model": "HBV", "observation": "SMAP"})


def basins() -> xr.Dataset:
    place = {"lat": ("basin", [45.0, 46, 47]), "lon": ("basin", [7.0, 8, 9])}
    maps = xr.Dataset({"porosity": ("basin", [0.3, 0.5, np.nan])}, {"basin": list("abc"), **place})
    return dress(maps, maps, DECLARED)


def labels(figure) -> list[str]:
    return [a.get_ylabel() for a in figure.axes]


def test_maps_have_units_places_and_a_legend():
    figure = plot(grid())
    maps, bars = figure.axes[:3], figure.axes[3:]
    assert [a.get_title() for a in maps] == ["melt factor", "conductivity", "porosity"]
    assert [a.get_ylabel() for a in bars] == [
        "mm K$^{-1}$ day$^{-1}$",
        "m s$^{-1}$",
        "dimensionless",
    ]
    assert maps[0].get_ylabel() == "northing (km)" and maps[0].get_xlabel() == "easting (km)"
    assert maps[0].get_xlim() == (4095, 4175)
    assert figure.get_suptitle() == "HBV learned from SMAP"
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["not fitted"]
    assert isinstance(legend.legend_handles[0], Patch)
    assert maps[0].patch.get_hatch() == "////"
    assert plot(grid(missing=False)).legends == []
    figure.canvas.draw()


def test_colours_follow_the_bounds():
    figure = plot(grid())
    norms = [a.collections[0].norm for a in figure.axes[:3]]
    assert [type(n) for n in norms] == [Normalize, LogNorm, Normalize]
    figure = plot(grid(), "porosity", cmap="magma", vmin=0, vmax=1)
    mesh = figure.axes[0].collections[0]
    assert mesh.cmap.name == "magma" and mesh.get_clim() == (0, 1)
    norm = Normalize(0, 2)
    assert plot(grid(), "porosity", norm=norm).axes[0].collections[0].norm is norm


def test_a_bias_is_centred_on_zero():
    maps = grid(names=["porosity"]).rename(porosity="bias") - 0.4
    maps = dress(maps, maps, {"bias": score("bias", "mm day-1")})
    mesh = plot(maps).axes[0].collections[0]
    assert mesh.norm.vmin == -mesh.norm.vmax and mesh.cmap.name == "RdBu_r"


def test_a_constant_map_and_an_empty_one():
    maps = grid()
    maps["porosity"][:] = 0.5
    maps["melt_factor"][:] = np.nan
    figure = plot(maps)
    low, high = figure.axes[2].collections[0].get_clim()
    assert low < 0.5 < high
    figure.canvas.draw()


def test_components_are_drawn_side_by_side():
    maps = xr.concat([grid(), grid()], dim="component").assign_coords(component=[0, 1])
    figure = plot(maps, ["porosity"])
    assert [a.get_title() for a in figure.axes[:2]] == [
        "porosity (component 0)",
        "porosity (component 1)",
    ]


def test_many_maps_form_rows_with_labels_outside():
    maps = grid()
    maps = maps.assign({f"p{i}": maps["porosity"] for i in range(4)})
    figure = plot(maps)
    drawn = figure.axes[:7]
    assert [bool(a.get_ylabel()) for a in drawn] == [True, False, False, True, False, False, True]
    assert [bool(a.get_xlabel()) for a in drawn] == [False] * 4 + [True] * 3
    assert len(figure.axes) == 14
    assert len(plot(maps, columns=7).axes) == 14


@pytest.mark.parametrize("order", [("y", "x"), ("x", "y")])
def test_transposed_flipped_and_lazy_maps(order):
    maps = grid()
    other = maps.transpose(*order).isel(y=slice(None, None, -1)).chunk(x=3)
    meshes = [plot(m, "porosity").axes[0] for m in (maps, other)]
    assert meshes[0].get_ylim() == pytest.approx(meshes[1].get_ylim()[::1])
    values = [m.collections[0].get_array() for m in meshes]
    np.testing.assert_allclose(values[0].filled(0), values[1].filled(0)[::-1])


def test_large_maps_are_thinned():
    values = np.zeros((2, 2000), "f4")
    maps = xr.Dataset({"a": (("y", "x"), values)}, {"y": [1.0, 0], "x": np.arange(2000.0)})
    figure = plot(maps)
    assert figure.axes[0].collections[0].get_array().size == 2 * 667
    assert figure.axes[0].get_xlabel() == "x"


def test_degrees_are_stretched():
    maps = xr.Dataset({"a": (("lat", "lon"), [[1.0, 2]])}, {"lat": [60.0], "lon": [5.0, 6.0]})
    maps = dress(maps, maps, {"a": Parameter("degC", (0, 1))})
    axis = plot(maps).axes[0]
    assert axis.get_aspect() == pytest.approx(2)
    assert axis.get_xlabel() == "longitude (°E)" and axis.get_ylabel() == "latitude (°N)"


def test_axes_without_coordinates_are_counted():
    figure = plot(xr.Dataset({"a": (("y", "x"), [[1, 2], [3, 4]])}))
    assert figure.axes[0].get_xlim() == (-0.5, 1.5) and labels(figure)[-1] == ""


def test_basins_are_dots_and_crosses():
    figure = plot(basins())
    axis = figure.axes[0]
    assert len(axis.collections[0].get_offsets()) == 2
    assert axis.get_xlabel() == "longitude (°E)"
    assert isinstance(figure.legends[0].legend_handles[0], Line2D)
    figure.canvas.draw()


@pytest.mark.parametrize("crs", [4326, 3035])
def test_basins_are_polygons_where_outlines_are_given(crs):
    shapes = [box(7, 45, 8, 46), box(8, 46, 9, 47), box(9, 47, 10, 48)]
    outlines = geopandas.GeoDataFrame(geometry=shapes, index=list("abc"), crs=crs)
    figure = plot(basins(), geometries=outlines)
    axis = figure.axes[0]
    assert [len(c.get_paths()) for c in axis.collections] == [1, 2]
    assert axis.get_xlabel() == ("longitude (°E)" if crs == 4326 else "easting (m)")
    assert isinstance(figure.legends[0].legend_handles[0], Patch)
    own = basins().assign_coords(outline=("basin", outlines.geometry.values))
    own["outline"].attrs["crs"] = crs
    again = plot(own)
    assert again.axes[0].get_xlim() == axis.get_xlim()
    assert isinstance(again.legends[0].legend_handles[0], Patch)


def test_outlines_are_drawn_once_and_not_with_every_map(monkeypatch):
    outlines = geopandas.GeoDataFrame(
        {"id": list(basins().basin.values)},
        geometry=[box(i, 0, i + 1, 1) for i in range(basins().sizes["basin"])],
        crs=4326,
    )
    drawn = []
    monkeypatch.setattr(mpl.figure.Figure, "draw", lambda self, *_: drawn.append(self))
    figure = plot(basins(), geometries=outlines)
    assert figure not in drawn
    figure.canvas.draw()
    assert figure in drawn


def test_basins_without_place_are_an_error():
    with pytest.raises(RasterError, match="basins can't be drawn without longitude. Add a coord"):
        plot(basins().drop_vars("lon"))


def test_an_unknown_variable_is_an_error():
    with pytest.raises(RasterError, match="no variable 'nonsense' to plot. There are melt_factor"):
        plot(grid(), "nonsense")


def test_nothing_to_plot_is_an_error():
    series = xr.Dataset({"q": (("time", "basin"), [[1.0, 2]])}, {"time": np.array([0], "M8[ns]")})
    with pytest.raises(RasterError, match=r"nothing to plot: no variable.*isel\(time="):
        plot(series)


def test_matplotlib_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(RasterError, match=r'pip install "xdpl\[viz\]"'):
        plot(grid())


def trusted(ds: xr.Dataset) -> xr.Dataset:
    """The first map with a layer beside it that doubts the second cell along each axis."""
    one = ds[["porosity"]]
    bound = xr.zeros_like(one.porosity)
    bound[(1,) * bound.ndim] = 1.0
    declared = {**DECLARED, "porosity_at_bound": Quality("1", of="porosity")}
    return dress(one.assign(porosity_at_bound=bound), one, declared)


def dots(figure) -> list[tuple[float, float]]:
    lines = [line for axis in figure.axes for line in axis.lines if line.get_gid() == "doubtful"]
    return [tuple(point) for line in lines for point in line.get_xydata()]


@pytest.mark.parametrize("case", ["grid", "dots", "outlines"])
def test_cells_in_doubt_are_dotted_and_trust_layers_no_maps_of_their_own(case):
    ds = trusted(grid(names=("porosity",)) if case == "grid" else basins())
    outlines = None
    if case == "outlines":
        shapes = [box(7 + i, 45, 8 + i, 46) for i in range(3)]
        outlines = geopandas.GeoDataFrame(geometry=shapes, index=list("abc"), crs=4326)
    figure = plot(ds, geometries=outlines)
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["porosity"]
    expected = {"grid": (4110.0, 2790.0), "dots": (8.0, 46.0), "outlines": (8.5, 45.5)}[case]
    assert dots(figure) == [pytest.approx(expected)]
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys == ["not fitted", "doubtful"]


def test_nothing_is_dotted_without_layers():
    assert dots(plot(grid())) == []
    assert dots(plot(trusted(grid(names=("porosity",)))[["porosity"]])) == []


def test_dots_don_t_hide_a_large_map():
    from xdpl.plot.marks import thin

    assert thin(np.ones((400, 30), bool)).sum() == 50 * 30


def test_trust_layers_are_drawn_when_named_and_flags_in_words():
    ds = trusted(grid(names=("porosity",)))
    flag = Quality("", meanings=("fine", "not_fine"))
    ds["flag"] = (ds.porosity > 0.4).astype("i1")
    ds = dress(ds, ds, {**DECLARED, "porosity_at_bound": Quality("1", of="porosity"), "flag": flag})
    figure = plot(ds, ["porosity_at_bound", "flag"])
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["porosity at bound", "flag"]
    words = [tick.get_text() for tick in figure.axes[-1].get_yticklabels()]
    assert words == ["fine", "not fine"]
