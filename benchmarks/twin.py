"""Twin experiments: are true parameters found again, and which ones can't be?

    python benchmarks/twin.py             # every bundled model
    python benchmarks/twin.py HBV --cells 300 --years 6 --noise 0.05

Parameters are drawn for many cells, the model makes the observations, and gradients look for
the parameters from the middle of their bounds, cell by cell: no network, no attributes. The table
holds, for every parameter, the rank correlation over cells of what was found with the truth.
Where the misfit is small and the correlation is low, the observation does not identify the
parameter: its map is the network's guess. Which parameters those are depends on what is
observed, and on the climate: water that never freezes says nothing of frost.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch

from xdpl.models import BUNDLED
from xdpl.parameters.transforms import bounded
from xdpl.process import ProcessModel
from xdpl.testing import draw_parameters, draw_weather

RECOVERED = 0.7
"""Rank correlation from which a parameter is called recovered."""

_EXTREME = 5  # the first cells of drawn weather are extreme ones


@dataclass(frozen=True)
class Twin:
    """Result of a twin experiment.

    Parameters
    ----------
    correlation : dict of str to float
        Rank correlation of found with true parameters over the cells.
    misfit : float
        Median over cells of the mean squared error relative to the variance of the truth.
    """

    correlation: dict[str, float]
    misfit: float

    @property
    def recovered(self) -> list[str]:
        """Parameters that were found again."""
        return [name for name, r in self.correlation.items() if r >= RECOVERED]


def rank_correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Spearman's coefficient."""
    ranks = torch.stack([a.argsort().argsort().double(), b.argsort().argsort().double()])
    return float(torch.corrcoef(ranks)[0, 1])


def twin(
    model: ProcessModel,
    *,
    observed: tuple[str, ...] = (),
    cells: int = 200,
    years: float = 4.0,
    iterations: int = 400,
    learning_rate: float = 0.05,
    noise: float = 0.0,
    seed: int = 0,
) -> Twin:
    """Recover drawn parameters from a model's own outputs.

    Parameters
    ----------
    model : ProcessModel
        Makes the truth and is calibrated.
    observed : tuple of str
        Outputs that are observed; the first declared one by default.
    cells, years : int, float
        Size of the experiment; the first year is spin-up and not compared.
    iterations, learning_rate : int, float
        Of the Adam optimiser, with a learning rate that rises and falls.
    noise : float
        Standard deviation of the observation error, relative to that of the truth.
    seed : int
        Of weather, truth and noise.
    """
    observed = observed or tuple(model.outputs)[:1]
    steps = round(years * 365)
    forcing = {
        name: value[:, _EXTREME:].float().contiguous()
        for name, value in draw_weather(
            model, cells=cells + _EXTREME, steps=steps, seed=seed
        ).items()
    }
    truth = {k: v.float() for k, v in draw_parameters(model, cells=cells, seed=seed + 1).items()}
    made, _ = model.simulate(forcing, truth, outputs=observed)
    generator = torch.Generator().manual_seed(seed)
    target, spread = {}, {}
    for name in observed:
        series = made[name][365:]
        spread[name] = series.std(0) + 1e-3
        error = torch.randn(series.shape, generator=generator)
        target[name] = series + noise * spread[name] * error

    raw = {name: torch.zeros_like(value).requires_grad_() for name, value in truth.items()}
    optimiser = torch.optim.Adam(raw.values(), lr=learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=iterations, pct_start=0.2
    )

    def misfit() -> torch.Tensor:
        current = {name: bounded(raw[name], p) for name, p in model.parameters.items()}
        outputs, _ = model.simulate(forcing, current, outputs=observed)
        terms = [(((outputs[n][365:] - target[n]) / spread[n]) ** 2).mean(0) for n in observed]
        return torch.stack(terms).mean(0)

    for _ in range(iterations):
        optimiser.zero_grad()
        # the floor of the logarithm weighs well-fitted cells as much as poor ones
        torch.log(misfit() + 1e-4).sum().backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        left = misfit()
        correlation = {
            name: rank_correlation(
                bounded(raw[name], p).flatten().double(), truth[name].flatten().double()
            )
            for name, p in model.parameters.items()
        }
    return Twin(correlation, float(left.median()))


def main() -> None:
    """Print one table per model."""
    parser = argparse.ArgumentParser(description="Twin experiments of the bundled models.")
    parser.add_argument("models", nargs="*", help="names such as HBV; all by default")
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--years", type=float, default=4.0)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-output", action="store_true", help="observe all outputs")
    given = parser.parse_args()
    for model in (cls() for cls in BUNDLED):
        if given.models and model.name not in given.models:
            continue
        observed = tuple(model.outputs) if given.every_output else tuple(model.outputs)[:1]
        start = time.perf_counter()
        result = twin(
            model,
            observed=observed,
            cells=given.cells,
            years=given.years,
            iterations=given.iterations,
            noise=given.noise,
            seed=given.seed,
        )
        print(f"{model.name}, observed: {', '.join(observed)}")
        for name, r in sorted(result.correlation.items(), key=lambda item: -item[1]):
            print(f"  {name:30s} {r:6.2f}  {'' if r >= RECOVERED else 'not recovered'}")
        seconds = time.perf_counter() - start
        print(f"  misfit {result.misfit:.1e} of the variance; {seconds:.0f} s\n")


if __name__ == "__main__":
    main()
