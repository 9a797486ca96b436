"""How far a surrogate can be trusted: on runs held out, and in its response to each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..scores import median, score
from ..surrogate import Emulator
from .training import Runs, pieces

__all__ = ["Split", "errors", "held_out", "responses", "split", "thirds"]

STEP = 0.05
"""Step of a parameter, as a share of its bounds, in the finite differences."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """Which runs are learned from and which are held out: whole cells, and runs of other cells."""

    train: NDArray[np.intp]
    cells: NDArray[np.intp]
    runs: NDArray[np.intp]


def split(cell: NDArray[np.int32], usable: NDArray[np.intp], seed: int) -> Split:
    """Hold out a tenth of the cells, where there are ten or more, and a tenth of all other runs."""
    draw = np.random.default_rng([seed, 77])
    names = np.unique(cell)
    out = draw.permutation(names)[: len(names) // 10]
    away = np.isin(cell[usable], out)
    inside = usable[~away]
    some = draw.random(len(inside)) < 0.1
    if some.all() or not some.any():
        some = np.arange(len(inside)) == len(inside) - 1
    return Split(inside[~some], usable[away], inside[some])


@torch.no_grad()
def predict(emulator: Emulator, runs: Runs, index: NDArray[np.intp]) -> NDArray[np.float32]:
    """What the surrogate gives for some runs, without the spin-up: (run, time, output)."""
    rows = torch.as_tensor(index, device=runs.share.device)
    state, found = None, []
    for begin in range(0, len(runs.forcing), 730):
        piece = runs.forcing[begin : begin + 730].index_select(1, runs.cell[rows])
        values, state = emulator(piece, runs.share[rows], state)
        found.append(values)
    return torch.cat(found)[runs.spin_up :].movedim(0, 1).cpu().numpy()


def nse(found: NDArray[np.float32], true: NDArray[np.float32]) -> Array:
    """Efficiency of each run, (run,), from (run, time)."""
    return np.asarray(score(found.T, true.T)["nse"])


def errors(emulator: Emulator, runs: Runs, index: NDArray[np.intp]) -> tuple[Array, Array]:
    """NSE and RMSE of the surrogate in each of some runs, (run, output) each; in pieces."""
    outputs = runs.output.shape[-1]
    efficiency, size = np.empty((2, len(index), outputs))
    for at in pieces(np.arange(len(index))):
        simulated, true = predict(emulator, runs, index[at]), runs.true(index[at]).numpy()
        size[at] = np.sqrt(((simulated - true) ** 2).mean(1))
        for i in range(outputs):
            efficiency[at, i] = nse(simulated[..., i], true[..., i])
    return efficiency, size


def held_out(
    errors: Mapping[str, tuple[Array, Array]], outputs: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Median errors of runs that were not learned from, by output and group.

    Parameters
    ----------
    errors : mapping of str to (ndarray, ndarray) (run, output)
        What was held out ("cells", "runs"): its `errors`.
    outputs : sequence of str
        Names.
    """
    return {
        name: {
            group: {
                "nse": median(efficiency[:, i]),
                "rmse": float(np.median(size[:, i])),
                "count": float(len(size)),
            }
            for group, (efficiency, size) in errors.items()
            if len(size)
        }
        for i, name in enumerate(outputs)
    }


def thirds(
    efficiency: Array, share: Array, parameters: Sequence[str], outputs: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
    """Median NSE of held-out runs in the thirds of each parameter's bounds.

    Parameters
    ----------
    efficiency : ndarray (run, output)
        From `errors`.
    share : ndarray (run, parameter)
        Of the parameters' bounds.
    parameters, outputs : sequence of str
        Names.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for i, output in enumerate(outputs if len(share) else ()):
        each = efficiency[:, i]
        found[output] = {
            name: [median(each[third == k]) for k in range(3)]
            for p, name in enumerate(parameters)
            for third in [np.minimum(2, (share[:, p] * 3).astype(int))]
        }
    return found


def responses(
    emulator: Emulator,
    runs: Runs,
    pairs: NDArray[np.intp],
    parameters: Sequence[str],
    outputs: Sequence[str],
) -> dict[str, dict[str, dict[str, float]]]:
    """Compare the surrogate's response to a step of each parameter with the true model's.

    Parameters
    ----------
    emulator, runs
        The surrogate, and the true runs.
    pairs : ndarray of int (place, parameter, 2)
        Runs with a parameter below and above, all else equal; -1 where one failed.
    parameters, outputs : sequence of str
        Names.
    """
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in outputs}
    for p, parameter in enumerate(parameters):
        rows = pairs[(pairs[:, p] >= 0).all(1), p]
        if not len(rows):
            continue
        simulated = predict(emulator, runs, rows.ravel())  # as many as sensitivity= asks for
        true = runs.true(rows.ravel()).numpy()
        for i, output in enumerate(outputs):
            theirs, ours = (
                np.diff(values[..., i].reshape(*rows.shape, -1), axis=1)[:, 0]
                for values in (true, simulated)
            )
            spread = true[..., i].std(1).reshape(rows.shape).mean(1)
            found[output][parameter] = _alike(ours.astype(float), theirs.astype(float), spread)
    return found


def _alike(ours: Array, theirs: Array, spread: Array) -> dict[str, float]:
    """Correlation and ratio of two responses (place, time), medians over the sites."""
    product = (ours * theirs).sum(1)
    size, own = np.sqrt((theirs**2).sum(1)), np.sqrt((ours**2).sum(1))
    felt = size > 1e-9
    if not felt.any():
        return {"corr": float("nan"), "ratio": float("nan"), "size": 0.0}
    return {
        "corr": float(np.median((product / (size * own + 1e-30))[felt])),
        "ratio": float(np.median((own / np.where(felt, size, 1.0))[felt])),
        "size": float(np.median(size / np.sqrt(theirs.shape[1]) / (spread + 1e-30))),
    }
