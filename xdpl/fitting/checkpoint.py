"""Checkpoints of a training run: written whole or not at all, and only resumed by the same run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import FitFileError
from ..train import History, Trainer

__all__ = ["Checkpoint", "check_folder", "fingerprint"]

KEPT = 2


def fingerprint(
    label: NDArray[np.str_], observed: Mapping[str, Tensor], **choices: Any
) -> dict[str, str]:
    """Say what a run is made of, so that another one can't take its checkpoint for its own.

    Parameters
    ----------
    label : ndarray of str (cell,)
        Training cells.
    observed : mapping of str to Tensor (cell,)
        Number of observations of each cell, per output.
    **choices
        Whatever else decides the result; compared as text.
    """
    digest = hashlib.sha256("\n".join(label).encode())
    for name in sorted(observed):
        digest.update(observed[name].numpy().tobytes())
    return {name: str(value) for name, value in choices.items()} | {"cells": digest.hexdigest()}


def check_folder(folder: str | Path) -> None:
    """Make a folder where there is none; raise FitFileError if it can't be written to."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        probe = Path(folder) / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise FitFileError(
            f"can't write checkpoints to {str(folder)!r}: {problem.strerror or problem}. "
            "Choose a folder that you may write to."
        ) from problem


class Checkpoint:
    """A folder with the last good states of one training run.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist.
    identity : dict of str to str
        From `fingerprint`; a checkpoint with another one is refused.
    """

    def __init__(self, folder: str | Path, identity: dict[str, str]) -> None:
        self.folder, self.identity = Path(folder), identity
        check_folder(folder)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.safetensors"))

    def write(self, trainer: Trainer, history: History) -> None:
        """Write the state after an epoch, and let go of all but the last two."""
        tensors = {f"learner.{k}": v for k, v in trainer.learner.state_dict().items()}
        for number, state in trainer.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items()}
        tensors["random"] = torch.get_rng_state()
        header = {"identity": self.identity, "loss": history.loss, "done": trainer.done}
        content = save(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            metadata={"xdpl": json.dumps(header)},
        )
        target = self.folder / f"epoch-{len(history.loss):06d}.safetensors"
        draft = target.with_suffix(f".{os.getpid()}.part")
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)

    def resume(self, trainer: Trainer, history: History) -> int:
        """Go back to the newest readable state; return the number of epochs that it holds.

        Raises
        ------
        FitFileError
            The folder holds the checkpoint of another run; the message names the difference.
        """
        for path in reversed(self._files()):
            try:
                with safe_open(str(path), framework="pt", device="cpu") as file:
                    header = json.loads((file.metadata() or {})["xdpl"])
                    tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            except (SafetensorError, OSError, ValueError, KeyError):
                continue  # cut off by a crash of the machine: the one before it is whole
            self._same_run(path, header["identity"])
            self._restore(trainer, tensors)
            trainer.done = header["done"]
            history.loss[:] = header["loss"]
            return len(history.loss)
        return 0

    def _same_run(self, path: Path, identity: Mapping[str, str]) -> None:
        for name in self.identity.keys() | identity.keys():
            here, there = self.identity.get(name), identity.get(name)
            if here != there:
                raise FitFileError(
                    f"{str(path)!r} is the checkpoint of another fit: its {name} is "
                    f"{_short(there)}, not {_short(here)}. Use another folder, or the same call."
                )

    @staticmethod
    def _restore(trainer: Trainer, tensors: Mapping[str, Tensor]) -> None:
        learner = {k[8:]: v for k, v in tensors.items() if k.startswith("learner.")}
        trainer.learner.load_state_dict(learner)
        whole = trainer.optimizer.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, number, name = key.split(".", 2)
                state.setdefault(int(number), {})[name] = value
        trainer.optimizer.load_state_dict({**whole, "state": state})
        torch.set_rng_state(tensors["random"])


def _short(value: str | None) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
