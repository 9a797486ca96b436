"""What the rows of the MOPEX study say, in words and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from studies import Row, averaged

REGIONALIZATIONS = ("similarity", "distance", "regression")
SCORE = "test_nse"
LEARNED = "mixed effects, 8 sets"
"""What the curve over the share of basins shows."""
ONE_SET = "mixed effects"
"""What the curves of cost show beside SCE-UA: the same number of parameters."""


def best_regionalization(table: Sequence[Row]) -> Row | None:
    """The best of the regionalizations in random basins never seen."""
    rows = [r for r in table if r["method"] in REGIONALIZATIONS and r["held"] == "random"]
    return max(rows, key=lambda r: r[SCORE], default=None)


def curve(table: Sequence[Row], share: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Shares of the training basins, and the score of parameter learning at each."""
    rows = [(r["share"], r[SCORE]) for r in share]
    rows += [(1.0, r[SCORE]) for r in table if (r["method"], r["held"]) == (LEARNED, "random")]
    rows.sort()
    return [r[0] for r in rows], [r[1] for r in rows]


def share_reaching(shares: Sequence[float], scores: Sequence[float], wanted: float) -> float | None:
    """Smallest share whose score is reached, linear in the logarithm between shares."""
    for i, score in enumerate(scores):
        if score < wanted:
            continue
        if i == 0:
            return shares[0]
        part = (wanted - scores[i - 1]) / (score - scores[i - 1])
        low, high = np.log(shares[i - 1]), np.log(shares[i])
        return float(np.exp(low + part * (high - low)))
    return None


def answer_share(table: Sequence[Row], share: Sequence[Row]) -> str:
    """Say from which share of training basins the best regionalization is reached."""
    rival = best_regionalization(table)
    shares, scores = curve(table, share)
    if rival is None or not shares:
        return "share: not computed"
    found = share_reaching(shares, scores, rival[SCORE])
    name = f"regionalization by {rival['method']} from all (NSE {rival[SCORE]:.3f})"
    if found is None:
        return f"share: parameter learning does not reach {name}; its best is {max(scores):.3f}"
    within = "at most " if found == shares[0] else ""
    return (
        f"share: parameter learning reaches {name} with {within}{100 * found:.1f} % of the basins"
    )


def answer_cost(rows: Sequence[Row]) -> Iterator[str]:
    """Say, for each number of basins, what equal scores cost."""
    for basins in sorted({r["basins"] for r in rows}):
        own = [r for r in rows if r["basins"] == basins]
        learned = [r for r in own if r["method"] == ONE_SET]
        sce = [r for r in own if r["method"] == "SCE-UA"]
        if not learned or not sce:
            continue
        wanted = min(max(r[SCORE] for r in learned), max(r[SCORE] for r in sce))
        one, other = (_cheapest(part, wanted) for part in (learned, sce))
        yield (
            f"{basins} basins, later NSE {wanted:.3f}: parameter learning "
            f"{one['runs_a_cell']:.0f} runs and {one['seconds_a_cell']:.2f} s a basin; SCE-UA "
            f"{other['runs_a_cell']:.0f} runs and {other['seconds_a_cell']:.2f} s"
        )


def _cheapest(rows: Sequence[Row], wanted: float) -> Row:
    return min((r for r in rows if r[SCORE] >= wanted), key=lambda r: r["runs_a_cell"])


def draw(table: Sequence[Row], share: Sequence[Row], costs: Sequence[Row], path: Path) -> None:
    """Draw the curve over the share of basins, and scores over cost."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    chart, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    _draw_share(axes[0], table, share)
    for axis, name, label in (
        (axes[1], "runs_a_cell", "runs of the model for each basin"),
        (axes[2], "seconds_a_cell", "seconds for each basin"),
    ):
        _draw_cost(axis, averaged(costs, ("method", "basins", "limit")), name)
        axis.set(xscale="log", xlabel=label, ylabel="median NSE, later years")
    if costs:
        chart.legend(*axes[1].get_legend_handles_labels(), loc="outside right", fontsize=7)
    chart.savefig(path, dpi=110)


def _draw_share(axis: Any, table: Sequence[Row], share: Sequence[Row]) -> None:
    shares, scores = curve(table, share)
    axis.plot(shares, scores, marker="o", label=LEARNED)
    for row in table:
        if row["held"] == "random" and row["method"] in (
            *REGIONALIZATIONS,
            "uniform",
            "LSTM",
        ):
            axis.axhline(row[SCORE], ls=":", lw=1, color="0.5")
            below = row["method"] == "distance"  # close to similarity
            axis.annotate(
                f"{row['method']}, all", (shares[0], row[SCORE]), fontsize=7,
                va="top" if below else "bottom",
            )  # fmt: skip
    axis.set(xscale="log", xlabel="share of the training basins", ylabel="median NSE, PUB")


def _draw_cost(axis: Any, rows: Sequence[Row], name: str) -> None:
    for i, basins in enumerate(sorted({r["basins"] for r in rows})):
        for method, style in ((ONE_SET, "-o"), ("SCE-UA", "--s")):
            own = [r for r in rows if (r["method"], r["basins"]) == (method, basins)]
            own.sort(key=lambda r: r["limit"])
            axis.plot(
                [r[name] for r in own], [r[SCORE] for r in own], style, ms=3, color=f"C{i}",
                label=f"{method}, {basins} basins",
            )  # fmt: skip
