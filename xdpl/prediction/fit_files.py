"""Fit files: safetensors with a JSON header; nothing in them is ever executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save as as_bytes
from torch import Tensor

from .. import losses as _losses
from .. import models as _models
from .. import networks as _networks
from ..blackbox import BlackBox
from ..errors import FitFileError, XdplError
from ..layout import Layout
from ..losses import Loss, WeightedSum
from ..networks import Network
from ..parameters.ensemble import Ensemble
from ..parameters.learner import Learner
from ..parameters.simulator import ProcessSimulator
from ..parameters.table import Table
from ..process import ProcessModel
from ..runtime.files import PathLike, as_target, reason_of
from ..runtime.json_types import Positive, build
from ..runtime.tensor_files import check_finite, check_same_shapes, read_tensors, under
from ..surrogate import Surrogate
from ..surrogate.files import rebuild, written
from . import summary
from .applicability import Domain
from .climate_table import ClimateTable
from .fit_state import FitState
from .schema import Header, Named, check_layout, check_sizes, check_tensors, read_header

__all__ = ["read_fit", "save"]

FORMAT = 1


class _Declared(Protocol):
    """A class whose instances have options: a model, network or loss."""

    @property
    def options(self) -> dict[str, object]:
        """Options that rebuild the instance."""


T = TypeVar("T", bound=_Declared)


def _named(thing: _Declared) -> dict[str, object]:
    return {"name": type(thing).__name__, "options": thing.options}


def _named_loss(loss: Loss) -> dict[str, object]:
    if not isinstance(loss, WeightedSum):
        return _named(loss)
    terms = [[factor, _named(one)] for factor, one in loss.terms]
    return {"name": type(loss).__name__, "options": {"terms": terms}}


def save(fit: FitState, path: PathLike) -> Path | str:
    """Write a fit to one file: beside its name, and renamed when complete."""
    target = as_target(path)
    if isinstance(fit.learner, Table):
        raise FitFileError(
            f"parameters by {fit.network} can't be written as a fit file. Write the maps: "
            "fit.parameters(ds).to_netcdf(...)."
        )
    header, tensors = _header(fit), _tensors(fit)
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


def _header(fit: FitState) -> dict[str, object]:
    return {
        "format": FORMAT,
        "model": _named(fit.model),
        "network": _named(fit.network),
        "dynamic": fit.learner.dynamic.options if fit.learner.dynamic else None,
        "losses": {name: _named_loss(loss) for name, loss in fit.losses.items()},
        "layout": fit.layout.to_json(),
        "components": fit.components,
        "members": len(fit.members),
        "settings": dict(fit.settings),
        "record": dict(fit.record),
        "scores": fit.scores,
        "domain": None if fit.domain is None else [fit.domain.unit, fit.domain.threshold],
        "label": None if fit.label is None else [str(label) for label in fit.label],
        "climate_label": _climate_label(fit),
    }


def _climate_label(fit: FitState) -> list[str] | None:
    """Labels of the cells whose climate is kept; None where they are the training cells."""
    if fit.climate is None or (
        fit.label is not None and np.array_equal(fit.climate.label, fit.label)
    ):
        return None
    return [str(label) for label in fit.climate.label]


def _tensors(fit: FitState) -> dict[str, Tensor]:
    tensors = {f"learner.{name}": one for name, one in fit.learner.state_dict().items()}
    tensors |= {f"count.{name}": count for name, count in (fit.count or {}).items()}
    kept = {
        "cycle": fit.cycle,
        "domain": None if fit.domain is None else fit.domain.reference,
        "past": fit.past,
        "climate": None if fit.climate is None else fit.climate.value,
    }
    tensors |= {name: one for name, one in kept.items() if one is not None}
    return {name: one.contiguous() for name, one in tensors.items()}


def _folder(path: Path) -> str:
    """Message about a folder where a file is wanted."""
    if any(path.glob("epoch-*.safetensors")) or any(path.glob("seed-*/epoch-*.safetensors")):
        return (
            f"{str(path)!r} is a folder of checkpoints, not a fit file. Make the call of xdpl.fit "
            f"with checkpoint={str(path)!r} again: it goes on from there, or ends at once where "
            'all was done. Then save what it returns: fit.save("fit.xdpl").'
        )
    return f"{str(path)!r} is a folder, not a fit file. Give a file written by Fit.save."


def read_fit(
    path: PathLike,
    *,
    model: ProcessModel | type[ProcessModel] | BlackBox | None = None,
    network: Network | type[Network] | None = None,
    losses: Sequence[Loss | type[Loss]] = (),
) -> FitState:
    """Read a fit from a file; parameters and errors as of `xdpl.load`."""
    target = as_target(path)
    path = target.result
    if target.local is not None and target.local.is_dir():
        raise FitFileError(_folder(target.local))
    try:
        with target.at_hand() as here:
            header, tensors = read_tensors(here, "xdpl")
    except FileNotFoundError as problem:
        raise FitFileError(f"there is no fit file {str(path)!r}. Check the path.") from problem
    except (SafetensorError, OSError, ValueError, RecursionError) as problem:
        raise FitFileError(
            f"{str(path)!r} can't be read as a fit file ({problem}). It is truncated, corrupt or "
            "of another kind. Give a file written by Fit.save."
        ) from problem
    if header is None:
        raise FitFileError(
            f"{str(path)!r} is a safetensors file without a fit. Give a file written by Fit.save."
        )
    try:
        _check_format(path, header)
        read = read_header(header)
        check_sizes(read, tensors)
        fit = _rebuild(read, tensors, model, network, losses)
        summary.text(fit)  # a fit without a summary is damaged, too
        return fit
    except XdplError:
        raise
    except Exception as problem:  # whatever a damaged header leads to
        raise FitFileError(
            f"{str(path)!r} is damaged: {type(problem).__name__}: {str(problem)[:200]}. "
            "Give a file written by Fit.save."
        ) from problem


def _check_format(path: Path | str, header: object) -> None:
    found = header.get("format") if isinstance(header, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise FitFileError(
            f"{str(path)!r} has format {found}; this xdpl reads up to {FORMAT}. Update xdpl."
        )


def _rebuild(
    header: Header,
    tensors: dict[str, Tensor],
    model: ProcessModel | type[ProcessModel] | BlackBox | None,
    network: Network | type[Network] | None,
    losses: Sequence[Loss | type[Loss]],
) -> FitState:
    the_model = _model(header, tensors, model)
    the_network = _find("network", header["network"], _networks.BUNDLED, network)
    layout = Layout.from_json(header["layout"])
    check_layout(layout)
    domain, label, settings = header["domain"], header["label"], header["settings"]
    climates = header.get("climate_label") or label
    check_tensors(len(label or ()) or None, layout, tensors, len(climates or ()))
    if domain is not None and "domain" not in tensors:
        raise ValueError("it lacks the attributes of its training cells")
    if "climate_label" not in header:  # of a version whose sets were always asked for
        settings = replace(settings, components=header["components"])
    learner = _learner(header, tensors, the_model, the_network, layout)
    return FitState(
        model=the_model,
        network=the_network,
        losses={name: _loss(named, losses) for name, named in header["losses"].items()},
        layout=layout,
        learner=learner,
        settings=settings,
        record=header["record"],
        scores=header["scores"],
        label=None if label is None else np.array(label),
        cycle=tensors.get("cycle"),
        count=under("count.", tensors) or None,
        domain=None if domain is None else Domain(tensors["domain"], *domain),
        past=tensors.get("past"),
        climate=_climate(header, tensors),
        simulator=ProcessSimulator(the_model),
    )


def _climate(header: Header, tensors: Mapping[str, Tensor]) -> ClimateTable | None:
    if "climate" not in tensors:
        return None
    label = header.get("climate_label") or header["label"] or []
    return ClimateTable(np.array(label, dtype=str), tensors["climate"])


def _learner(
    header: Header,
    tensors: Mapping[str, Tensor],
    model: ProcessModel,
    network: Network,
    layout: Layout,
) -> Learner | Ensemble:
    """Build the learner with its weights, once the file is known to hold as many."""
    moving, label = header.get("dynamic"), header["label"] or ()
    dynamic = _networks.Dynamic(**moving) if moving else None  # type: ignore[arg-type]
    cells = len(label) if header["settings"].deviations else 0
    past, climate = (
        tensors[name].shape[1] if name in tensors else 0 for name in ("past", "climate")
    )
    classes = [len(role.classes or ()) for role in layout.attributes]

    def member() -> Learner:
        return Learner(
            network, model, classes, header["components"],
            cells=cells, dynamic=dynamic, past=past, climate=climate,
        )  # fmt: skip

    state, count = under("learner.", tensors), header["members"]
    check_finite(state)
    with torch.device("meta"):  # sizes without memory: a header can claim any
        wanted = member().state_dict()
    _check_members(wanted, state, header)
    learner = member() if count == 1 else Ensemble([member() for _ in range(count)])
    learner.load_state_dict(state)
    return learner.eval()


def _check_members(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], header: Header
) -> None:
    """Raise ValueError unless the weights are those of the members that a header claims."""
    count, components = header["members"], header["components"]
    if count == 1:
        return check_same_shapes(wanted, state)
    if len(state) != count * len(wanted) + 1:
        raise ValueError(f"it claims {count} members, and has weights of fewer or of more")
    expected = {f"members.{i}.{name}": one for i in range(count) for name, one in wanted.items()}
    order = state.get("order", torch.empty(0))
    expected["order"] = torch.empty((count, components), dtype=torch.long, device="meta")
    check_same_shapes(expected, state)
    if not torch.equal(order.sort(1).values, torch.arange(components).repeat(count, 1)):
        raise ValueError("its members number their components in an impossible order")
    return None


def _model(
    header: Header,
    tensors: Mapping[str, Tensor],
    given: ProcessModel | type[ProcessModel] | BlackBox | None,
) -> ProcessModel:
    """The process model; a surrogate is in the file itself, and ``given`` is its true model."""
    if "surrogate" not in header:
        given = cast("ProcessModel | type[ProcessModel] | None", given)
        return _find("model", header["model"], _models.BUNDLED, given)
    box = given.box if isinstance(given, Surrogate) else given
    return rebuild(header["surrogate"], under("surrogate.", tensors), cast("BlackBox | None", box))


def _loss(named: Named, given: Sequence[Loss | type[Loss]]) -> Loss:
    if named["name"] == WeightedSum.__name__:
        terms = build(list[tuple[Positive, Named]], named["options"].get("terms"), "terms")
        if not terms or any(one["name"] == WeightedSum.__name__ for _, one in terms):
            raise ValueError("its sum of losses has no terms, or sums as terms")
        return WeightedSum(tuple((factor, _loss(one, given)) for factor, one in terms))
    for one in given:
        if (one if isinstance(one, type) else type(one)).__name__ == named["name"]:
            return _find("loss", named, (), one)
    return _find("loss", named, _losses.BUNDLED, None)


def _find(kind: str, named: Named, bundled: Sequence[type[T]], given: T | type[T] | None) -> T:
    """Rebuild what the file names: from xdpl's own classes or from what the caller gave."""
    name, options = named["name"], named["options"]
    if given is not None:
        cls = given if isinstance(given, type) else type(given)
        if cls.__name__ != name:
            raise FitFileError(
                f"the fit was made with the {kind} {name}, not {cls.__name__}. Give {kind}={name}."
            )
        if isinstance(given, type):
            return cast("Callable[..., T]", given)(**options)
        _check_options(kind, name, given, options)
        return given
    for cls in bundled:
        if cls.__name__ == name:
            return cast("Callable[..., T]", cls)(**options)
    keyword = "losses=[{}]" if kind == "loss" else kind + "={}"
    raise FitFileError(
        f"the fit was made with the {kind} {name}, which is not one of xdpl's own. "
        f"Import it and call xdpl.load(path, {keyword.format(name)})."
    )


def _check_options(kind: str, name: str, given: _Declared, options: Mapping[str, object]) -> None:
    """Raise FitFileError unless an instance has the options of the fit; it is never replaced."""
    usual: dict[str, object] = (
        {f.name: f.default for f in fields(given)} if is_dataclass(given) else {}
    )
    for key in {**given.options, **options}:
        own = given.options.get(key, MISSING)
        wanted = options.get(key, usual.get(key, MISSING))
        if _text(own) != _text(wanted):
            keyword = f"losses=[{name}]" if kind == "loss" else f"{kind}={name}"
            raise FitFileError(
                f"the fit was made with the {kind} {name} with {key}={_text(wanted)[:80]}, and the "
                f"one given has {_text(own)[:80]}. Give the {kind} as it was, or, if you trust the "
                f"file, the class: {keyword}."
            )


def _text(option: object) -> str:
    """An option as JSON has it."""
    return "nothing" if option is MISSING else json.dumps(option, default=repr, sort_keys=True)
