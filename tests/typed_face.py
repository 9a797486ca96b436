"""What a type checker says of the public face: mypy reads this file, nothing runs it.

Each ``type: ignore`` stands at a mistake. One that hides no mistake is an error of its own, so
that a signature that accepts anything fails the check of types.
"""

from __future__ import annotations

import xarray as xr

import xdpl


def right(ds: xr.Dataset) -> None:
    """Calls that are right."""
    fit: xdpl.Fit = xdpl.fit(ds, obs="q", epochs=3, model="HBV", loss={"q": "KGE"}, warmup="90D")
    fit = xdpl.fit(ds, {"q": "streamflow"}, model=xdpl.models.HBV, period=slice("2000", None))
    fit.save("fit.xdpl")


def wrong(ds: xr.Dataset) -> None:
    """Calls with a mistake each."""
    xdpl.fit(ds, obs="q", epocs=3)  # type: ignore[call-arg]
    xdpl.fit(ds, obs="q", epochs="3")  # type: ignore[arg-type]
    xdpl.fit(ds, obs="q", engine="quick")  # type: ignore[arg-type]
