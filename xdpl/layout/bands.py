"""Static variables with one more dimension, such as depth, month or band: an attribute of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

__all__ = ["Band", "are_edges", "bands_of", "own_values"]

MOST = 24
"""Items of a dimension that become attributes: two years of months, but no spectrum."""
_CORNERS = ("bnds", "bound", "bounds", "nv", "nbnd", "nbnds", "vertices", "corners", "axis_nbounds")
"""Usual names of dimensions over the edges of cells."""


@dataclass(frozen=True)
class Band:
    """An attribute: a static variable, or one item of its further dimension.

    Parameters
    ----------
    name : str
        Of the attribute: that of the variable, with the item's label after it.
    variable : str
        Its variable.
    dim : str
        The further dimension; empty where there is none.
    item : int
        Place along it.
    """

    name: str
    variable: str
    dim: str = ""
    item: int = 0


def bands_of(ds: xr.Dataset, space: tuple[str, ...], name: str) -> list[Band] | None:
    """Attributes that a static variable makes, or None where it has too many dimensions.

    A variable over the cells is one attribute. A further dimension of one item is dropped; of
    several, each item is an attribute named by its coordinate: "clay_30" of depth 30.
    """
    extra = [str(dim) for dim in ds[name].dims if str(dim) not in space]
    if not extra:
        return [Band(name, name)]
    if len(extra) > 1 or ds.sizes[extra[0]] > MOST or not ds.sizes[extra[0]]:
        return None
    dim = extra[0]
    if ds.sizes[dim] == 1:
        return [Band(name, name, dim)]
    return [
        Band(f"{name}_{label}", name, dim, item) for item, label in enumerate(_item_labels(ds, dim))
    ]


def are_edges(dim: str) -> bool:
    """Whether a dimension counts edges of cells, by its usual names."""
    return dim.lower() in _CORNERS


def _item_labels(ds: xr.Dataset, dim: str) -> list[str]:
    """Labels of the items: their coordinate where it has one of each, else their places."""
    places = [str(item) for item in range(ds.sizes[dim])]
    if dim not in ds.coords or ds[dim].dtype.kind not in "fiuUTSO":
        return places
    labels = [_text(value) for value in ds[dim].values]
    return labels if len(set(labels)) == len(labels) else places


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, (float, np.floating)):
        return f"{float(value):g}"
    return str(value).strip().replace(" ", "_")


def own_values(variable: xr.Variable, dim: str, item: int) -> xr.Variable:
    """A variable without its further dimension."""
    return variable.isel({dim: item}) if dim else variable
