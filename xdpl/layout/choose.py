"""Which model output an observed variable is held against, and so which model is the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import xarray as xr

from ..errors import LayoutError
from ..units import convertible
from ..variables import Declared, Output
from .axes import close
from .quantities import QUANTITIES, quantity_of

__all__ = ["choose_output"]

Model = TypeVar("Model", bound=Declared | type[Declared])
"""A model or its class."""


def choose_output(
    ds: xr.Dataset, obs: str | Mapping[str, str | None], models: Iterable[Model]
) -> dict[str, tuple[Model, str]]:
    """Choose the model and the output that an observed variable is held against.

    A model whose first output is what was observed comes before one that has it among others.

    Parameters
    ----------
    ds : Dataset
        Only metadata are read.
    obs : str or mapping of str to (str or None)
        The observed variable; or several, each with its output (None: to be found).
    models : iterable of ProcessModel or of their classes
        In order of preference.

    Returns
    -------
    dict of str to (model, str)
        By variable: the same model for all, as it stood in ``models``, and the output's name.

    Raises
    ------
    LayoutError
        If a variable does not exist, or if no model has an output for it.
    """
    models = list(models)
    outputs = [_outputs(model) for model in models]
    wanted = _wanted(ds, obs, outputs)
    # where no units fit, those of the likely output are told of when the roles are recognised
    ranked = _ranked(ds, wanted, outputs, strict=True) or _ranked(ds, wanted, outputs, strict=False)
    if not ranked:
        raise LayoutError(_no_output(ds, wanted, models, outputs))
    _, position, chosen = min(ranked, key=lambda rank: rank[:2])
    if len(set(chosen.values())) < len(chosen):
        raise LayoutError(
            f"{' and '.join(chosen)} would be held against the same output. "
            'Give each its own: obs={"variable": "output", ...}.'
        )
    return {variable: (models[position], output) for variable, output in chosen.items()}


def _ranked(
    ds: xr.Dataset,
    wanted: Mapping[str, str | None],
    outputs: list[dict[str, Output]],
    *,
    strict: bool,
) -> list[tuple[int, int, dict[str, str]]]:
    """For each model that has all outputs: whether its first is one of them, place, outputs."""
    ranked = []
    for position, declared in enumerate(outputs):
        found = {v: _match(ds, v, output, declared, strict) for v, output in wanted.items()}
        chosen = {variable: output for variable, output in found.items() if output is not None}
        if len(chosen) == len(wanted):
            primary = next(iter(declared), None) in chosen.values()
            ranked.append((0 if primary else 1, position, chosen))
    return ranked


def _wanted(
    ds: xr.Dataset, obs: str | Mapping[str, str | None], outputs: list[dict[str, Output]]
) -> dict[str, str | None]:
    if isinstance(obs, str):
        obs = {obs: None}
    if not isinstance(obs, Mapping) or not obs:
        found = repr(obs) if len(repr(obs)) < 100 else f"a {type(obs).__name__}"
        raise LayoutError(
            f"obs is {found}. Give the name of the observed variable, or for several at once "
            '{"variable": "model output", ...}.'
        )
    for variable in obs:
        if variable not in ds.data_vars:
            there = ", ".join(map(str, ds.data_vars)) or "none"
            raise LayoutError(
                f"obs {variable!r} is no data variable of the Dataset. "
                f"{_meant(ds, variable, outputs)}It has {there}."
            )
    return dict(obs)


def _meant(ds: xr.Dataset, variable: str, outputs: list[dict[str, Output]]) -> str:
    """The observed variable where a model output was named instead; else a similar name."""
    for declared in outputs:
        if variable in declared:
            names = [str(name) for name in ds.data_vars]
            these = [n for n in names if _match(ds, n, None, declared, True) == variable]
            if these:
                found = " or ".join(f'obs="{name}"' for name in these)
                return f"It is an output of the model; name what was observed: {found}. "
    return close(variable, ds.data_vars)


def _outputs(model: Declared | type[Declared]) -> dict[str, Output]:
    return (model() if isinstance(model, type) else model).outputs


def _name(model: Declared | type[Declared]) -> str:
    return model.__name__ if isinstance(model, type) else model.name


def _match(
    ds: xr.Dataset,
    variable: str,
    output: str | None,
    outputs: Mapping[str, Output],
    strict: bool,
) -> str | None:
    """The output of a model for a variable: the one asked for, or found by name and units."""
    if output is not None:
        return output if output in outputs else None
    attrs = ds[variable].attrs
    standard, units = attrs.get("standard_name"), attrs.get("units")
    for name, declared in outputs.items():
        if standard is not None and standard in _standard_names(name, declared):
            if not strict or units is None or convertible(units, declared.units):
                return name
    for exact in (True, False):
        for name, declared in outputs.items():
            if _called(variable, name, declared, exact):
                if not strict or units is None or convertible(units, declared.units):
                    return name
    return None


def _standard_names(name: str, declared: Output) -> set[str]:
    quantity = quantity_of(name, declared)
    known = set(QUANTITIES[quantity].standard_names) if quantity else set()
    return known | ({declared.standard_name} if declared.standard_name else set())


def _called(variable: str, name: str, declared: Output, exact: bool) -> bool:
    if exact:
        return variable in (name, *declared.names)
    quantity = quantity_of(name, declared)
    usual = (name, *declared.names, *(QUANTITIES[quantity].names if quantity else ()))
    return variable.lower() in {n.lower() for n in usual}


def _no_output(
    ds: xr.Dataset,
    wanted: Mapping[str, str | None],
    models: Sequence[Declared | type[Declared]],
    outputs: list[dict[str, Output]],
) -> str:
    listed = "; ".join(
        f"{_name(model)}: "
        + ", ".join(f"{name} ({declared.units})" for name, declared in these.items())
        for model, these in zip(models, outputs, strict=True)
    )
    variable, output = next(iter(wanted.items()))
    if output is not None:
        every = {name for these in outputs for name in these}
        unknown = [o for o in wanted.values() if o is not None and o not in every]
        if unknown:
            head = f"no model has the output {unknown[0]!r}. {close(unknown[0], every)}"
        else:
            head = f"no model has all the outputs {', '.join(map(str, wanted.values()))}. "
    else:
        attrs = ds[variable].attrs
        head = (
            f"no model output was found for ds[{variable!r}] (standard_name "
            f"{attrs.get('standard_name')!r}, units {attrs.get('units')!r}). "
        )
    return (
        f"{head}Models and their outputs: {listed}. "
        f'Choose one: model=..., obs={{"{variable}": "output"}}.'
    )
