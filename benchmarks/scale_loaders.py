"""Three ways to the same batches, for ``scale.py loader``: cells of a chunk over two years."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scale_store import SIDE  # beside this file

DAYS = 730
SERIES = ("prcp", "tas", "pet", "qobs")


def measured(ds: Any, which: str) -> dict[str, float]:
    """Seconds of a step and of waiting for its batch, both the mean over an epoch."""
    torch.set_num_threads(1)
    ways = {
        "sequential dask": sequential, "this loader": ours, "xbatcher and DataLoader": xbatched,
    }  # fmt: skip
    step = model_step()
    waited, worked, count = 0.0, 0.0, 0
    batches = ways[which](ds)
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        came = time.perf_counter()
        if batch is None:
            break
        step(batch)
        if count:  # the first one also starts up and compiles
            waited += came - began
            worked += time.perf_counter() - came
        count += 1
    return {"batches": count, "waited": waited / (count - 1), "step": worked / (count - 1)}


def model_step() -> Any:
    """HBV forward and back on a batch {name: (time, cell)}."""
    from xdpl.models import HBV

    model = HBV()

    def step(batch: dict[str, torch.Tensor]) -> None:
        cells = batch["prcp"].shape[1]
        parameter = {
            name: torch.full((cells, 1), sum(p.bounds) / 2, requires_grad=True)
            for name, p in model.parameters.items()
        }
        forcing = dict(zip(("prcp", "tas", "pet"), model.forcings, strict=True))
        inputs = {forcing[k]: batch[k] for k in forcing}
        outputs, _ = model.simulate(inputs, parameter, outputs=("streamflow",))
        ((outputs["streamflow"] - batch["qobs"]) ** 2).mean().backward()

    return step


def windows(ds: Any) -> Iterator[dict[str, slice]]:
    """Each chunk of cells twice, once for each two years, in random order."""
    places = [
        {"y": slice(y, y + SIDE), "x": slice(x, x + SIDE), "time": slice(t, t + DAYS)}
        for y in range(0, ds.sizes["y"], SIDE)
        for x in range(0, ds.sizes["x"], SIDE)
        for t in (0, DAYS)
    ]
    for at in np.random.default_rng(0).permutation(len(places)):
        yield places[at]


def flat(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        k: torch.from_numpy(np.ascontiguousarray(v).reshape(DAYS, -1)) for k, v in arrays.items()
    }


def sequential(ds: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Select, compute with dask's own threads, step; one after the other."""
    for place in windows(ds):
        piece = ds[list(SERIES)].isel(place).compute()
        yield flat({name: piece[name].values for name in SERIES})


def ours(ds: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Batches as `xdpl.fit` takes them from a store that is larger than memory."""
    from xdpl.batches import Cells, Loader, schedule
    from xdpl.layout import recognise
    from xdpl.losses import NSE
    from xdpl.models import HBV

    layout = recognise(ds, HBV(), obs="qobs")
    cells = Cells(
        ds, layout, period=slice(0, 2 * DAYS), losses={"streamflow": NSE()}, budget=0,
    )  # fmt: skip
    cells.budget = 10**9  # room for what is read ahead, none for keeping all
    plan = schedule(
        cells, epoch=0, seed=0, batch_size=SIDE * SIDE, window=DAYS, by_block=True,
    )  # fmt: skip
    names = dict(zip(layout.forcings, ("prcp", "tas", "pet"), strict=True))
    for batch in Loader(cells, 0)(plan):
        yield {names[k]: v for k, v in batch.forcing.items()} | {
            "qobs": batch.observed["streamflow"]
        }


class Patches(torch.utils.data.Dataset):
    """What xbatcher generates, as torch wants it: the same patches, also without a fork."""

    def __init__(self, ds: Any) -> None:
        import xbatcher

        self.patches = xbatcher.BatchGenerator(
            ds[list(SERIES)], input_dims={"time": DAYS, "y": SIDE, "x": SIDE}
        )

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, at: int) -> dict[str, torch.Tensor]:
        patch = self.patches[at].compute(scheduler="synchronous")
        return flat({name: patch[name].transpose("time", "y", "x").values for name in SERIES})


def xbatched(ds: Any) -> Iterator[dict[str, torch.Tensor]]:
    """xbatcher's patches through a torch DataLoader with two processes, started afresh."""
    yield from torch.utils.data.DataLoader(
        Patches(ds), batch_size=None, shuffle=True, num_workers=2, multiprocessing_context="spawn"
    )
