"""Fit files: safetensors with a JSON header; nothing in them is ever executed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes

from .. import losses as _losses
from .. import models as _models
from .. import networks as _networks
from ..blackbox import BlackBox
from ..errors import FitFileError, XdplError
from ..layout import Layout
from ..losses import Loss
from ..networks import Network
from ..parameters.ensemble import Ensemble
from ..parameters.learner import Learner
from ..parameters.simulator import ProcessSimulator
from ..process import ProcessModel
from ..runtime.files import PathLike, as_target, reason_of
from ..surrogate import Surrogate
from ..surrogate.files import rebuild, written
from .applicability import Domain
from .schema import check_header, check_layout, check_tensors

if TYPE_CHECKING:
    from .result import Fit

__all__ = ["load", "save"]

FORMAT = 1


def _named(thing: Any) -> dict[str, Any]:
    return {"name": type(thing).__name__, "options": thing.options}


def save(fit: Fit, path: PathLike) -> Path | str:
    """See `Fit.save`. The file is written beside its place and moved there when complete."""
    target = as_target(path)
    header = {
        "format": FORMAT,
        "model": _named(fit.model),
        "network": _named(fit.network),
        "dynamic": fit.learner.dynamic.options if fit.learner.dynamic else None,
        "losses": {name: _named(loss) for name, loss in fit.losses.items()},
        "layout": fit.layout.to_json(),
        "components": fit.components,
        "members": len(fit.members),
        "settings": fit.settings,
        "record": fit.record,
        "scores": fit.scores,
        "domain": None if fit.domain is None else [fit.domain.unit, fit.domain.threshold],
        "label": None if fit.label is None else [str(label) for label in fit.label],
    }
    tensors = {f"learner.{k}": v.contiguous() for k, v in fit.learner.state_dict().items()}
    if fit.cycle is not None:
        tensors["cycle"] = fit.cycle.contiguous()
    if fit.domain is not None:
        tensors["domain"] = fit.domain.reference.contiguous()
    for name, count in (fit.count or {}).items():
        tensors[f"count.{name}"] = count.contiguous()
    if fit.past is not None:
        tensors["past"] = fit.past.contiguous()
    if isinstance(fit.model, Surrogate):
        header["surrogate"], weights = written(fit.model)
        tensors |= {f"surrogate.{name}": tensor for name, tensor in weights.items()}
    try:
        text = json.dumps(header)
    except TypeError as problem:
        raise FitFileError(
            f"an option of the model, network or loss can't be written as JSON: {problem}. "
            "Use numbers, strings, lists and dicts as options."
        ) from problem
    try:
        target.write(as_bytes(tensors, metadata={"xdpl": text}))
    except OSError as problem:
        raise FitFileError(
            f"can't write {str(target.result)!r}: {reason_of(problem)}. "
            "Choose a folder that exists and that you may write to."
        ) from problem
    return target.result


def _folder(path: Path) -> str:
    """Message about a folder in place of a file."""
    if any(path.glob("epoch-*.safetensors")) or any(path.glob("seed-*/epoch-*.safetensors")):
        return (
            f"{str(path)!r} is a folder of checkpoints, not a fit file. Make the call of xdpl.fit "
            f"with checkpoint={str(path)!r} again: it goes on from there, or ends at once where "
            'all was done. Then save what it returns: fit.save("fit.xdpl").'
        )
    return f"{str(path)!r} is a folder, not a fit file. Give a file written by Fit.save."


def load(
    path: PathLike,
    *,
    model: ProcessModel | type[ProcessModel] | BlackBox | None = None,
    network: Network | type[Network] | None = None,
    losses: Sequence[type[Loss]] = (),
) -> Fit:
    """Read a fit from a file that `Fit.save` wrote. A file from a stranger can't run code.

    Parameters
    ----------
    path : str or Path
        The file, or a URL of fsspec such as ``"s3://bucket/fit.xdpl"``.
    model : ProcessModel, optional
        The process model or its class, where it is not one of xdpl's own: a file names it,
        but never says what to import. For a fit through a surrogate, the black box: the file
        holds the surrogate, and names the true model.
    network : Network, optional
        The same for a network of your own.
    losses : sequence of Loss classes, optional
        The same for losses of your own.

    Returns
    -------
    Fit

    Raises
    ------
    FitFileError
        The file is missing, truncated, corrupt, of another kind or of a newer version.
    """
    target = as_target(path)
    path = target.result
    if target.local is not None and target.local.is_dir():
        raise FitFileError(_folder(target.local))
    try:
        with target.at_hand() as here, safe_open(str(here), framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get("xdpl")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as problem:
        raise FitFileError(f"there is no fit file {str(path)!r}. Check the path.") from problem
    except (SafetensorError, OSError, ValueError) as problem:
        raise FitFileError(
            f"{str(path)!r} can't be read as a fit file ({problem}). It is truncated, corrupt or "
            "of another kind. Give a file written by Fit.save."
        ) from problem
    if text is None:
        raise FitFileError(
            f"{str(path)!r} is a safetensors file without a fit. Give a file written by Fit.save."
        )
    try:
        header = json.loads(text)
        if header["format"] > FORMAT:
            raise FitFileError(
                f"{str(path)!r} has format {header['format']}; this xdpl reads up to {FORMAT}. "
                "Update xdpl."
            )
        check_header(header, tensors)
        fit = _rebuild(header, tensors, model, network, losses)
        repr(fit)  # what a summary can't be made of is no fit
        return fit
    except XdplError:
        raise
    except Exception as problem:  # whatever a damaged header leads to
        raise FitFileError(
            f"{str(path)!r} is damaged: {type(problem).__name__}: {str(problem)[:200]}. "
            "Give a file written by Fit.save."
        ) from problem


def _rebuild(
    header: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    model: ProcessModel | type[ProcessModel] | BlackBox | None,
    network: Network | type[Network] | None,
    losses: Sequence[type[Loss]],
) -> Fit:
    from .result import Fit

    the_model = _model(header, tensors, model)
    the_network = _find("network", header["network"], _networks.BUNDLED, network)
    layout = Layout.from_json(header["layout"])
    check_layout(layout)
    check_tensors(header, layout, tensors)
    known: tuple[type[Loss], ...] = (*_losses.BUNDLED, *losses)
    the_losses = {k: _find("loss", v, known, None) for k, v in header["losses"].items()}
    moving = header.get("dynamic")

    def learner_of() -> Learner | Ensemble:
        members = [
            Learner(
                the_network,
                the_model,
                [len(role.classes or ()) for role in layout.attributes],
                header["components"],
                cells=len(header["label"]) if header["settings"]["deviations"] else 0,
                dynamic=_networks.Dynamic(**moving) if moving else None,
                past=tensors["past"].shape[1] if "past" in tensors else 0,
            )
            for _ in range(header["members"])
        ]
        return members[0] if len(members) == 1 else Ensemble(members)

    state = _under("learner.", tensors)
    with torch.device("meta"):  # sizes without memory: a header can claim any
        _check_shapes(learner_of(), state)
    learner = learner_of()
    learner.load_state_dict(state)
    learner.eval()
    domain = header["domain"]
    label = header["label"]
    return Fit(
        model=the_model,
        network=the_network,
        losses=the_losses,
        layout=layout,
        learner=learner,
        settings=header["settings"],
        record=header["record"],
        scores=header["scores"],
        label=None if label is None else np.array(label),
        cycle=tensors.get("cycle"),
        count=_under("count.", tensors) or None,
        domain=None if domain is None else Domain(tensors["domain"], *domain),
        past=tensors.get("past"),
        simulator=ProcessSimulator(the_model),
    )


def _check_shapes(learner: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    wanted = {name: tuple(value.shape) for name, value in learner.state_dict().items()}
    if wanted != {name: tuple(value.shape) for name, value in state.items()}:
        raise ValueError("its weights are of other shapes than it says")


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _model(header: dict[str, Any], tensors: dict[str, torch.Tensor], given: Any) -> ProcessModel:
    """The process model; a surrogate is in the file itself, and ``given`` is its black box."""
    if "surrogate" not in header:
        return _find("model", header["model"], _models.BUNDLED, given)
    box = given.box if isinstance(given, Surrogate) else given
    return rebuild(header["surrogate"], _under("surrogate.", tensors), box)


def _find(kind: str, named: dict[str, Any], bundled: Sequence[type], given: Any) -> Any:
    """Rebuild what the file names: from xdpl's own classes or from what the caller gave."""
    name, options = named["name"], named["options"]
    if given is not None:
        cls = given if isinstance(given, type) else type(given)
        if cls.__name__ != name:
            raise FitFileError(
                f"the fit was made with the {kind} {name}, not {cls.__name__}. Give {kind}={name}."
            )
        return cls(**options)
    for cls in bundled:
        if cls.__name__ == name:
            return cls(**options)
    keyword = "losses=[{}]" if kind == "loss" else kind + "={}"
    raise FitFileError(
        f"the fit was made with the {kind} {name}, which is not one of xdpl's own. "
        f"Import it and call xdpl.load(path, {keyword.format(name)})."
    )
