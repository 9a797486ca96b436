"""How a Fit shows itself: text, HTML, and the provenance that its maps carry."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .result import Fit

__all__ = ["html", "provenance", "text"]

SHOWN = ("rmse", "ubrmse", "corr", "nse", "kge")


def provenance(fit: Fit) -> dict[str, Any]:
    """What the attributes of maps say of where they come from; flat, for netCDF and GeoTIFF."""
    first, last = fit.settings["period"]
    facts = {
        "model": fit.model.name,
        "observation": ", ".join(role.variable for role in fit.layout.observed.values()),
        "period": f"{first}/{last}",
        "seed": fit.settings["seed"],
        "ensemble": len(fit.members),
        "components": fit.components,
        "network": str(fit.network),
        "kind": fit.kind,
        "past": "/".join(fit.settings.get("past") or ()),
        "dynamic_parameters": ", ".join(fit.dynamic),
        "deviations": "of each training cell" if fit.settings["deviations"] else "none",
        "loss": ", ".join(str(loss) for loss in fit.losses.values()),
        "training_cells": fit.record.get("cells", 0),
        "versions": ", ".join(f"{k} {v}" for k, v in fit.record.get("versions", {}).items()),
    }
    if "validation_cells" in fit.settings:
        facts["validation_cells"] = fit.settings["validation_cells"]
    if _mixed(fit):
        facts["precision"] = "network trained in mixed precision"
    for output, scores in fit.scores.items():
        prefix = f"{output}_" if len(fit.scores) > 1 else ""
        for name, value in scores.items():
            if name in SHOWN:
                facts[f"training_median_{prefix}{name}"] = round(float(value), 4)
    return facts


def _mixed(fit: Fit) -> bool:
    return fit.settings.get("precision") == "mixed"


def _rows(fit: Fit) -> list[tuple[str, str]]:
    settings, record = fit.settings, fit.record
    count = len(fit.model.parameters)
    components = f", {fit.components} components" if fit.components > 1 else ""
    rows = [
        ("model", f"{fit.model.name} ({count} parameters{components})"),
        (
            "network",
            str(fit.network)
            + (", trained in mixed precision" if _mixed(fit) else "")
            + (", and a deviation of each cell" if settings["deviations"] else ""),
        ),
        (
            "trained",
            f"{_many(record.get('cells', 0), 'cell')}, {' to '.join(settings['period'])}, "
            f"spin-up of {settings['warmup_days']:g} days",
        ),
    ]
    if fit.kind == "gZ":
        first, last = settings["past"]
        rows.append(("past", f"observations of {first} to {last} are read, and carry no loss (gZ)"))
    if fit.dynamic:
        rows.append(("dynamic", f"{', '.join(fit.dynamic)}, by {fit.learner.dynamic}"))
    if len(fit.losses) > 1:
        rows.append(("loss", _weighted(fit)))
    rows += [("recognised", note) for note in fit.layout.notes]
    rows += [("noticed", found) for found in record.get("left_out", [])]
    losses = record.get("loss", [])
    members = f"{len(fit.members)} members, " if len(fit.members) > 1 else ""
    if losses:
        rows.append(
            (
                "training",
                f"{members}{len(losses)} of {_many(settings['epochs'], 'epoch')} of "
                f"{_many(record['batches'], 'batch')} of "
                f"up to {_many(settings['batch_size'], 'cell')}, "
                f"loss {losses[0]:.4g} to {losses[-1]:.4g}, "
                f"{record['seconds']:.0f} s on {record['device']}",
            )
        )
    if "best_epoch" in record:
        rows.append(("validated", _validated(settings, record)))
    if record.get("stopped"):
        rows.append(("stopped", record["stopped"]))
    for output, scores in fit.scores.items():
        units = fit.model.outputs[output].units
        shown = [
            f"{k} {scores[k]:.3f}" + (f" {units}" if k in ("rmse", "ubrmse") else "")
            for k in SHOWN
            if k in scores
        ]
        rows.append(("reached", f"{output}, medians over cells: " + ", ".join(shown)))
    return rows


def _weighted(fit: Fit) -> str:
    """The losses of several observations with their weights."""
    weights = fit.settings.get("weights", {})
    return " + ".join(
        f"{weights.get(name, 1.0):g} x {loss} of {fit.layout.observed[name].variable}"
        for name, loss in fit.losses.items()
    )


def _validated(settings: dict[str, Any], record: dict[str, Any]) -> str:
    """What early stopping did; of several members the range."""
    lowest = [min(losses) for losses in record["validation"] if losses]
    kept, done = (
        f"{min(n)}" if len(set(n)) == 1 else f"{min(n)} to {max(n)}"
        for n in (record["best_epoch"], [len(losses) for losses in record["validation"]])
    )
    cells, loss = _many(settings["validation_cells"], "cell"), sum(lowest) / len(lowest)
    return f"on {cells}, weights of epoch {kept} of {done} kept, loss {loss:.4g} there"


def _many(number: int, what: str) -> str:
    plural = "batches" if what == "batch" else f"{what}s"
    return f"{number} {what if number == 1 else plural}"


def _title(fit: Fit) -> str:
    observed = ", ".join(role.variable for role in fit.layout.observed.values())
    return f"parameters of {fit.model.name} learned from {observed}"


def text(fit: Fit) -> str:
    """Summary as plain text, a line each."""
    lines, last = [f"<xdpl.Fit> {_title(fit)}"], ""
    for key, value in _rows(fit):
        lines.append(f"  {'' if key == last else key:<11}{value}")
        last = key
    return "\n".join(lines)


def html(fit: Fit) -> str:
    """Summary as an HTML table, for notebooks."""
    cells = "".join(
        f"<tr><th style='text-align:left;vertical-align:top'>{escape(key)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for key, value in _rows(fit)
    )
    return f"<div><strong>xdpl.Fit</strong> {escape(_title(fit))}<table>{cells}</table></div>"
