"""What a type checker says of the public face: mypy reads this file, nothing runs it.

Each ``type: ignore`` stands at a mistake. One that hides no mistake is an error of its own, so
that a signature that accepts anything fails the check of types.
"""

from __future__ import annotations

import xarray as xr

import xdpl
from xdpl.accessor import DplAccessor


def right(ds: xr.Dataset) -> None:
    """Calls that are right."""
    fit: xdpl.Fit = xdpl.fit(ds, obs="q", epochs=3, model="HBV", loss={"q": "KGE"}, warmup="90D")
    fit = xdpl.fit(ds, {"q": "streamflow"}, model=xdpl.models.HBV, period=slice("2000", None))
    fit.save("fit.xdpl")
    found = xdpl.cross_validate(ds, "q", space="random", epochs=3, loss="KGE")
    found = xdpl.cross_validate(ds, "q", time=2, method=xdpl.validation.calibrate, shrinkage=1.0)
    _ = found.scores.sizes
    accessor = DplAccessor(ds)
    fit = accessor.fit("q", epochs=3)
    maps: xr.Dataset = accessor.parameters(trust=True)
    maps = accessor.simulate(fit, slice("2000", None), outputs=["streamflow"])
    DplAccessor(maps).to_geotiff("maps", driver="COG")


def wrong(ds: xr.Dataset) -> None:
    """Calls with a mistake each."""
    xdpl.fit(ds, obs="q", epocs=3)  # type: ignore[call-arg]
    xdpl.fit(ds, obs="q", epochs="3")  # type: ignore[arg-type]
    xdpl.fit(ds, obs="q", engine="quick")  # type: ignore[arg-type]
    xdpl.cross_validate(ds, "q", space="random", epocs=3)  # type: ignore[call-overload]
    xdpl.cross_validate(ds, "q", space="random", seed=3)  # type: ignore[call-overload]
    box = xdpl.blackbox.CommandLine  # a class where an instance belongs
    xdpl.emulate(box, ds)  # type: ignore[arg-type]
    accessor = DplAccessor(ds)
    accessor.fit("q", epocs=3)  # type: ignore[call-arg]
    accessor.fit(epochs=3)  # type: ignore[call-arg]
    accessor.parameters(deviatons=True)  # type: ignore[call-arg]
    accessor.to_geotiff("maps", driver="GTif")  # type: ignore[arg-type]
