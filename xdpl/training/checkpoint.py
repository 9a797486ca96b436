"""Checkpoints of a training run: written whole or not at all, and only resumed by the same run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from ..errors import FitFileError, printable, warn
from ..runtime.files import as_path, check_writable, write_safely
from ..runtime.json_types import Count, mismatch
from ..runtime.tensor_files import check_finite, check_same_shapes, read_tensors, under
from .signature import same_signature
from .state import TrainState

__all__ = ["Checkpoint", "check_folder", "fingerprint", "packed", "unpack"]

KEPT = 2

MOMENTS = ("step", "exp_avg", "exp_avg_sq", "momentum_buffer")
"""What common optimizers keep of each weight."""

RANDOM = ("random", "random.cuda")
"""Names of the states of the generators of the host and of a GPU."""


class _Header(TypedDict):
    identity: dict[str, str]
    loss: list[float]
    step: list[float]
    validation: list[float]
    done: Count
    without_gradient: dict[str, Count]


def fingerprint(
    label: NDArray[np.str_],
    observed: Mapping[str, Tensor],
    attribute: Tensor,
    weight: Mapping[str, Tensor],
    forcing: Mapping[str, Tensor],
    **choices: Any,
) -> dict[str, str]:
    """Say what a run is made of, so that another one can't take its checkpoint for its own.

    Parameters
    ----------
    label : ndarray of str (cell,)
        Training cells.
    observed : mapping of str to Tensor (cell,)
        Number of observations of each cell, per output.
    attribute : Tensor (cell, attribute)
        What the network reads.
    weight : mapping of str to Tensor (cell,)
        Of the cells in the loss, which follows from their observations. Only the mean counts, to
        four digits: chunks decide the order of sums, and so the last digits.
    forcing : mapping of str to Tensor (time, cell)
        Series of some cells. Their means count, likewise.
    **choices
        Whatever else decides the result; compared as text.
    """
    digest = hashlib.sha256("\n".join(label).encode())
    for name in sorted(observed):
        digest.update(observed[name].numpy().tobytes())
    return {name: str(value) for name, value in choices.items()} | {
        "cells": digest.hexdigest(),
        "attributes": hashlib.sha256(attribute.cpu().numpy().tobytes()).hexdigest(),
        "mean weight": _means(weight),
        "mean forcing": _means(forcing),
    }


def _means(tensors: Mapping[str, Tensor]) -> str:
    return str({name: f"{float(v.double().nanmean()):.4g}" for name, v in tensors.items()})


def check_folder(folder: str | Path) -> None:
    """Make a folder where there is none; raise FitFileError if it can't be written to."""
    check_writable(as_path(folder, "checkpoint"), "checkpoints")


class Checkpoint:
    """A folder with the last good states of one training run.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist.
    identity : dict of str to str
        From `fingerprint`; a checkpoint with another one is refused.
    incomplete : Tensor of bool (cell,), optional
        As of `Cells`: kept, so that what was left out before an interruption is told, too.
    """

    def __init__(
        self, folder: str | Path, identity: dict[str, str], incomplete: Tensor | None = None
    ) -> None:
        self.folder = as_path(folder, "checkpoint")
        self.identity, self.incomplete = identity, incomplete
        check_folder(folder)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.safetensors"))

    def write(self, state: TrainState) -> None:
        """Write the state after a step, and let go of all but the last two.

        Raises
        ------
        FitFileError
            It can't be written, such as on a full disk. What was written before is as it was.
        """
        history = state.history
        tensors = {f"learner.{k}": v for k, v in state.field.state_dict().items()}
        tensors |= packed(state.optimizer)
        tensors |= {f"best.{k}": v for k, v in history.best.items()}
        if self.incomplete is not None:
            tensors["incomplete"] = self.incomplete
        tensors |= dict(zip(RANDOM, state.random.states, strict=False))
        header = {
            "identity": self.identity,
            "loss": history.loss,
            "step": history.step,
            "validation": history.validation,
            "done": state.done,
            "without_gradient": state.without_gradient,
        }
        content = save(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            metadata={"xdpl": json.dumps(header)},
        )
        name = f"epoch-{len(history.loss):06d}-{len(history.step):08d}.safetensors"
        try:
            write_safely(self.folder / name, content)
        except OSError as problem:
            raise FitFileError(
                f"can't write the checkpoint {str(self.folder / name)!r}: "
                f"{problem.strerror or problem}. The one before it is whole: make room, and make "
                "the same call again."
            ) from problem
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)

    def resume(self, state: TrainState) -> int:
        """Go back to the newest readable state; return the number of epochs that it holds.

        Raises
        ------
        FitFileError
            The folder holds the checkpoint of another run; the message names the difference.
        """
        broken, history = [], state.history
        for path in reversed(self._files()):
            try:
                header, tensors = _read(path)
                self._same_run(path, header["identity"])
                self._check(header, state, tensors)  # before anything is changed
                self._restore(state, tensors)
                state.done = header["done"]
                state.without_gradient = Counter(header["without_gradient"])
                history.loss[:], history.step[:] = header["loss"], header["step"]
                history.validation[:] = header["validation"]
                history.best = {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}
            except FitFileError:
                raise
            except Exception as problem:  # cut off by a crash, or not ours: the one before is whole
                broken.append(f"{path.name} ({type(problem).__name__})")
                continue
            self._say(broken, path.name)
            return len(history.loss)
        self._say(broken, "the beginning")
        return 0

    def _say(self, broken: list[str], instead: str) -> None:
        if broken:
            warn(
                f"{', '.join(broken)} in {str(self.folder)!r} can't be read; the fit goes on from "
                f"{instead}."
            )

    def _same_run(self, path: Path, identity: Mapping[str, str]) -> None:
        for name in self.identity | dict(identity):
            here, there = self.identity.get(name), identity.get(name)
            if name == "values":
                self._same_values(path, here, there)
            elif here != there:
                raise FitFileError(
                    f"{str(path)!r} is the checkpoint of another fit: its {name} is "
                    f"{_short(there)}, not {_short(here)}. Use another folder, or the same call."
                )

    def _same_values(self, path: Path, here: str | None, there: str | None) -> None:
        """Compare all series; a checkpoint of an earlier version knows means alone."""
        if here is None or there is None or here == there:
            return
        names = same_signature(here, there)
        if names is None or names:
            raise FitFileError(
                f"{str(path)!r} is the checkpoint of a fit to other data: the values of "
                f"{', '.join(names or ['its series'])} differ, or come in another order. Use "
                "another folder, or the data as they were."
            )

    def _check(
        self, header: dict[str, object], state: TrainState, tensors: Mapping[str, Tensor]
    ) -> None:
        wrong = mismatch(header, _Header)
        if wrong:
            raise ValueError(wrong)
        _check_shapes(state, tensors)
        if self.incomplete is not None:
            found = tensors["incomplete"]
            if found.shape != self.incomplete.shape or found.dtype != torch.bool:
                raise ValueError("marks of other cells")

    def _restore(self, state: TrainState, tensors: Mapping[str, Tensor]) -> None:
        # first, since it checks them; a run that goes on on a GPU may have begun without one
        known = zip(RANDOM, state.random.states, strict=False)
        state.random.states = [tensors.get(name, own) for name, own in known]
        if self.incomplete is not None:
            self.incomplete |= tensors["incomplete"]
        state.field.load_state_dict(under("learner.", tensors))
        unpack(state.optimizer, tensors)


def packed(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser as tensors with names, for a file of safetensors."""
    states = optimizer.state_dict()["state"].items()
    return {
        f"optimizer.{number}.{k}": torch.as_tensor(v)
        for number, state in states
        for k, v in state.items()
        if v is not None
    }


def unpack(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that `packed` made, found among other tensors."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _check_shapes(state: TrainState, tensors: Mapping[str, Tensor]) -> None:
    weights, best = under("learner.", tensors), under("best.", tensors)
    check_same_shapes(state.field.state_dict(), weights)
    check_finite(weights)
    if best:
        check_same_shapes(state.field.state_dict(), best)
        check_finite(best)
    now = state.random.states[0]
    if tensors["random"].shape != now.shape or tensors["random"].dtype != now.dtype:
        raise ValueError("no random state")
    trained = [p for group in state.optimizer.param_groups for p in group["params"]]
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            own = trained[int(number)]
            wanted = torch.Size() if name == "step" else own.shape
            plain = name in MOMENTS  # other optimizers keep what they like, but nothing larger
            if value.shape != wanted if plain else value.numel() > max(1, own.numel()):
                raise ValueError("moments of other shapes")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a checkpoint that may be cut off, or a stranger's."""
    header, tensors = read_tensors(path, "xdpl")
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header, tensors


def _short(value: str | None) -> str:
    text = printable(str(value))
    return text if len(text) <= 120 else f"{text[:117]}..."
