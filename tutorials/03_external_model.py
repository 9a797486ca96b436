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
# # A model that stays as it is
#
# The package [hydrogr](https://pypi.org/project/hydrogr) holds GR4J, written in Rust. No gradient
# runs through it, and nobody wants to write it again. We declare what it reads and gives, run
# it with some parameter sets, train a surrogate on these runs, and learn parameters of basins
# through that. The model itself, in Rust, has the last word.

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from hydrogr import ModelGr4j

import xdpl
from xdpl import Forcing, Output, Parameter

torch.set_num_threads(1)  # small batches: more threads would wait for each other

ds = xdpl.tutorial.open_dataset("mopex").sel(time=slice("1982-10-01", "1988-09-30"))
ds = ds.where(ds["snow_fraction"] < 0.1, drop=True)  # GR4J knows no snow
ds = ds.isel(basin=slice(0, None, 4)).load()
train, test = slice("1982-10-01", "1986-09-30"), slice("1986-10-01", "1988-09-30")
print(ds.sizes["basin"], "basins")

# %% [markdown]
# ## Wrap it
#
# Declarations are those of any process model. `run` makes one run, with hydrogr's own interface.


# %%
class RustGR4J(xdpl.BlackBox):
    """GR4J of the package hydrogr."""

    precipitation = Forcing("mm day-1", standard_name="lwe_precipitation_rate")
    potential_evaporation = Forcing("mm day-1", names=("pet",))

    X1 = Parameter("mm", bounds=(50, 1500), scale="log", long_name="production store capacity")
    X2 = Parameter("mm day-1", bounds=(-4, 2), long_name="groundwater exchange")
    X3 = Parameter("mm", bounds=(10, 300), scale="log", long_name="routing store capacity")
    X4 = Parameter("day", bounds=(0.7, 5), scale="log", long_name="unit hydrograph time")

    streamflow = Output("mm day-1", long_name="streamflow", names=("qobs",))

    def run(self, forcings, parameters):
        weather = forcings.to_dataframe().rename(
            columns={"potential_evaporation": "evapotranspiration"}
        )
        return {"streamflow": ModelGr4j(dict(parameters)).run(weather)["flow"].to_numpy()}


box = RustGR4J()

# %% [markdown]
# ## Run it and train
#
# Twelve parameter sets in each basin, Sobol points of the bounds, all different. They are kept in
# the folder, so that a longer study later goes on from here. For this notebook the training is
# short: 6 of the usual 40 epochs.

# %%
folder = Path(tempfile.mkdtemp())
surrogate = xdpl.emulate(
    box,
    ds,
    samples=12,
    period=train,
    network=xdpl.surrogate.EmulatorLSTM(hidden=24),
    epochs=6,
    batch_size=32,
    learning_rate=0.01,
    sensitivity=6,
    store=folder / "runs",
    progress=False,
)
print(surrogate)

# %% [markdown]
# The report tells what to expect. *Unseen* are basins and runs that were not learned from;
# *response* compares a step of each parameter in the surrogate and in the true model. A parameter
# whose response is small, or not met, will not be learned well.
#
# ## Learn through it, judge by the true model

# %%
fit = ds.dpl.fit(
    obs="qobs", model=surrogate, period=train, epochs=40, learning_rate=0.02, progress=False
)
scores = ds.dpl.evaluate(period=test)
scores[["nse", "nse_surrogate", "nse_difference"]].median().to_pandas().round(3)

# %% [markdown]
# `nse` is the score of hydrogr itself, run with the learned parameters over years that were not
# trained on. Against the middle of the bounds:

# %%
middle = xdpl.validation.defaults(ds, "qobs", model=surrogate, period=train, progress=False)
before = middle.evaluate(ds, period=test)
print(f"middle of the bounds {before.nse.median():.3f}, learned {scores.nse.median():.3f}")

# %%
true = fit.simulate(ds, period=test, true_model=True, outputs=["streamflow"])
best = int(scores.nse.argmax())
both = xr.Dataset({"observed": ds.qobs, "hydrogr": true.streamflow}).isel(basin=best)
lines = both.sel(time=slice("1987-01", "1987-06")).to_array("what").plot.line(x="time", hue="what")

# %% [markdown]
# ## Maps, and files
#
# The parameters are a Dataset as with any model. A fit file holds the surrogate and names the true
# model; whoever reads it gives the model again.

# %%
maps = ds.dpl.parameters()
axes = maps.plot.scatter(x="lon", y="lat", hue="X1", cmap="viridis")

# %%
path = fit.save(folder / "gr4j.xdpl")
again = xdpl.load(path, model=box)
np.testing.assert_allclose(again.evaluate(ds, period=test).nse, scores.nse)

# %%
assert float(scores.nse.median()) > float(before.nse.median())
