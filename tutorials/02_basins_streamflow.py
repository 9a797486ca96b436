# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Basins and streamflow
#
# The MOPEX data hold daily weather and streamflow of basins in the United States, with soils,
# vegetation and climate. One row per basin instead of a grid: everything works the same. We learn
# the parameters of HBV for all basins together, test them on later years, and predict basins that
# were never seen.

# %%
import numpy as np
import pandas as pd
import xarray as xr

import xdpl

ds = xdpl.tutorial.open_dataset("mopex")
ds

# %% [markdown]
# ## Fit
#
# `qobs` is streamflow, so xdpl chooses the `HBV` model. There is no daily mean temperature; the
# mean of the maximum and the minimum serves, and the summary says so. A few basins lack potential
# evaporation, which is then computed from temperature and latitude. Gaps in the streamflow are
# just not observed.
#
# To keep this notebook short it trains on a part of the record, for fewer epochs than by default.

# %%
train, test = slice("1980-10-01", "1986-09-30"), slice("1986-10-01", "1990-09-30")
fit = ds.dpl.fit(obs="qobs", period=train, epochs=40, progress=False)
fit

# %%
scores = ds.dpl.evaluate(period=test)
scores[["nse", "kge", "bias"]].median().to_pandas().round(3)

# %% [markdown]
# The distribution tells more than the median: where does it fail?

# %%
print(scores["nse"].quantile([0.05, 0.25, 0.5, 0.75, 0.95]).to_pandas().round(2))

axes = scores.plot.scatter(x="lon", y="lat", hue="nse", vmin=0, vmax=1, cmap="viridis")

# %% [markdown]
# ## Basins that were never seen
#
# Every fifth basin is held back. Its parameters come from its attributes and its climate.

# %%
number = xr.DataArray(np.arange(ds.sizes["basin"]), dims="basin", coords={"basin": ds["basin"]})
held_back = number % 5 == 0
regional = xdpl.fit(
    ds, obs="qobs", cells=~held_back, period=train, epochs=40, seed=1, progress=False
)
unseen = regional.evaluate(ds, period=test).where(held_back)
unseen[["nse", "kge"]].median().to_pandas().round(3)

# %% [markdown]
# ## Another model structure
#
# A model is a keyword. `GR4J` has four parameters; how far do they carry?

# %%
small = xdpl.fit(ds, obs="qobs", model=xdpl.models.GR4J(), period=train, epochs=40, progress=False)
small.evaluate(ds, period=test)[["nse", "kge"]].median().to_pandas().round(3)

# %% [markdown]
# ## The parameters and where they come from
#
# One value per basin. The snow parameters should follow climate, the storages soils; a parameter
# that follows nothing was hardly identified.

# %%
maps = ds.dpl.parameters()
numbers = [n for n in ds.data_vars if "time" not in ds[n].dims and ds[n].dtype.kind == "f"]
correlation = pd.DataFrame(
    {p: {n: float(xr.corr(maps[p], ds[n])) for n in numbers} for p in maps.data_vars}
)
pd.DataFrame({"attribute": correlation.abs().idxmax(), "correlation": correlation.abs().max()})

# %% [markdown]
# With outlines of the basins (a GeoDataFrame), `maps.dpl.to_geopackage("basins.gpkg",
# geometries=...)` writes polygons and `maps.dpl.to_geotiff("maps/", geometries=...,
# resolution=...)` rasters. These data come without outlines.

# %%
assert float(scores["nse"].median()) > 0.6
assert float(unseen["nse"].median()) > 0.5
