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
# # First fit: soil moisture seen by SMAP
#
# The SMAP satellite measures the soil moisture of the upper five centimetres every two to three
# days. Here are two years of it, on a part of the EASE-Grid 2.0 over the conterminous United
# States, with weather, soil and vegetation. We learn the parameters of a soil moisture model from
# the first year, test them on the second, and export the maps.

# %%
import tempfile

import numpy as np
import xarray as xr

import xdpl

ds = xdpl.tutorial.open_dataset("smap-conus")
ds

# %% [markdown]
# A grid (`y`, `x`) with a CRS; forcings and `SMAP` with time, attributes without. Most cells of
# the rectangle are empty: a cell with no forcing at all does not exist.
#
# ## Fit
#
# One line. xdpl recognises precipitation and temperature by their CF standard names, computes
# potential evaporation from radiation (there is none in the data), takes all numbers without time
# as attributes, and chooses the `VIC` model, because soil moisture was observed. The first year
# is for training.

# %%
fit = ds.dpl.fit(obs="SMAP", period=slice("2015-04-01", "2016-03-31"), progress=False)
fit

# %% [markdown]
# ## Test on the year after
#
# Scores come per cell, in the units of the observation. `ubrmse` is the error that is left once
# the bias is removed, the measure in which SMAP states its own accuracy (0.04 m3 m-3).

# %%
scores = ds.dpl.evaluate(period=slice("2016-04-01", "2017-03-31"))
scores[["rmse", "ubrmse", "corr", "bias"]].median().to_pandas().round(3)

# %%
figure = scores[["rmse", "ubrmse", "corr"]].dpl.plot()

# %% [markdown]
# ## Maps
#
# All parameters, in physical units. Cells without attributes stay blank.

# %%
maps = ds.dpl.parameters()
maps

# %%
chosen = ["porosity", "residual_moisture", "surface_depth", "vegetation_coefficient"]
figure = maps[chosen].dpl.plot()

# %% [markdown]
# ## A cell, by day
#
# The cell with the median correlation: observed and simulated soil moisture in the year that was
# not trained on.

# %%
typical = np.abs(scores["corr"] - scores["corr"].median()).fillna(np.inf)
cell = typical.argmin(typical.dims)
test = slice("2016-04-01", "2017-03-31")
simulated = ds.dpl.simulate(period=test, outputs=["surface_soil_moisture"])

series = xr.Dataset(
    {
        "observed": ds["SMAP"].sel(time=test).isel(cell),
        "simulated": simulated["surface_soil_moisture"].isel(cell),
    }
)
axes = series["simulated"].plot(figsize=(9, 3), label="simulated")[0].axes
series["observed"].plot(ax=axes, marker=".", linestyle="none", label="observed")
legend = axes.legend()

# %% [markdown]
# ## Export
#
# One GeoTIFF per parameter, with CRS, nodata, units and provenance; drag them into QGIS. And the
# fit itself, for any other place or period.

# %%
folder = tempfile.mkdtemp()
files = maps.dpl.to_geotiff(folder)
path = fit.save(f"{folder}/smap.xdpl")
len(files), path.name

# %% [markdown]
# ## Does it hold where nothing was observed?
#
# That question needs cells that were not trained on. Hold back a strip of the country and fit
# again; in earnest one does so several times (cross-validation), so that each cell is held back
# once.

# %%
column = xr.DataArray(np.arange(ds.sizes["x"]), dims="x")
held_back = (column % 5 == 2) & xr.ones_like(ds["clay"], bool)
elsewhere = xdpl.fit(
    ds, obs="SMAP", cells=~held_back, period=slice("2015-04-01", "2016-03-31"), progress=False
)
unseen = elsewhere.evaluate(ds, period=test).where(held_back)
unseen[["rmse", "ubrmse", "corr"]].median().to_pandas().round(3)

# %%
assert float(scores["ubrmse"].median()) < 0.045
assert float(unseen["ubrmse"].median()) < 0.05
