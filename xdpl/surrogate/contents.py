"""What a file holds of a surrogate: safetensors with a JSON header; the black box is only named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ..errors import FitFileError
from ..runtime.files import PathLike, as_target, reason_of
from ..variables import Forcing, Output, Parameter
from .network import Emulator, EmulatorLSTM
from .report import Report

__all__ = ["FORMAT", "contents_of", "save_contents"]

FORMAT = 1

Declared = Mapping[str, Mapping[str, Forcing | Parameter | Output]]


def contents_of(
    emulator: Emulator,
    network: EmulatorLSTM,
    declared: Declared,
    box_name: str,
    dt: float,
    report: Report,
) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Header and tensors, from the attributes of a `Surrogate`."""
    header: dict[str, object] = {
        "format": FORMAT,
        "box": box_name,
        "dt": dt,
        "network": network.options,
        "report": report.to_json(),
    }
    for kind in ("forcings", "parameters", "outputs"):
        header[kind] = {name: dataclasses.asdict(one) for name, one in declared[kind].items()}
    tensors = {
        name: tensor.detach().cpu().float().contiguous()
        for name, tensor in emulator.state_dict().items()
    }
    return header, tensors


def save_contents(
    header: Mapping[str, object], tensors: Mapping[str, Tensor], path: PathLike
) -> Path | str:
    """Write a file, whole or not at all; return its path or URL.

    Raises
    ------
    FitFileError
        It can't be written.
    """
    target = as_target(path)
    try:
        target.write(save(dict(tensors), metadata={"xdpl-surrogate": json.dumps(header)}))
    except OSError as problem:
        raise FitFileError(
            f"can't write {str(target.result)!r}: {reason_of(problem)}. "
            "Choose a folder that exists and that you may write to."
        ) from problem
    return target.result
