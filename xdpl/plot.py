"""Maps of all parameters at a glance."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .errors import RasterError
from .rasters.crs import crs_of, find_basin, find_space, is_time
from .rasters.vector import has_geometry, outlines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]

_MOST_CELLS = 800
"""Cells along an axis that are drawn at most: more are finer than the picture."""

_DECADES = 30.0
"""Ratio of the bounds from which colours follow the logarithm."""

_CROSS: dict[str, Any] = {"marker": "x", "color": "0.5", "markersize": 4, "markeredgewidth": 0.8}
_NOT_FITTED: dict[str, Any] = {"facecolor": "0.95", "edgecolor": "0.72", "hatch": "////"}


@dataclass(frozen=True)
class _Panel:
    """One map: its title, its values and how they are coloured."""

    title: str
    values: xr.DataArray
    attrs: dict[Any, Any]


def plot(
    ds: xr.Dataset,
    variables: str | Sequence[str] | None = None,
    *,
    geometries: Any = None,
    columns: int | None = None,
    size: float = 2.9,
    **colours: Any,
) -> Figure:
    """Draw a map of every variable, with units, and show which cells were not fitted.

    Parameters
    ----------
    ds : Dataset
        Maps over (y, x), or values of basins with coordinates of longitude and latitude.
        Components are drawn side by side.
    variables : str or sequence of str, optional
        What to draw; by default all variables of numbers that don't depend on time.
    geometries : GeoDataFrame, optional
        Outlines of basins, found by id as in ``rasterize``; by default the geometry coordinate of
        ``ds``, and dots where there is none.
    columns : int, optional
        Maps in a row.
    size : float
        Width of a map in inches.
    **colours : Any
        For all maps: ``cmap``, ``vmin``, ``vmax``, ``norm``, as matplotlib knows them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RasterError
        matplotlib is missing, a variable is unknown, or there is nothing that can be drawn.

    Notes
    -----
    Colours span the values from the 1st to the 99th percentile, logarithmically where the bounds of
    a parameter span decades. Of large rasters every n-th cell is drawn.
    """
    plt = _pyplot()
    panels = _panels(ds, _chosen(ds, variables))
    columns = columns or min(4, _columns(len(panels)))
    rows = -(-len(panels) // columns)
    space = find_space(ds)
    height = size * _shape_of(ds, space) + 0.28
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * (size + 0.75) + 0.5, rows * height + 0.75),
        squeeze=False,
        layout="compressed",  # maps have a fixed aspect
    )
    missing = False
    with _not_drawn_yet(figure):
        for axis, panel in zip(axes.flat, panels, strict=False):
            draw = _draw_grid if space is not None else _draw_basins
            options = _colours(panel, colours)
            missing |= draw(axis, ds, panel, options, geometries)
    _finish(axes, len(panels))
    if ds.attrs.get("title"):
        figure.suptitle(str(ds.attrs["title"]), fontsize=11)
    if missing:
        dots = space is None and geometries is None and not has_geometry(ds)
        figure.legend(handles=[_key(dots)], loc="outside lower right", fontsize=8, frameon=False)
    return figure


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise RasterError(
            'plot needs matplotlib, which is not installed. Run pip install "xdpl[viz]".'
        ) from error
    return plt


def _chosen(ds: xr.Dataset, variables: str | Sequence[str] | None) -> list[Hashable]:
    if variables is not None:
        wanted = [variables] if isinstance(variables, str) else list(variables)
        unknown = [name for name in wanted if name not in ds.data_vars]
        if unknown:
            raise RasterError(
                f"no variable {', '.join(map(repr, unknown))} to plot. "
                f"There are {', '.join(map(str, ds.data_vars))}."
            )
        return list(wanted)
    space = find_space(ds) or (find_basin(ds),)
    found = [
        name
        for name, v in ds.data_vars.items()
        if set(space) <= set(v.dims)
        and v.dtype.kind in "fiub"
        and not any(dim in ds.coords and is_time(ds[dim]) for dim in v.dims)
    ]
    if not found:
        raise RasterError(
            "nothing to plot: no variable of numbers has a place (y, x or basin) and no time. "
            "Take one time with .isel(time=...) or a mean with .mean('time') first."
        )
    return found


def _panels(ds: xr.Dataset, names: list[Hashable]) -> list[_Panel]:
    space = find_space(ds) or (find_basin(ds),)
    thinned = ds[names].isel(
        {d: slice(None, None, -(-ds.sizes[d] // _MOST_CELLS)) for d in space if len(space) == 2}
    )
    computed = thinned.compute()  # together: what maps share is computed once
    panels = []
    for name in names:
        values = computed[name].transpose(..., *space)
        others = values.dims[: values.ndim - len(space)]
        stacked = values.stack(_layer=others) if others else values.expand_dims("_layer")
        for layer in range(stacked.sizes["_layer"]):
            one = stacked.isel(_layer=layer, drop=True)
            label = _layer_label(stacked, others, layer)
            panels.append(_Panel(f"{name}{label}", one.transpose(*space), values.attrs))
    return panels


def _layer_label(stacked: xr.DataArray, others: tuple[Hashable, ...], layer: int) -> str:
    parts = [str(stacked[dim].values[layer]) for dim in others]
    return (
        f" ({', '.join(f'{d} {v}' for d, v in zip(others, parts, strict=True))})" if parts else ""
    )


def _columns(count: int) -> int:
    return count if count <= 3 else int(np.ceil(np.sqrt(count)))


def _shape_of(ds: xr.Dataset, space: tuple[Hashable, Hashable] | None) -> float:
    """Return height over width of the maps, kept within what looks well."""
    if space is None:
        return 0.6
    spans = [float(np.ptp(_edges(ds, dim))) for dim in space]
    ratio = spans[0] * _aspect(ds, space) / spans[1] if spans[1] else 1.0
    return float(np.clip(ratio, 0.4, 1.6))


def _aspect(ds: xr.Dataset, space: tuple[Hashable, Hashable]) -> float:
    """Return how much longer a unit of y is drawn than one of x."""
    crs = crs_of(ds)
    if crs is None or not crs.is_geographic or space[0] not in ds.coords:
        return 1.0
    return _stretch(ds[space[0]].values)


def _stretch(latitude: NDArray[Any]) -> float:
    """Return how much longer a degree of latitude is than one of longitude."""
    middle = float(np.nanmean(latitude))
    return 1 / max(float(np.cos(np.radians(middle))), 0.2)


def _edges(ds: xr.Dataset | xr.DataArray, dim: Hashable) -> NDArray[np.float64]:
    """Return the edges of cells, halfway between their centres."""
    centre = ds[dim].values.astype(float) if dim in ds.coords else np.arange(ds.sizes[dim] + 0.0)
    if centre.size == 1:
        return np.array([centre[0] - 0.5, centre[0] + 0.5])
    inner = (centre[1:] + centre[:-1]) / 2
    first, last = centre[0] - (inner[0] - centre[0]), centre[-1] + (centre[-1] - inner[-1])
    return np.concatenate([[first], inner, [last]])


def _colours(panel: _Panel, given: dict[str, Any]) -> dict[str, Any]:
    """Return cmap and norm for a map, and on which sides values go beyond."""
    from matplotlib.colors import LogNorm, Normalize

    values = panel.values.values[np.isfinite(panel.values.values)].astype(float)
    low, high = np.percentile(values, [1, 99]) if values.size else (0.0, 1.0)
    cmap = "viridis"
    if panel.title.startswith("bias"):  # the sign matters most
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
        cmap = "RdBu_r"
    low, high = given.get("vmin", low), given.get("vmax", high)
    if not low < high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    bounds = np.ravel(panel.attrs.get("valid_range", (0.0, 0.0)))
    logarithmic = bounds[0] > 0 and bounds[-1] / bounds[0] >= _DECADES and low > 0
    norm = given.get("norm") or (LogNorm if logarithmic else Normalize)(low, high)
    below = bool(values.size and values.min() < low)
    above = bool(values.size and values.max() > high)
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    return {"cmap": given.get("cmap", cmap), "norm": norm, "extend": extend}


def _draw_grid(
    axis: Axes, ds: xr.Dataset, panel: _Panel, options: dict[str, Any], geometries: Any
) -> bool:
    """Draw one map; return whether some cells have no value."""
    y, x = panel.values.dims
    scale = _axis_scale(ds, (y, x))
    mesh = axis.pcolormesh(
        _edges(panel.values, x) / scale,
        _edges(panel.values, y) / scale,
        np.ma.masked_invalid(panel.values.values.astype(float)),
        cmap=options["cmap"],
        norm=options["norm"],
        rasterized=True,
    )
    axis.set_aspect(_aspect(ds, (y, x)))
    axis.patch.set(linewidth=0, **_NOT_FITTED)
    axis.set_xlabel(_axis_label(ds, x, scale))
    axis.set_ylabel(_axis_label(ds, y, scale))
    _decorate(axis, mesh, panel, options)
    return bool(np.isnan(panel.values.values.astype(float)).any())


@contextlib.contextmanager
def _not_drawn_yet(figure: Figure) -> Iterator[None]:
    """Give the figure a canvas that draws nothing: geopandas draws all of it with every map."""
    from matplotlib.backend_bases import FigureCanvasBase

    canvas = figure.canvas
    FigureCanvasBase(figure)
    try:
        yield
    finally:
        figure.set_canvas(canvas)


def _draw_basins(
    axis: Axes, ds: xr.Dataset, panel: _Panel, options: dict[str, Any], geometries: Any
) -> bool:
    values = panel.values.values.astype(float)
    known = np.isfinite(values)
    if geometries is not None or has_geometry(ds):
        mesh = _draw_shapes(axis, outlines_of(ds, geometries), values, options)
    else:
        x, y = (_place(ds, axis_name) for axis_name in ("longitude", "latitude"))
        axis.plot(x[~known], y[~known], linestyle="none", **_CROSS)
        mesh = axis.scatter(
            x[known],
            y[known],
            c=values[known],
            s=18,
            cmap=options["cmap"],
            norm=options["norm"],
            edgecolor="white",
            linewidth=0.2,
        )
        axis.set_aspect(_stretch(y))
        axis.set(xlabel="longitude (°E)", ylabel="latitude (°N)")
    _decorate(axis, mesh, panel, options)
    return not known.all()


def _draw_shapes(
    axis: Axes, shapes: Any, values: NDArray[np.float64], options: dict[str, Any]
) -> Any:
    from matplotlib.cm import ScalarMappable

    table = shapes.to_frame("geometry").assign(value=values[shapes.index])
    known = table["value"].notna()
    if not known.all():
        table[~known].plot(ax=axis, aspect=None, linewidth=0, **_NOT_FITTED)
    style = {"cmap": options["cmap"], "norm": options["norm"]}
    table[known].plot("value", ax=axis, aspect=None, edgecolor="white", linewidth=0.3, **style)
    geographic = shapes.crs.is_geographic
    _, south, _, north = shapes.total_bounds
    axis.set_aspect(_stretch(np.array([south, north])) if geographic else 1)
    axis.set_xlabel("longitude (°E)" if geographic else "easting (m)")
    axis.set_ylabel("latitude (°N)" if geographic else "northing (m)")
    return ScalarMappable(**style)


def _place(ds: xr.Dataset, what: str) -> NDArray[np.float64]:
    for name, coord in ds.coords.items():
        if coord.attrs.get("standard_name") == what or str(name).lower() in (what, what[:3]):
            return np.asarray(coord.values, dtype=float)
    raise RasterError(
        f"basins can't be drawn without {what}. Add a coordinate with standard_name {what!r}, or "
        "give geometries=, the outlines of the basins."
    )


def _decorate(axis: Axes, mesh: Any, panel: _Panel, options: dict[str, Any]) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    bar = axis.figure.colorbar(
        mesh, ax=axis, extend=options["extend"], extendfrac=0.03, aspect=22, pad=0.02
    )
    bar.set_label(_pretty(panel.attrs.get("units")), fontsize=8)
    if isinstance(options["norm"], LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=7)
    bar.ax.yaxis.get_offset_text().set_fontsize(7)
    bar.outline.set_linewidth(0.5)
    axis.set_title(panel.title.replace("_", " "), fontsize=9)
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(MaxNLocator(4))
        one.label.set_fontsize(8)
    axis.tick_params(labelsize=7)
    for spine in axis.spines.values():
        spine.set_linewidth(0.5)


def _pretty(units: Any) -> str:
    """Return units as they are printed: exponents raised, nothing for the unit 1."""
    if units is None or str(units) in ("", "1"):
        return "dimensionless" if units is not None else ""
    text = re.sub(r"(?<=[A-Za-z])(-?\d+)", r"$^{\1}$", str(units))
    return text.replace("degC", "°C").replace("percent", "%")


def _axis_scale(ds: xr.Dataset, space: tuple[Hashable, Hashable]) -> float:
    """Return 1000 where metres are better read as kilometres."""
    metres = all(d in ds.coords and ds[d].attrs.get("units") in ("m", "metre") for d in space)
    return 1000.0 if metres and max(np.ptp(_edges(ds, d)) for d in space) > 5000 else 1.0


def _axis_label(ds: xr.Dataset, dim: Hashable, scale: float) -> str:
    attrs = ds[dim].attrs if dim in ds.coords else {}
    named = str(attrs.get("standard_name", dim))
    name = {
        "projection_x_coordinate": "easting",
        "projection_y_coordinate": "northing",
    }.get(named, named.replace("_", " "))
    units = str(attrs.get("units", ""))
    shown = {"degrees_east": "°E", "degrees_north": "°N", "degrees": "°"}.get(units, units)
    shown = "km" if scale != 1 else shown
    return f"{name} ({shown})" if shown else name


def _finish(axes: Any, count: int) -> None:
    """Label outer axes only, and drop empty ones."""
    columns = axes.shape[1]
    for index, axis in enumerate(axes.flat):
        if index >= count:
            axis.remove()
            continue
        if index % columns:
            axis.set_ylabel("")
            axis.tick_params(labelleft=False)
        if index + columns < count:
            axis.set_xlabel("")
            axis.tick_params(labelbottom=False)


def _key(dots: bool) -> Any:
    """Return what stands for places that were not fitted, for the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if dots:
        return Line2D([], [], linestyle="none", label="not fitted", **_CROSS)
    return Patch(label="not fitted", linewidth=0, **_NOT_FITTED)
