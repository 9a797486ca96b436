"""The Layout: which variable plays which role, decided once; frozen and JSON-able."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["AttributeRole", "ForcingRole", "Layout", "ObservedRole", "Source"]


@dataclass(frozen=True)
class Source:
    """One variable of the Dataset and how its values become those wanted.

    Parameters
    ----------
    variable : str
        Its name.
    units : str
        Its units in the file.
    scale, offset : float
        ``wanted = value * scale + offset``.
    target : str
        The units wanted.
    quantity : str, optional
        Key of ``QUANTITIES``, whose limits its values must keep.
    area : str, optional
        Variable with the area of each cell by which the values are divided besides; ``scale``
        counts its units, too.
    valid_range : (float, float), optional
        Limits that the model declares, in the units wanted, instead of those of the quantity.
    dim : str
        Dimension of the twelve months of a climatology; empty for a series.
    """

    variable: str
    units: str
    scale: float
    offset: float
    target: str
    quantity: str | None = None
    area: str | None = None
    valid_range: tuple[float, float] | None = None
    dim: str = ""


@dataclass(frozen=True)
class ForcingRole:
    """How one forcing of the model is had from the Dataset.

    Parameters
    ----------
    name : str
        Name of the forcing in the model.
    units : str
        Units that the model wants.
    method : str
        "variable" for one as it is, else the method of a derivation: "mean" of a maximum and a
        minimum, "sum" of rain and snow, "priestley-taylor", "hargreaves", "oudin", "climatology".
    sources : dict of str to Source
        The variables by the part they play: "value"; "maximum" and "minimum"; ...
    quantity : str, optional
        Key of ``QUANTITIES``.
    standard_name, names : str, tuple of str
        As the model declares them, to recognise it in other Datasets.
    fallback : ForcingRole, optional
        What fills the values that are missing.
    valid_range, typical_range : (float, float), optional
        As the model declares them, in its units.
    """

    name: str
    units: str
    method: str
    sources: Mapping[str, Source]
    quantity: str | None = None
    standard_name: str | None = None
    names: tuple[str, ...] = ()
    fallback: ForcingRole | None = None
    valid_range: tuple[float, float] | None = None
    typical_range: tuple[float, float] | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of all variables that are read for it, those of the fallback included."""
        own = tuple(source.variable for source in self.sources.values())
        return own + (self.fallback.variables if self.fallback is not None else ())


@dataclass(frozen=True)
class ObservedRole:
    """An observed variable and the model output it is held against."""

    output: str
    source: Source
    standard_name: str | None = None
    names: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Name of the variable in the Dataset."""
        return self.source.variable

    @property
    def units(self) -> str:
        """Units of the model's output."""
        return self.source.target


@dataclass(frozen=True)
class AttributeRole:
    """A static variable that the network reads.

    Parameters
    ----------
    name : str
        Its name at the fit.
    units : str or None
        Its units at the fit; values of other Datasets are converted to them.
    classes : tuple of (float or str), optional
        The classes, for one that is no number. Values read are positions in this tuple.
    variable : str
        Its name in the Dataset at hand.
    scale, offset : float
        Conversion to ``units``.
    standard_name : str, optional
        Its standard name, to recognise it in other Datasets.
    fills : tuple of float
        Values in the file that stand for missing ones, besides the usual -9999 and its like.
    dim : str
        A dimension of the variable besides those of the cells; empty where there is none.
    item : int
        The place along it.
    """

    name: str
    units: str | None
    classes: tuple[float | str, ...] | None = None
    variable: str = ""
    scale: float = 1.0
    offset: float = 0.0
    standard_name: str | None = None
    fills: tuple[float, ...] = ()
    dim: str = ""
    item: int = 0


@dataclass(frozen=True)
class Layout:
    """Which variable of a Dataset plays which role.

    Parameters
    ----------
    time : str
        The time dimension; empty where only attributes are read.
    space : tuple of str
        Y before X; or the one dimension of basins; or none for a single point. Cells are stacked
        in this order, the last fastest.
    dt : float
        Length of a time step in days.
    labels : tuple of str
        The coordinates that name a cell: Y and X, or the identifier of a basin.
    forcings : dict of str to ForcingRole
        By the model's forcing.
    observed : dict of str to ObservedRole
        By the model's output.
    attributes : tuple of AttributeRole
        In the order in which the network reads them.
    notes : tuple of str
        Sentences for the summary.
    latitude : str or None
        Variable with the latitude; None: from the coordinate reference system, if needed.
    grid_mapping : str or None
        The variable that describes the coordinate reference system.
    timesteps : (float, float)
        Shortest and longest step in days that the model allows.
    """

    time: str
    space: tuple[str, ...]
    dt: float
    labels: tuple[str, ...] = ()
    forcings: Mapping[str, ForcingRole] = field(default_factory=dict)
    observed: Mapping[str, ObservedRole] = field(default_factory=dict)
    attributes: tuple[AttributeRole, ...] = ()
    notes: tuple[str, ...] = ()
    latitude: str | None = None
    grid_mapping: str | None = None
    timesteps: tuple[float, float] = (0.0, float("inf"))

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of the attributes, as at the fit."""
        return tuple(role.name for role in self.attributes)

    def variables(
        self, *, forcing: bool = True, observed: bool = True, attribute: bool = True
    ) -> tuple[str, ...]:
        """Names of the data variables that play a role, each once."""
        names: list[str] = []
        if forcing:
            names += [v for role in self.forcings.values() for v in role.variables]
        if observed:
            names += [role.variable for role in self.observed.values()]
        names += self.areas(forcing=forcing, observed=observed)
        if attribute:
            names += [role.variable for role in self.attributes]
        return tuple(dict.fromkeys(names))

    def areas(self, *, forcing: bool = True, observed: bool = True) -> list[str]:
        """Names of the variables with an area that others are divided by."""
        sources = [s for role in self.forcings.values() if forcing for s in role.sources.values()]
        sources += [role.source for role in self.observed.values() if observed]
        return [source.area for source in sources if source.area is not None]

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary of strings, numbers, lists and dictionaries."""
        return {name: _plain(getattr(self, name)) for name in _names(Layout)}

    def identity(self) -> dict[str, Any]:
        """`to_json` without the sentences for people.

        They name variables in the order of the Dataset, and a store may list them in another one
        each time that it is opened.
        """
        return {name: value for name, value in self.to_json().items() if name != "notes"}

    _lasting = identity  # names of lazy results follow from it, too

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Layout:
        """The Layout that ``to_json`` wrote."""
        given = dict(plain)
        return cls(
            time=given["time"],
            space=tuple(given["space"]),
            dt=float(given["dt"]),
            labels=tuple(given["labels"]),
            forcings={name: _forcing(role) for name, role in given["forcings"].items()},
            observed={name: _observed(role) for name, role in given["observed"].items()},
            attributes=tuple(_attribute(role) for role in given["attributes"]),
            notes=tuple(given["notes"]),
            latitude=given["latitude"],
            grid_mapping=given["grid_mapping"],
            timesteps=_pair(given["timesteps"]),
        )


def _names(cls: type) -> list[str]:
    return [f.name for f in fields(cls)]


_RARE = ("area", "valid_range", "typical_range", "dim")
"""Left out where there is none, so that what follows from the rest stays as it was."""


def _plain(value: object) -> Any:
    if isinstance(value, (Source, ForcingRole, ObservedRole, AttributeRole)):
        plain = {name: _plain(getattr(value, name)) for name in _names(type(value))}
        return {k: v for k, v in plain.items() if k not in _RARE or v}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value == float("inf"):
        return None  # JSON has no infinity
    return value


def _pair(values: Any) -> tuple[float, float]:
    low, high = (float("inf") if value is None else float(value) for value in values)
    return low, high


def _optional_pair(values: Any) -> tuple[float, float] | None:
    return None if values is None else _pair(values)


def _source(plain: Mapping[str, Any]) -> Source:
    return Source(**{**plain, "valid_range": _optional_pair(plain.get("valid_range"))})


def _forcing(plain: Mapping[str, Any]) -> ForcingRole:
    given = dict(plain)
    given["sources"] = {part: _source(source) for part, source in given["sources"].items()}
    for name in ("valid_range", "typical_range"):
        given[name] = _optional_pair(given.get(name))
    given["names"] = tuple(given["names"])
    given["fallback"] = _forcing(given["fallback"]) if given["fallback"] else None
    return ForcingRole(**given)


def _observed(plain: Mapping[str, Any]) -> ObservedRole:
    given = dict(plain)
    return ObservedRole(
        output=given["output"],
        source=_source(given["source"]),
        standard_name=given["standard_name"],
        names=tuple(given["names"]),
    )


def _attribute(plain: Mapping[str, Any]) -> AttributeRole:
    given = dict(plain)
    given["classes"] = None if given["classes"] is None else tuple(given["classes"])
    given["fills"] = tuple(given.get("fills", ()))
    return AttributeRole(**given)
