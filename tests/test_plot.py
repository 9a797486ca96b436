"""Pictures show units, places and cells that were not fitted."""

from __future__ import annotations

import sys

import geopandas
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from shapely.geometry import box

from xdpl.errors import DeclarationError, RasterError
from xdpl.plot import plot
from xdpl.plot.marks import thin
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
    assert figure.legends == []  # no map has a value in the first column: it lies outside
    figure.canvas.draw()


def test_cells_without_a_value_are_hatched_where_another_map_has_one():
    maps = grid(missing=False, names=("porosity", "melt_factor"))
    maps["porosity"][:, 0] = np.nan  # such as a score where nothing was observed
    maps["porosity"][2, 3] = np.nan
    maps["melt_factor"][:, 0] = np.nan  # such as the sea
    figure = plot(maps)
    hatched = [c for c in figure.axes[0].collections if c.get_gid() == "no value"]
    assert [int((~c.get_array().mask).sum()) for c in hatched] == [1]
    assert not [c for c in figure.axes[1].collections if c.get_gid() == "no value"]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["no value"]
    assert isinstance(legend.legend_handles[0], Patch)
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
    """The first map with a layer beside it that flags the second cell along each axis."""
    one = ds[["porosity"]]
    bound = xr.zeros_like(one.porosity)
    bound[(1,) * bound.ndim] = 1.0
    declared = {**DECLARED, "porosity_at_bound": Quality("1", of="porosity")}
    return dress(one.assign(porosity_at_bound=bound), one, declared)


def dots(figure) -> list[tuple[float, float]]:
    lines = [line for axis in figure.axes for line in axis.lines if line.get_gid() == "flagged"]
    return [tuple(point) for line in lines for point in line.get_xydata()]


@pytest.mark.parametrize("case", ["grid", "dots", "outlines"])
def test_flagged_cells_are_dotted_and_trust_layers_no_maps_of_their_own(case):
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
    assert keys == (["flagged"] if case == "grid" else ["no value", "flagged"])


def test_nothing_is_dotted_without_layers():
    assert dots(plot(grid())) == []
    assert dots(plot(trusted(grid(names=("porosity",)))[["porosity"]])) == []


@pytest.mark.parametrize("shape", [(400, 30), (90, 360), (6, 8)])
def test_dots_stand_apart_and_stand_for_half_of_their_block(shape):
    height, width = 120.0, 200.0
    every = np.ones(shape, bool)
    kept = thin(every, every, height, width)
    for axis, (count, size) in enumerate(zip(shape, (height, width), strict=True)):
        places = np.flatnonzero(kept.any(1 - axis))
        assert (np.diff(places)[:-1] * size / count >= 5).all()
        assert len(places) >= min(count, size / 12)
    some = np.zeros(shape, bool)
    some[: shape[0] // 2] = True
    dotted = thin(some, every, height, width)
    assert dotted.sum() == pytest.approx(kept.sum() / 2, abs=kept.shape[1])
    assert not (dotted & ~some).any()  # a dot stands on a flagged cell
    assert not thin(~every, every, height, width).any()
    assert (thin(some, some, height, width).sum() >= dotted.sum()) and thin(every, some, 1, 1).any()


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
    mesh = figure.axes[1].collections[0]
    assert isinstance(mesh.cmap, ListedColormap) and mesh.cmap.N == 2
    rgb = np.array([to_rgb(colour) for colour in mesh.cmap.colors])
    assert np.abs(np.diff(rgb, axis=0)).max() > 0.5  # no sequence of one hue


def test_classes_that_occur_have_a_colour_and_a_name_each():
    values = np.array([[10, 30], [70, 127]], "i2")
    attrs = {"flag_values": np.array([10, 20, 30, 70], "i2"), "_FillValue": np.int16(127)}
    attrs["flag_meanings"] = "forest grass_land crops ice"
    figure = plot(xr.Dataset({"cover": (("y", "x"), values, attrs)}))
    words = [tick.get_text() for tick in figure.axes[-1].get_yticklabels()]
    assert words == ["forest", "crops", "ice"]
    drawn = figure.axes[0].collections[0].get_array()
    np.testing.assert_array_equal(drawn.filled(-1), [[0, 1], [2, -1]])
    many = {"flag_values": np.arange(30), "flag_meanings": " ".join(f"c{i}" for i in range(30))}
    figure = plot(xr.Dataset({"soil": (("y", "x"), np.arange(30).reshape(5, 6), many)}))
    assert len(figure.axes[-1].get_yticklabels()) == 30
    figure = plot(xr.Dataset({"yes": (("y", "x"), [[True, False]])}), cmap="cividis")
    assert [t.get_text() for t in figure.axes[-1].get_yticklabels()] == ["false", "true"]


@pytest.mark.parametrize("name", ["nse", "kge", "corr"])
def test_efficiencies_run_from_0_to_1(name):
    values = np.linspace(0.2, 0.9, 12).reshape(3, 4)
    values[0, 0] = -8
    figure = plot(xr.Dataset({name: (("y", "x"), values)}))
    assert figure.axes[0].collections[0].get_clim() == (0, 1)
    assert figure.axes[-1].get_ylim() == (0, 1)
    bad = plot(xr.Dataset({name: (("y", "x"), values - 3)}))
    assert bad.axes[0].collections[0].get_clim()[0] < 0


def world(lon) -> xr.Dataset:
    lat = np.arange(80.0, -81, -20)
    values = np.cos(np.radians(lat))[:, None] + np.cos(np.radians(np.asarray(lon)))[None]
    maps = xr.Dataset({"a": (("lat", "lon"), values)}, {"lat": lat, "lon": lon})
    return dress(maps, maps, {"a": Parameter("1", (-2, 2))})


def test_the_atlantic_is_not_cut():
    east, both = (
        plot(world(lon)).axes[0] for lon in (np.arange(0, 360, 10.0), np.arange(-170, 181, 10.0))
    )
    assert east.get_xlim() == both.get_xlim() == (-175, 185)
    drawn = [axis.collections[0].get_array() for axis in (east, both)]
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-9)
    falling = plot(world(np.arange(0, 360, 10.0)).isel(lon=slice(None, None, -1))).axes[0]
    np.testing.assert_allclose(falling.collections[0].get_array(), drawn[1], atol=1e-9)
    pacific = plot(world(np.arange(100.0, 290, 10))).axes[0]
    assert pacific.get_xlim() == (95, 285)


def lines(axis, gid: str) -> np.ndarray:
    (found,) = [c for c in axis.collections if c.get_gid() == gid]
    return np.concatenate([*found.get_segments(), np.zeros((0, 2))])


def test_coastlines_lie_where_coasts_are():
    shown = lines(plot(world(np.arange(-170, 181, 10.0))).axes[0], "coastlines")
    assert len(shown) > 1000
    cape = np.array([18.4, -34.2])  # Cape of Good Hope
    assert np.hypot(*(shown - cape).T).min() < 1
    amazonia = np.array([-60.0, -5.0])
    assert np.hypot(*(shown - amazonia).T).min() > 5
    pacific = lines(plot(world(np.arange(100.0, 290, 10))).axes[0], "coastlines")
    assert np.hypot(*(pacific - [360 - 81.3, -4.7]).T).min() < 1  # Punta Parinas, in 0 to 360
    small = plot(grid()).axes[0]  # 60 km
    assert not [c for c in small.collections if c.get_gid() == "coastlines"]
    assert lines(plot(grid(), coastlines=True).axes[0], "coastlines").shape[1] == 2
    off = plot(world(np.arange(-170, 181, 10.0)), coastlines=False).axes[0]
    assert not [c for c in off.collections if c.get_gid() == "coastlines"]


def test_a_background_is_drawn_in_the_crs_of_the_map():
    country = geopandas.GeoSeries([box(4.11e6, 2.76e6, 4.13e6, 2.78e6)], crs=3035)
    for given in (country, country.to_crs(4326), geopandas.GeoDataFrame(geometry=country)):
        shown = lines(plot(grid(), background=given).axes[0], "background")
        np.testing.assert_allclose(
            [shown.min(0), shown.max(0)], [[4110, 2760], [4130, 2780]], atol=0.1
        )
    river = geopandas.GeoSeries([box(0, 0, 1, 1).boundary], crs=4326)
    axis = plot(world(np.arange(0, 360, 10.0)), background=river).axes[0]
    assert lines(axis, "background").max() == 1
    assert not [c for c in axis.collections if c.get_gid() == "coastlines"]


def test_backgrounds_that_can_t_be_placed_are_refused():
    shapes = geopandas.GeoSeries([box(0, 0, 1, 1)])
    with pytest.raises(RasterError, match="background has no coordinate reference system"):
        plot(grid(), background=shapes)
    with pytest.raises(RasterError, match="background is a str. Give a geopandas.GeoDataFrame"):
        plot(grid(), background="countries.shp")
    nowhere = xr.Dataset({"a": (("y", "x"), [[1, 2], [3, 4]])})
    with pytest.raises(RasterError, match="the maps have no coordinate reference system"):
        plot(nowhere, background=shapes.set_crs(4326))
    known = nowhere.assign_coords(y=[2.0, 1], x=[0.0, 1]).rio.write_crs("EPSG:4326")
    assert len(lines(plot(known, background=shapes.set_crs(4326)).axes[0], "background"))


def curved(lon_0: float = 10.0) -> xr.Dataset:
    """A polar grid of bent rows; the value tells the latitude."""
    radius, angle = np.meshgrid(np.linspace(20, 40, 5), np.linspace(-60, 60, 7), indexing="ij")
    lat, lon = 90 - radius, lon_0 + angle
    coords = {"lat": (("nj", "ni"), lat), "lon": (("nj", "ni"), lon % 360)}
    return xr.Dataset({"a": (("nj", "ni"), lat)}, coords)


def test_curvilinear_grids_are_drawn_where_their_cells_lie():
    axis = plot(curved()).axes[0]
    assert axis.get_xlabel() == "longitude (°E)"
    low, high = axis.get_ylim()
    assert low == pytest.approx(50, abs=1) and high == pytest.approx(70, abs=1)
    mesh = axis.collections[0]
    corners = mesh.get_coordinates()
    centre = (corners[:-1, :-1] + corners[1:, 1:])[..., 1] / 2
    np.testing.assert_allclose(mesh.get_array(), centre)
    assert len(lines(axis, "coastlines"))


def test_curvilinear_grids_across_the_180th_meridian_stay_in_one_piece():
    ds = curved(180)
    ds["lat"][0, 0] = np.nan
    axis = plot(ds).axes[0]
    drawn = axis.collections[0].get_array()
    assert drawn.mask.sum() == 1 and drawn.mask[0, 0]
    assert np.ptp(axis.get_xlim()) == pytest.approx(120 * 1.04)
    axis.figure.canvas.draw()


def test_few_maps_are_large():
    widths = [
        plot(grid(), names).get_size_inches()[0]
        for names in ("porosity", ["porosity", "melt_factor"])
    ]
    assert widths[0] > 6 and widths[1] > 9
    assert plot(grid(), "porosity", size=2).get_size_inches()[0] < 4


def test_a_misspelt_keyword_is_an_error():
    with pytest.raises(DeclarationError, match="no keyword 'cmpa'. Did you mean 'cmap'?"):
        plot(grid(), cmpa="magma")
    with pytest.raises(DeclarationError, match="Did you mean 'coastlines'?"):
        grid().dpl.plot(coastline=True)


def test_what_is_no_map_or_very_many_is_refused():
    series = xr.Dataset({"q": (("time", "y", "x"), np.zeros((50, 2, 2)))})
    with pytest.raises(
        RasterError, match=r"'q' has 50 maps, one for each time. Take one, .*isel\(time=0"
    ):
        plot(series, "q")
    assert plot(series.isel(time=0), "q") and plot(series.mean("time"), "q")
    other = series.isel(time=0).assign(name=("y", ["a", "b"]))
    with pytest.raises(RasterError, match=r"'name' is no map: it has the dimensions \(y\)"):
        plot(other, "name")
