"""A component with the Basic Model Interface as a black box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeclarationError, ModelRunError, UnitsError
from ..units import conversion
from ..variables import Forcing, Output, Parameter
from .base import Forcings, Given
from .files import Content, fields_of, fill, write_files

__all__ = ["BMI"]

METHODS = ("initialize", "update", "get_value", "finalize")


class BMI(Given):
    """A component with the Basic Model Interface, of one cell.

    No package is needed for it: whatever has the methods ``initialize``, ``update``,
    ``get_value``, ``set_value`` and ``finalize`` will do (Hutton et al. 2020,
    doi:10.21105/joss.02317). What it reads from files is written into the folder of the run;
    what it takes through ``set_value`` is set before each step (forcings) or once (parameters).
    A component whose own time step is shorter than the record's is updated as often as it takes,
    and its outputs are averaged over each step of the record.

    Parameters
    ----------
    component : callable
        Makes a fresh component: its class.
    forcings, parameters, outputs : mapping of str to Forcing, Parameter, Output
        Declarations by name.
    config : str
        Argument of ``initialize``: a file among ``files``, or another template.
    files : mapping of str to (str, Table, Path or callable)
        Files of a run; see `CommandLine`.
    variables : mapping of str to str
        The component's name of each output, and of each forcing and parameter that is set
        through ``set_value``. An output that is not named bears its own name; a forcing or
        parameter that is not named is only found in the files.
    units : mapping of str to str
        Units of the component's variables where ``get_var_units`` is wrong or missing; and those
        of ``time`` where ``get_time_units`` is.
    name : str, optional
        Under which files remember it; the class's name by default.
    **keywords
        ``timesteps``, ``isolate``, ``timeout``, as of `BlackBox`.
    """

    def __init__(
        self,
        component: Callable[[], Any],
        *,
        forcings: Mapping[str, Forcing],
        parameters: Mapping[str, Parameter],
        outputs: Mapping[str, Output],
        config: str = "",
        files: Mapping[str, Content] | None = None,
        variables: Mapping[str, str] | None = None,
        units: Mapping[str, str] | None = None,
        name: str | None = None,
        **keywords: Any,
    ) -> None:
        lacking = [m for m in METHODS if isinstance(component, type) and not hasattr(component, m)]
        if not callable(component) or lacking:
            raise DeclarationError(
                f"component is {component!r}"
                + (f", which has no {', '.join(lacking)}" if lacking else "")
                + ". Give the class of a component with the Basic Model Interface."
            )
        named = name or str(getattr(component, "__name__", type(component).__name__))
        super().__init__(forcings, parameters, outputs, name=named, **keywords)
        self.component, self.config = component, config
        self.files, self.units = dict(files or {}), dict(units or {})
        self.variables = {**{k: k for k in outputs}, **dict(variables or {})}
        unknown = set(self.variables) - {*forcings, *parameters, *outputs}
        if unknown:
            raise DeclarationError(
                f"variables tell of {', '.join(sorted(unknown))}, which {named} doesn't declare. "
                f"It declares {', '.join([*forcings, *parameters, *outputs])}."
            )

    def run(self, forcings: Forcings, parameters: Mapping[str, Any]) -> dict[str, Any]:
        write_files(self.files, forcings, parameters)
        component = self.component()
        fields = fields_of(forcings, parameters)
        config = fill(self.config, fields)
        path = forcings.folder / config
        component.initialize(str(path) if config in self.files else config)
        try:
            return self._steps(component, forcings, parameters)
        finally:
            component.finalize()

    def _steps(
        self, component: Any, forcings: Forcings, parameters: Mapping[str, Any]
    ) -> dict[str, NDArray[np.float64]]:
        for name, value in parameters.items():
            if name in self.variables:
                scale, offset = self._conversion(component, name, self.parameters[name].units, True)
                _set(component, self.variables[name], value * scale + offset)
        driven = {}
        for name, series in forcings.items():
            if name in self.variables:
                scale, offset = self._conversion(component, name, self.forcings[name].units, True)
                driven[self.variables[name]] = series * scale + offset
        steps = len(forcings.time)
        found = {name: np.zeros(steps) for name in self.outputs}
        updates = self._updates(component, forcings.dt)
        box = {name: np.empty(1) for name in self.outputs}
        for step in range(steps):
            for variable, series in driven.items():
                _set(component, variable, series[step])
            for _ in range(updates):
                component.update()
                for name, values in found.items():
                    got = component.get_value(self.variables[name], box[name])[0]
                    values[step] += got / updates
        for name, values in found.items():
            scale, offset = self._conversion(component, name, self.outputs[name].units, False)
            values *= scale
            values += offset
        return found

    def _updates(self, component: Any, dt: float) -> int:
        """How often the component is updated in a step of the record, of ``dt`` days."""
        try:
            own = float(component.get_time_step())
            units = self.units.get("time") or str(component.get_time_units())
        except Exception:  # noqa: BLE001  components that don't tell make one step for one
            return 1
        try:
            days = own * conversion(units.partition(" since ")[0], "day", variable="time")[0]
        except UnitsError as problem:
            raise ModelRunError(
                f"the component's time has units {units!r}, which are none of time. Say what they "
                'really are: units={"time": ...}.',
                "time step",
            ) from problem
        ratio = dt / days if days > 0 else 0.0
        updates = round(ratio)
        if updates < 1 or abs(ratio - updates) > 1e-6 * updates:
            raise ModelRunError(
                f"the component's step is {own:g} {units}, that of the record {dt:g} days, which "
                "is no multiple of it. Configure the component, or resample the record.",
                "time step",
            )
        return updates

    def _conversion(
        self, component: Any, name: str, declared: str, into: bool
    ) -> tuple[float, float]:
        """Scale and offset from the declared units to the component's, or back."""
        theirs = self.units.get(name)
        if theirs is None:
            try:
                theirs = component.get_var_units(self.variables[name])
            except Exception:  # noqa: BLE001  components raise many kinds for what they don't tell
                return 1.0, 0.0
        try:
            pair = (declared, theirs) if into else (theirs, declared)
            return conversion(*pair, variable=name)
        except UnitsError as problem:
            raise ModelRunError(
                f"{self.variables[name]!r} of the component has units {theirs!r}; {name} is "
                f"declared in {declared!r}. Correct the declaration, or say what they really are: "
                f"units={{{name!r}: ...}}.",
                "units",
            ) from problem


def _set(component: Any, variable: str, value: float) -> None:
    component.set_value(variable, np.array([value], dtype=np.float64))
