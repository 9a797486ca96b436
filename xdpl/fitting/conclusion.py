"""What a training run leaves: a Fit, and the record of what happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from ..batches import Cells
from ..errors import NonFiniteLoss, counted, reported, warn
from ..layout.quality import LONGEST_GAP
from ..parameters.ensemble import Ensemble
from ..parameters.simulator import ProcessSimulator
from ..prediction.applicability import Domain
from ..prediction.fit_record import FitSettings, TrainingRecord
from ..prediction.result import Fit
from ..training.run import Plan
from .blueprint import Blueprint
from .members import Trained
from .problem import Problem, training_scores, versions

__all__ = ["concluded", "gathered", "left_by_interrupt"]


def gathered(
    problem: Problem,
    blueprint: Blueprint,
    simulator: ProcessSimulator,
    training: Cells,
    trained: Trained,
    settings: FitSettings,
) -> Fit:
    """Put into a Fit what was learned, and what it keeps of its training cells."""
    learner, network = trained.learner(), blueprint.network
    attribute = training.inputs()[:, : len(learner.encoder.classes)]  # climate, too
    return Fit(
        problem.model,
        network,
        problem.losses,
        problem.layout,
        learner,
        settings,
        simulator=simulator,
        label=training.label,
        count=training.count,
        cycle=training.cycle if network.reads_forcings else None,
        past=training.past,
        climate=problem.climate,
        domain=Domain.of(attribute, learner.encoder, settings.seed),
    )


def concluded(result: Fit, training: Cells, trained: Trained, seconds: float) -> Fit:
    """Fill in what happened; a loss that broke down is raised with the Fit reached before."""
    stopped = trained.stopped
    failed = isinstance(stopped, NonFiniteLoss)
    left_out = [*training.findings.messages(), *_gaps(trained.plan)]
    record = TrainingRecord.of(
        {
            "cells": len(training),
            "batches": trained.plan.batches,
            "left_out": left_out + _overflows(trained.without_gradient),
            "loss": trained.loss,
            **trained.validated,
            "seconds": seconds,
            "device": str(trained.plan.device),
            "versions": versions(),
            "messages": reported(),
            "stopped": None if stopped is None else str(stopped) if failed else trained.said,
        }
    )
    result = replace(result, record=record)
    if isinstance(stopped, NonFiniteLoss):
        stopped.fit = result
        raise stopped
    if isinstance(result.learner, Ensemble) and result.components > 1:
        cycle = training.cycle if result.learner.reads_forcings else None
        result.learner.match_components(training.inputs(), cycle)
    scores = training_scores(result, training)
    return replace(result, scores=scores, record=replace(record, messages=reported()))


def left_by_interrupt(result: Fit, checkpoint: str | Path | None) -> str:
    """What an interrupt leaves, and what keeps it."""
    done, epochs = len(result.record["loss"]), result.settings["epochs"]
    if checkpoint is None:
        then = (
            "They are lost when the program ends, unless it catches this error and saves its fit. "
            'With checkpoint="folder" the same call goes on where it was interrupted.'
        )
    else:
        then = f"The same call goes on from the checkpoint in {str(checkpoint)!r}."
    return (
        f"fit was interrupted after {done} of {epochs} epochs. The weights reached are in this "
        f"error's `fit`, and ds.dpl.fit remembers them. {then}"
    )


def _gaps(plan: Plan) -> list[str]:
    """Say, and warn, how many cells a gap kept out of batches of a store larger than memory."""
    number = int(plan.group.total(plan.cells.incomplete.float()).count_nonzero())
    if not number:
        return []
    cells = "1 cell was" if number == 1 else f"{number} cells were"
    said = (
        f"{cells} left out of batches whose window has a gap of more than {LONGEST_GAP:g} days in "
        f"a forcing there ({len(plan.cells)} cells in all)."
    )
    warn(said)
    return [said]


def _overflows(without_gradient: Counter[str]) -> list[str]:
    """Say, and warn, which cells were left out of steps because their gradient overflowed."""
    if not without_gradient:
        return []
    named = ", ".join(label for label, _ in without_gradient.most_common(3))
    said = (
        f"{counted(len(without_gradient), 'cell')} took no part in "
        f"{counted(without_gradient.total(), 'step')}, because "
        f"the gradient was not finite there (most often: {named})."
    )
    warn(said)
    return [said]
