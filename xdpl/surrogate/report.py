"""What is known of a surrogate: how it was made, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

__all__ = ["Report"]


@dataclass
class Report:
    """How a surrogate was made and how well it stands for the true model.

    Attributes
    ----------
    runs : dict of str to int
        True runs by purpose: sampled, each round, sensitivity.
    failed : dict of str to int
        Failed runs by cause.
    cells : int
        Cells that runs were made in.
    seconds : dict of str to float
        Spent on true runs and on training.
    ranges : dict of str to (float, float)
        Lowest and highest value in the runs, of forcings, parameters and outputs.
    held_out : dict of str to dict
        By output, and by what was held out ("cells", "runs"): medians over the runs of ``nse`` and
        ``rmse``, and how many runs.
    by_parameter : dict of str to dict of str to list
        By output and parameter: median NSE of held-out runs whose parameter lies in the lower,
        middle and upper third of its bounds.
    sensitivity : dict of str to dict of str to dict
        By output and parameter: ``corr`` and ``ratio`` of the surrogate's response to a step of
        the parameter with the true model's, and ``size`` of the true response relative to the
        output's standard deviation; medians over cells.
    rounds : list of dict
        Of each refinement: ``agreement`` of surrogate and true model at the learned parameters
        (median NSE over cells), its lower decile, and the runs added.
    loss : list of float
        Of each epoch of training.
    unused : dict of str to int
        Runs by purpose that the store holds, but that this surrogate is not made of: they were
        made for other observations, settings or numbers of samples.
    """

    runs: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    cells: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    held_out: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    by_parameter: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sensitivity: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    rounds: list[dict[str, float]] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    unused: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ranges = {name: (low, high) for name, (low, high) in self.ranges.items()}

    def to_json(self) -> dict[str, object]:
        """Plain dictionary."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(f"  {key:<13}{value}" for key, value in self.rows())

    def rows(self) -> list[tuple[str, str]]:
        """Lines of a summary: what, and the figures."""
        made = ", ".join(f"{n} {kind}" for kind, n in self.runs.items())
        failed = ", ".join(f"{n} {cause}" for cause, n in self.failed.items())
        rows = [
            ("true runs", f"{made} in {self.cells} cells" + (f"; failed: {failed}" * bool(failed)))
        ]
        if self.unused:
            left = ", ".join(f"{n} {kind}" for kind, n in self.unused.items())
            rows.append(("not used", f"{left}, in the store for other calls"))
        for output, parts in self.held_out.items():
            for part, found in parts.items():
                rows.append(
                    (
                        f"unseen {part}",
                        f"{output}: NSE {found['nse']:.3f}, RMSE {found['rmse']:.3g} "
                        f"({found['count']:.0f} runs)",
                    )
                )
        for output, in_thirds in self.by_parameter.items():
            for name, thirds in in_thirds.items():
                values = ", ".join(f"{nse:.3f}" for nse in thirds)
                rows.append(("in thirds of", f"{name}: NSE of {output} {values}"))
        for output, responses in self.sensitivity.items():
            for name, found in responses.items():
                rows.append(
                    (
                        "response to",
                        f"{name}: {output} correlation {found['corr']:.3f}, "
                        f"ratio {found['ratio']:.2f}, size {found['size']:.3f}",
                    )
                )
        for number, found in enumerate(self.rounds, 1):
            rows.append(
                (
                    f"round {number}",
                    f"agreement at the learned parameters NSE {found['agreement']:.3f} (lower "
                    f"decile {found['lower']:.3f}), {found['added']:.0f} runs added",
                )
            )
        return rows
