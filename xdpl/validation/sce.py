"""SCE-UA, the shuffled complex evolution, for many problems at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DeclarationError

__all__ = ["Minimum", "minimise"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Objective = Callable[[Array, Index], Array]


@dataclass(frozen=True)
class Minimum:
    """What was found for each problem.

    Attributes
    ----------
    point : ndarray (problem, n)
        In the unit cube.
    value : ndarray (problem,)
        Of the objective there.
    evaluations : ndarray of int (problem,)
        Evaluations spent.
    """

    point: Array
    value: Array
    evaluations: NDArray[np.int64]


def minimise(
    objective: Objective,
    size: int,
    problems: int,
    *,
    complexes: int = 4,
    evaluations: int = 5000,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> Minimum:
    """Minimise many functions of the unit cube, each by SCE-UA, all in step.

    The algorithm is that of Duan et al. (1992), doi:10.1029/91WR02985, with the numbers that Duan
    et al. (1994), doi:10.1016/0022-1694(94)90057-4, recommend: complexes of 2n + 1 points,
    simplexes of n + 1, 2n + 1 evolution steps between shuffles. Each problem draws, evolves and
    stops on its own; only the evaluations of all are made together.

    Parameters
    ----------
    objective : callable
        ``objective(point (k, n), problem (k,)) -> value (k,)``; not finite is worse than all else.
    size : int
        Dimensions n of the cube.
    problems : int
        Number of functions.
    complexes : int
        Complexes of each problem.
    evaluations : int
        Evaluations of each problem after which no further shuffle begins.
    tolerance : float
        Geometric mean of the ranges of the population, in the unit cube, that counts as converged.
    seed : int
        Of the draws.

    Returns
    -------
    Minimum
    """
    for name, count in (("complexes", complexes), ("evaluations", evaluations)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise DeclarationError(
                f"{name}={count!r} can't be used by SCE-UA. Give a whole number above 0."
            )
    draw = np.random.default_rng(seed)
    points = 2 * size + 1
    population = draw.random((problems, complexes * points, size))
    spent = np.zeros(problems, np.int64)

    def evaluate(point: Array, problem: Index) -> Array:
        np.add.at(spent, problem, 1)
        found = np.asarray(objective(point, problem), dtype=np.float64)
        return np.where(np.isfinite(found), found, np.inf)

    every = np.repeat(np.arange(problems), complexes * points)
    value = evaluate(population.reshape(-1, size), every).reshape(problems, -1)
    going = np.arange(problems)
    while len(going):
        order = np.argsort(value[going], axis=1, kind="stable")
        # ranks are dealt out in turn, so that every complex has good and bad points
        dealt = order.reshape(len(going), points, complexes).swapaxes(1, 2)
        rows = np.repeat(going, complexes)
        places = dealt.reshape(-1, points)
        evolving = _Complexes(population[rows[:, None], places], value[rows[:, None], places], rows)
        for _ in range(points):
            evolving.step(evaluate, draw)
        population[rows[:, None], places] = evolving.point
        value[rows[:, None], places] = evolving.value
        spread = np.ptp(population[going], axis=1).clip(min=1e-30)
        converged = np.exp(np.log(spread).mean(1)) < tolerance
        going = going[~converged & (spent[going] < evaluations)]
    best = value.argmin(1)
    here = np.arange(problems)
    return Minimum(population[here, best], value[here, best], spent)


class _Complexes:
    """Complexes of all problems, evolving in step; their points sorted from best to worst.

    Attributes
    ----------
    point, value : ndarray (complex, m, n), (complex, m)
    problem : ndarray of int (complex,)
    """

    def __init__(self, point: Array, value: Array, problem: Index) -> None:
        self.point, self.value, self.problem = point, value, problem
        members = point.shape[1]
        weight = 2.0 * (members - np.arange(members)) / (members * (members + 1))
        self._log_weight = np.log(weight)

    def step(self, evaluate: Objective, draw: np.random.Generator) -> None:
        """Replace the worst of a random simplex in each complex (competitive evolution)."""
        count, members, size = self.point.shape
        rows = np.arange(count)
        # the largest of weights plus Gumbel noise: a weighted draw without replacement
        keys = self._log_weight + draw.gumbel(size=(count, members))
        chosen = np.sort(np.argsort(-keys, axis=1)[:, : size + 1], axis=1)
        worst = chosen[:, -1]
        simplex = self.point[rows[:, None], chosen]
        centre, old = simplex[:, :-1].mean(1), simplex[:, -1]
        limit = self.value[rows, worst]
        low, high = self.point.min(1), self.point.max(1)

        new = 2 * centre - old
        outside = ((new < 0) | (new > 1)).any(1)
        new[outside] = draw.uniform(low[outside], high[outside])
        value = evaluate(new, self.problem)

        worse = np.flatnonzero(~(value < limit))
        new[worse] = (centre[worse] + old[worse]) / 2
        value[worse] = evaluate(new[worse], self.problem[worse])

        worse = worse[~(value[worse] < limit[worse])]
        new[worse] = draw.uniform(low[worse], high[worse])
        value[worse] = evaluate(new[worse], self.problem[worse])

        self.point[rows, worst], self.value[rows, worst] = new, value
        order = np.argsort(self.value, axis=1, kind="stable")
        self.point = np.take_along_axis(self.point, order[..., None], axis=1)
        self.value = np.take_along_axis(self.value, order, axis=1)
