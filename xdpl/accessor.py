"""The ``.dpl`` accessor: the public functions, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from .errors import LayoutError, NotFitted
from .methods import DatasetMethod, FitMethod, late

if TYPE_CHECKING:
    from . import fitting, plot, prediction, rasters
    from .fitting import preview
    from .prediction import Fit
else:  # torch and GDAL are loaded by those who need them
    fitting, plot, prediction, rasters = map(late, ("fitting", "plot", "prediction", "rasters"))
    preview = late("fitting.preview")

__all__ = ["DplAccessor", "DplTreeAccessor"]


@xr.register_dataset_accessor("dpl")
class DplAccessor:
    """Differentiable parameter learning on a Dataset.

    Remembers the last fit made through it, as a convenience only: any new object made from the
    Dataset starts without one, and pickling a Dataset leaves the fit behind. Every method takes
    ``fit`` as well.
    """

    fit = DatasetMethod(lambda: fitting.fit, remembered=True)
    parameters = FitMethod(lambda: prediction.Fit.parameters)
    mixed_effects = FitMethod(lambda: prediction.Fit.mixed_effects)
    parts = FitMethod(lambda: prediction.Fit.parts)
    forcings = FitMethod(lambda: prediction.Fit.forcings)
    simulate = FitMethod(lambda: prediction.Fit.simulate)
    evaluate = FitMethod(lambda: prediction.Fit.evaluate)
    to_geotiff = DatasetMethod(lambda: rasters.to_geotiff)
    to_zarr = DatasetMethod(lambda: rasters.to_zarr)
    to_geopackage = DatasetMethod(lambda: rasters.to_geopackage)
    rasterize = DatasetMethod(lambda: rasters.rasterize)
    plot = DatasetMethod(lambda: plot.plot)

    def __init__(self, ds: xr.Dataset) -> None:
        self._dataset = ds
        self._fit: Fit | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_dataset": self._dataset, "_fit": None}

    def __repr__(self) -> str:
        return preview.text(self._dataset, self._fit)

    def _repr_html_(self) -> str:
        return preview.html(self._dataset, self._fit)

    def _choose(self, fit: object, method: str) -> Fit:
        """Return the fit given, or the last one.

        Raises
        ------
        NotFitted
            Neither is there, or it is no Fit.
        """
        if fit is None and self._fit is None:
            raise NotFitted(
                "this Dataset has no fit; a fit is not carried to new objects made from a Dataset. "
                f'Call ds.dpl.fit(obs="...") first, or give the fit: ds.dpl.{method}(fit).'
            )
        chosen = fit or self._fit
        if not hasattr(chosen, "parameters"):
            raise NotFitted(
                f"fit is a {type(chosen).__name__}, not an xdpl.Fit. Give what ds.dpl.fit(...) or "
                "xdpl.load(...) returned, and all else by keyword: period=..."
            )
        return chosen  # type: ignore[return-value]

    def _remember(self, fit: object) -> None:
        """Keep a fit for the next call on this Dataset."""
        self._fit = fit  # type: ignore[assignment]


@xr.register_datatree_accessor("dpl")
class DplTreeAccessor:
    """Differentiable parameter learning on a node of a DataTree.

    A node is a Dataset with coordinates inherited from its parents. A fit takes one Dataset, so
    it takes one node, and nothing from the nodes below: ``tree["/basins"].dpl.fit(obs="q")``.
    To learn from several nodes together, join their Datasets first.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree
        self._of_node: DplAccessor | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._of_node is None:
            self._of_node = DplAccessor(self._tree.to_dataset())
        if not self._of_node._dataset.data_vars:
            raise LayoutError(
                f"node {self._tree.path!r} has no data variables. A fit takes the Dataset of one "
                f"node: {self._with_data()}."
            )
        return getattr(self._of_node, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(n for n in dir(DplAccessor) if n[0] != "_")})

    def _with_data(self) -> str:
        nodes = [node.path for node in self._tree.root.subtree if node.data_vars]
        calls = [f'tree["{path}"].dpl.fit(...)' for path in nodes[:5]]
        return ", ".join(calls) or "no node of this tree has any"

    def __repr__(self) -> str:
        if self._tree.data_vars:
            return repr(DplAccessor(self._tree.to_dataset()))
        return f"<tree.dpl> node {self._tree.path!r} has no data variables: {self._with_data()}"
