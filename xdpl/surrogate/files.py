"""Surrogates in files: safetensors with a JSON header; the black box is named, never stored."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ..blackbox import BlackBox
from ..errors import FitFileError
from ..runtime.files import PathLike, as_target, reason_of
from ..variables import Forcing, Output, Parameter
from .model import Surrogate
from .network import EmulatorLSTM
from .report import Report

__all__ = ["load_surrogate", "rebuild", "save_surrogate", "written"]

FORMAT = 1
KINDS = {"forcings": Forcing, "parameters": Parameter, "outputs": Output}


def written(surrogate: Surrogate) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a surrogate, for any file."""
    header = {
        "format": FORMAT,
        "box": surrogate.box_name,
        "dt": surrogate.dt,
        "network": surrogate.network.options,
        "report": surrogate.report.to_json(),
        **{
            kind: {k: dataclasses.asdict(v) for k, v in surrogate.declared[kind].items()}
            for kind in KINDS
        },
    }
    tensors = {
        name: tensor.detach().cpu().float().contiguous()
        for name, tensor in surrogate.emulator.state_dict().items()
    }
    return header, tensors


def rebuild(
    header: Mapping[str, Any], tensors: Mapping[str, Tensor], box: BlackBox | None
) -> Surrogate:
    """The surrogate that `written` took apart, with its black box where that was given."""
    _check_header(header, tensors)
    declared = {
        kind: {name: cls(**_tuples(given)) for name, given in header[kind].items()}
        for kind, cls in KINDS.items()
    }
    if box is not None:
        _check_box(box, header["box"], declared)
    network = EmulatorLSTM(**header["network"])
    sizes = [len(declared[kind]) for kind in KINDS]
    with torch.device("meta"):  # sizes without memory: a header can claim any
        wanted = network.build(*sizes).state_dict()
    if {k: v.shape for k, v in wanted.items()} != {k: v.shape for k, v in tensors.items()}:
        raise ValueError("its weights are of other shapes than it says")
    emulator = network.build(*sizes)
    emulator.load_state_dict(dict(tensors))
    report = Report(**header["report"])
    return Surrogate(emulator, network, declared, header["box"], header["dt"], report, box)


def _check_header(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise where the header is of a newer format or of other types than `written` gives."""
    if header["format"] > FORMAT:
        raise FitFileError(
            f"the surrogate has format {header['format']}; this xdpl reads up to {FORMAT}. "
            "Update xdpl."
        )
    for name in (*KINDS, "network", "report"):
        if not isinstance(header[name], dict):
            raise ValueError(f"{name} is a {type(header[name]).__name__}")
    if header["network"]["layers"] > len(tensors):
        raise ValueError("it claims more layers than it has weights")


def _tuples(given: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


def _check_box(box: BlackBox, name: str, declared: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise FitFileError unless it is the black box of which the surrogate was trained."""
    if not isinstance(box, BlackBox):
        raise FitFileError(
            f"the file was made with the black box {name}; {box!r} is none. Give that black box."
        )
    if box.name != name:
        raise FitFileError(
            f"the file was made with the black box {name}, not {box.name}. Give {name}."
        )
    for kind, wanted in declared.items():
        if getattr(box, kind) != dict(wanted):
            raise FitFileError(
                f"{kind} of {name} are declared otherwise than when its surrogate was trained. "
                "Give the black box as it was, or train a new surrogate with xdpl.emulate."
            )


def save_surrogate(surrogate: Surrogate, path: PathLike) -> Path | str:
    """See `Surrogate.save`."""
    header, tensors = written(surrogate)
    target = as_target(path)
    try:
        content = save(tensors, metadata={"xdpl-surrogate": json.dumps(header)})
        target.write(content)
    except OSError as problem:
        raise FitFileError(
            f"can't write {str(target.result)!r}: {reason_of(problem)}. "
            "Choose a folder that exists and that you may write to."
        ) from problem
    return target.result


def load_surrogate(path: PathLike, box: BlackBox | None = None) -> Surrogate:
    """Read a surrogate that `Surrogate.save` wrote. A file from a stranger can't run code.

    Parameters
    ----------
    path : str or Path
        The file.
    box : BlackBox, optional
        The true model, which the file names but does not hold. Without it the surrogate works,
        but the truth can't be asked.

    Raises
    ------
    FitFileError
        The file is missing, damaged or of another kind, or ``box`` is not the one that it names.
    """
    target = as_target(path)
    try:
        with target.at_hand() as here, safe_open(str(here), framework="pt", device="cpu") as file:
            header = json.loads((file.metadata() or {})["xdpl-surrogate"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return rebuild(header, tensors, box)
    except FitFileError:
        raise
    except Exception as problem:  # whatever a damaged header leads to
        raise FitFileError(
            f"{str(target.result)!r} can't be read as a surrogate ({type(problem).__name__}: "
            f"{str(problem)[:200]}). Give a file written by Surrogate.save."
        ) from problem
