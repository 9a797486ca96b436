"""Surrogates in files: safetensors with a JSON header; the black box is named, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor

from ..blackbox import BlackBox
from ..errors import FitFileError
from ..runtime.files import PathLike, as_target
from ..runtime.json_types import Count, Positive, build
from ..runtime.tensor_files import check_finite, check_same_shapes, read_tensors
from ..variables import Forcing, Output, Parameter
from .contents import FORMAT
from .model import Surrogate
from .network import EmulatorLSTM
from .report import Report

__all__ = ["load_surrogate", "rebuild", "written"]


def written(surrogate: Surrogate) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Header and tensors of a surrogate, for any file."""
    return surrogate.contents()


class _Header(TypedDict):
    format: Count
    box: str
    dt: Positive
    network: EmulatorLSTM
    report: Report
    forcings: dict[str, Forcing]
    parameters: dict[str, Parameter]
    outputs: dict[str, Output]


def rebuild(header: object, tensors: Mapping[str, Tensor], box: BlackBox | None) -> Surrogate:
    """The surrogate that `written` took apart, with its black box where that was given.

    Raises
    ------
    FitFileError
        It has a newer format, or ``box`` is not the black box that it names.
    ValueError
        A value of the header is of another type or out of bounds, or is not that of the weights.
    """
    found = header.get("format") if isinstance(header, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise FitFileError(
            f"the surrogate has format {found}; this xdpl reads up to {FORMAT}. Update xdpl."
        )
    read = build(_Header, header, "surrogate")
    declared: dict[str, Mapping[str, Forcing | Parameter | Output]] = {
        "forcings": read["forcings"],
        "parameters": read["parameters"],
        "outputs": read["outputs"],
    }
    if box is not None:
        _check_box(box, read["box"], declared)
    network, sizes = read["network"], [len(one) for one in declared.values()]
    largest = max((max(t.shape, default=0) for t in tensors.values()), default=0)
    if network.layers > len(tensors) or max(network.hidden, network.embedding) > largest:
        raise ValueError("it claims a larger network than it has weights for")
    if not all(sizes):
        raise ValueError("it has no forcings, parameters or outputs")
    with torch.device("meta"):  # sizes without memory: a header can claim any
        wanted = network.build(*sizes).state_dict()
    check_same_shapes(wanted, tensors)
    check_finite(tensors)
    emulator = network.build(*sizes)
    emulator.load_state_dict(dict(tensors))
    surrogate = Surrogate(emulator, network, declared, read["box"], read["dt"], read["report"], box)
    str(surrogate)  # a report that can't be shown is damaged, too
    return surrogate


def _check_box(box: BlackBox, name: str, declared: Mapping[str, Mapping[str, object]]) -> None:
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


def load_surrogate(path: PathLike, box: BlackBox | None = None) -> Surrogate:
    """Read a surrogate that `Surrogate.save` wrote. A file from a stranger can't run code.

    Parameters
    ----------
    path : str or Path
        The file.
    box : BlackBox, optional
        The true model, which the file names but does not hold. Without it the surrogate works,
        but the true model can't be run.

    Raises
    ------
    FitFileError
        The file is missing, damaged or of another kind, or ``box`` is not the one that it names.
    """
    target = as_target(path)
    try:
        with target.at_hand() as here:
            header, tensors = read_tensors(here, "xdpl-surrogate")
        return rebuild(header, tensors, box)
    except FitFileError:
        raise
    except Exception as problem:  # whatever a damaged header leads to
        raise FitFileError(
            f"{str(target.result)!r} can't be read as a surrogate ({type(problem).__name__}: "
            f"{str(problem)[:200]}). Give a file written by Surrogate.save."
        ) from problem
