"""The summary of a fit as text and HTML, and the provenance that its maps carry."""

from __future__ import annotations

from ..errors import printable
from ..runtime.summary_rows import rows_as_html, rows_as_text
from .fit_state import FitState

__all__ = ["html", "provenance", "text"]

SHOWN = ("rmse", "ubrmse", "corr", "nse", "kge")


def provenance(fit: FitState) -> dict[str, str | int | float]:
    """Attributes of maps that name their origin; flat, for netCDF and GeoTIFF."""
    settings, record = fit.settings, fit.record
    facts: dict[str, str | int | float] = {
        "model": fit.model.name,
        "observation": ", ".join(role.variable for role in fit.layout.observed.values()),
        "period": "/".join(settings.period),
        "seed": settings.seed,
        "ensemble": len(fit.members),
        "components": fit.components,
        "network": str(fit.network),
        "kind": fit.kind,
        "past": "/".join(settings.past or ()),
        "dynamic_parameters": ", ".join(fit.dynamic),
        "climate": "of the training period" if fit.settings.climate else "none",
        "deviations": "of each training cell" if settings.deviations else "none",
        "loss": ", ".join(str(loss) for loss in fit.losses.values()),
        "training_cells": record.cells,
        "versions": ", ".join(f"{k} {v}" for k, v in record.versions.items()),
    }
    if settings.validation_cells is not None:
        facts["validation_cells"] = settings.validation_cells
    if settings.precision == "mixed":
        facts["precision"] = "network trained in mixed precision"
    for output, scores in fit.scores.items():
        prefix = f"{output}_" if len(fit.scores) > 1 else ""
        for name, value in scores.items():
            if name in SHOWN:
                facts[f"training_median_{prefix}{name}"] = round(float(value), 4)
    return {k: printable(fact) if isinstance(fact, str) else fact for k, fact in facts.items()}


def _rows(fit: FitState) -> list[tuple[str, str]]:
    """Lines of the summary: what, and the figures."""
    count = len(fit.model.parameters)
    components = f", {fit.components} components" if fit.components > 1 else ""
    rows = [
        ("model", f"{fit.model.name} ({count} parameters{components})"),
        ("network", _network(fit)),
        ("trained", _trained(fit)),
    ]
    if fit.climate is not None:
        forcings = ", ".join(name.replace("_", " ") for name in fit.model.forcings)
        text = f"mean and standard deviation of {forcings} in the training period are read as well"
        rows.append(("climate", text))
    if fit.settings.past is not None:
        first, last = fit.settings.past
        rows.append(("past", f"observations of {first} to {last} are read, and carry no loss (gZ)"))
    if fit.dynamic:
        rows.append(("dynamic", f"{', '.join(fit.dynamic)}, by {fit.learner.dynamic}"))
    if len(fit.losses) > 1:
        rows.append(("loss", _weighted(fit)))
    rows += [("recognised", note) for note in fit.layout.notes]
    rows += [("noticed", found) for found in fit.record.left_out]
    if fit.record.loss:
        rows.append(("training", _training(fit)))
    if fit.record.best_epoch is not None:
        rows.append(("validated", _validated(fit)))
    if fit.record.stopped:
        rows.append(("stopped", fit.record.stopped))
    return rows + [("reached", _reached(fit, output)) for output in fit.scores]


def _network(fit: FitState) -> str:
    mixed = ", trained in mixed precision" if fit.settings.precision == "mixed" else ""
    own = ", and a deviation of each cell" if fit.settings.deviations else ""
    return f"{fit.network}{mixed}{own}"


def _trained(fit: FitState) -> str:
    return (
        f"{_many(fit.record.cells, 'cell')}, {' to '.join(fit.settings.period)}, "
        f"spin-up of {fit.settings.warmup_days:g} days"
    )


def _training(fit: FitState) -> str:
    settings, record = fit.settings, fit.record
    members = f"{len(fit.members)} members, " if len(fit.members) > 1 else ""
    return (
        f"{members}{len(record.loss)} of {_many(settings.epochs, 'epoch')} of "
        f"{_many(record.batches, 'batch')} of up to {_many(settings.batch_size, 'cell')}, "
        f"loss {record.loss[0]:.4g} to {record.loss[-1]:.4g}, "
        f"{record.seconds:.0f} s on {record.device}"
    )


def _reached(fit: FitState, output: str) -> str:
    scores, units = fit.scores[output], fit.model.outputs[output].units
    shown = [
        f"{k} {scores[k]:.3f}" + (f" {units}" if k in ("rmse", "ubrmse") else "")
        for k in SHOWN
        if k in scores
    ]
    return f"{output}, medians over cells: " + ", ".join(shown)


def _weighted(fit: FitState) -> str:
    """The losses of several observations with their weights."""
    weights = fit.settings.weights
    return " + ".join(
        f"{weights.get(name, 1.0):g} x {loss} of {fit.layout.observed[name].variable}"
        for name, loss in fit.losses.items()
    )


def _validated(fit: FitState) -> str:
    """Effect of early stopping; of several members the range."""
    record = fit.record
    validation = record.validation or ()
    lowest = [min(losses) for losses in validation if losses]
    kept, done = (
        f"{min(n)}" if len(set(n)) == 1 else f"{min(n)} to {max(n)}"
        for n in (record.best_epoch or (0,), [len(losses) for losses in validation])
    )
    cells = _many(fit.settings.validation_cells or 0, "cell")
    loss = sum(lowest) / len(lowest)
    return f"on {cells}, weights of epoch {kept} of {done} kept, loss {loss:.4g} there"


def _many(number: int, what: str) -> str:
    plural = "batches" if what == "batch" else f"{what}s"
    return f"{number} {what if number == 1 else plural}"


def _title(fit: FitState) -> str:
    observed = ", ".join(role.variable for role in fit.layout.observed.values())
    return f"parameters of {fit.model.name} learned from {observed}"


def text(fit: FitState) -> str:
    """Summary as plain text, a line each."""
    return rows_as_text(f"<xdpl.Fit> {_title(fit)}", _rows(fit))


def html(fit: FitState) -> str:
    """Summary as an HTML table, for notebooks."""
    return rows_as_html("xdpl.Fit", _title(fit), _rows(fit))
