"""The ``.dpl`` accessor: the public functions, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from .errors import NotFitted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from .prediction import Fit
    from .runtime.files import PathLike

__all__ = ["DplAccessor"]


@xr.register_dataset_accessor("dpl")
class DplAccessor:
    """Differentiable parameter learning on a Dataset.

    Remembers the last fit made through it, as a convenience only: any new object made from the
    Dataset starts without one, and pickling a Dataset leaves the fit behind. Every method takes
    ``fit`` as well.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds
        self._fit: Fit | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_ds": self._ds, "_fit": None}

    def _last(self, fit: Fit | None) -> Fit:
        if fit is None and self._fit is None:
            raise NotFitted(
                "this Dataset has no fit; a fit is not carried to new objects made from a Dataset. "
                'Call ds.dpl.fit(obs="...") first, or give the fit: ds.dpl.parameters(fit).'
            )
        chosen = fit or self._fit
        if not hasattr(chosen, "parameters"):
            raise NotFitted(
                f"fit is a {type(chosen).__name__}, not an xdpl.Fit. Give what ds.dpl.fit(...) or "
                "xdpl.load(...) returned, and all else by keyword: period=..."
            )
        return chosen  # type: ignore[return-value]

    def fit(self, obs: str | Mapping[str, str], **keywords: Any) -> Fit:
        """Learn parameters from observations: `xdpl.fit` with the same keywords."""
        from .fitting import fit

        self._fit = fit(self._ds, obs, **keywords)
        return self._fit

    def parameters(
        self, fit: Fit | None = None, *, deviations: bool = True, trust: bool = False
    ) -> xr.Dataset:
        """Map the learned parameters: `Fit.parameters`."""
        return self._last(fit).parameters(self._ds, deviations=deviations, trust=trust)

    def parts(self, fit: Fit | None = None) -> xr.Dataset:
        """Map what the network gives and what is a cell's own: `Fit.parts`."""
        return self._last(fit).parts(self._ds)

    def simulate(
        self,
        fit: Fit | None = None,
        period: Any = None,
        outputs: Sequence[str] | None = None,
        **keywords: Any,
    ) -> xr.Dataset:
        """Run the model with the learned parameters: `Fit.simulate`."""
        return self._last(fit).simulate(self._ds, period, outputs, **keywords)

    def evaluate(self, fit: Fit | None = None, period: Any = None, **keywords: Any) -> xr.Dataset:
        """Score the simulation against the observations: `Fit.evaluate`."""
        return self._last(fit).evaluate(self._ds, period, **keywords)

    def to_geotiff(self, path: PathLike, **keywords: Any) -> list[Path | str]:
        """Write maps as GeoTIFF: `xdpl.rasters.to_geotiff`."""
        from .rasters import to_geotiff

        return to_geotiff(self._ds, path, **keywords)

    def to_zarr(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write maps to a zarr store, and go on after an interruption: `xdpl.rasters.to_zarr`."""
        from .rasters import to_zarr

        return to_zarr(self._ds, path, overwrite=overwrite)

    def to_geopackage(self, path: PathLike, **keywords: Any) -> Path | str:
        """Write basins as polygons with their parameters: `xdpl.rasters.to_geopackage`."""
        from .rasters import to_geopackage

        return to_geopackage(self._ds, path, **keywords)

    def rasterize(self, **keywords: Any) -> xr.Dataset:
        """Turn basins into a grid, weighted by area: `xdpl.rasters.rasterize`."""
        from .rasters import rasterize

        return rasterize(self._ds, **keywords)

    def plot(self, variables: str | Sequence[str] | None = None, **keywords: Any) -> Figure:
        """Draw maps, all by default: `xdpl.plot.plot`."""
        from .plot import plot

        return plot(self._ds, variables, **keywords)
