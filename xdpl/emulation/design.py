"""Which parameters the true model is run with: points of the unit cube, and back to units."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ..errors import DeclarationError
from ..variables import Parameter

__all__ = ["DESIGNS", "around", "draw", "needs", "physical", "shares"]

Array = NDArray[np.float64]
DESIGNS = ("sobol", "latin hypercube")


def needs(package: str) -> ModuleType:
    """Import a package of the extra ``emulate``, or say how to install it."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise DeclarationError(
            f"xdpl.emulate needs {package.partition('.')[0]}, which is not installed. "
            'Install it: pip install "xdpl[emulate]".'
        ) from error


def draw(design: str, size: int, start: int, count: int, seed: int) -> Array:
    """Points number ``start`` to ``start + count`` of a design, (count, size).

    A Sobol sequence goes on where it ended. Of Latin hypercubes every extension is one of its own.
    """
    qmc = needs("scipy.stats.qmc")
    if design == "latin hypercube":
        sampler = qmc.LatinHypercube(size, rng=np.random.default_rng([seed, start]))
        return np.asarray(sampler.random(count))
    if design != "sobol":
        raise DeclarationError(f"design={design!r} is unknown. Use {' or '.join(DESIGNS)}.")
    sampler = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(seed))
    if start:
        sampler.fast_forward(start)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # balance needs a power of 2, which nobody promised here
        return np.asarray(sampler.random(count))


def around(centre: Array, spread: float, count: int, seed: int) -> Array:
    """Points near others, (centre, count, size): a normal spread, mirrored at the bounds."""
    shape = (centre.shape[0], count, centre.shape[1])
    moved = centre[:, None, :] + spread * np.random.default_rng(seed).standard_normal(shape)
    folded = np.abs(moved) % 2.0
    return np.where(folded > 1.0, 2.0 - folded, folded)


def physical(share: Array, parameters: Mapping[str, Parameter]) -> Array:
    """Parameters in their units from shares of their bounds, on their scales; (..., parameter)."""
    values = np.empty_like(share)
    for i, declared in enumerate(parameters.values()):
        low, high = declared.bounds
        if declared.scale == "log":
            values[..., i] = low * (high / low) ** share[..., i]
        else:
            values[..., i] = low + (high - low) * share[..., i]
        values[..., i] = values[..., i].clip(low, high)
    return values


def shares(values: Array, parameters: Mapping[str, Parameter]) -> Array:
    """Invert `physical`."""
    found = np.empty_like(values)
    for i, declared in enumerate(parameters.values()):
        low, high = declared.bounds
        if declared.scale == "log":
            found[..., i] = np.log(values[..., i] / low) / np.log(high / low)
        else:
            found[..., i] = (values[..., i] - low) / (high - low)
    return found.clip(0.0, 1.0)
