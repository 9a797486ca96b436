"""The contract of a black box: declarations like those of any model, and `run`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DeclarationError
from ..variables import Declared, Forcing, Output, Parameter

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["BlackBox", "Forcings", "Given"]


class Forcings(dict[str, NDArray[np.float64]]):
    """Forcings of a run by name, (time,), and what else a model may want to know.

    Attributes
    ----------
    time : pandas.DatetimeIndex or xarray.CFTimeIndex
        Time of each step; continuous, also through a spin-up that repeats a year.
    dt : float
        Length of a step in days.
    cell : str
        Label of the cell; for a vectorised model, a list of labels.
    folder : Path
        A directory of this run alone, removed after it.
    units : dict of str to str
        By forcing.
    """

    time: pd.Index
    dt: float
    cell: Any
    folder: Path
    units: Mapping[str, str]

    def to_dataset(self) -> xr.Dataset:
        """The forcings as a Dataset with dimension time and units."""
        import xarray as xr

        variables = {k: ("time", v, {"units": self.units.get(k, "")}) for k, v in self.items()}
        return xr.Dataset(variables, coords={"time": self.time})

    def to_dataframe(self) -> pd.DataFrame:
        """The forcings as a DataFrame with an index of times."""
        return pd.DataFrame(dict(self), index=self.time)


class BlackBox(Declared, ABC):
    """A model that is run as it is: no gradient, no reimplementation.

    Forcings, parameters and outputs are declared as class attributes, as in any process model,
    and `run` makes one run. `xdpl.emulate` trains a surrogate on such runs.

    Attributes
    ----------
    vectorised : bool
        Whether one call of `run` takes many cells: forcings (time, cell), parameters (cell,),
        outputs (time, cell).
    isolate : bool
        Whether runs are made in a process of their own, whose working directory is the run's own.
    timeout : float, optional
        Seconds after which a run counts as hanging; it is ended if it is isolated, as it then is.
    """

    vectorised: bool = False
    isolate: bool = False
    timeout: float | None = None

    @abstractmethod
    def run(
        self, forcings: Forcings, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | xr.Dataset:
        """Run the model over all time steps of one cell.

        Parameters
        ----------
        forcings : Forcings
            {name: ndarray (time,)} in the declared units, with ``time``, ``dt``, ``cell`` and
            ``folder``.
        parameters : mapping of str to float
            In the declared units.

        Returns
        -------
        mapping of str to array (time,)
            One entry for every declared output; a DataArray with ``units`` is converted.
        """

    @property
    def contained(self) -> bool:
        """Whether runs are made in a process of their own."""
        return self.isolate or self.timeout is not None


class Given(BlackBox):
    """A black box whose declarations are arguments instead of class attributes.

    Parameters
    ----------
    forcings, parameters, outputs : mapping of str to Forcing, Parameter, Output
        Declarations by name.
    name : str
        Under which files remember it.
    timesteps : (float, float)
        Shortest and longest step, in days.
    isolate, timeout
        As of `BlackBox`.
    """

    def __init__(
        self,
        forcings: Mapping[str, Forcing],
        parameters: Mapping[str, Parameter],
        outputs: Mapping[str, Output],
        *,
        name: str,
        timesteps: tuple[float, float] = (1.0, 1.0),
        isolate: bool = False,
        timeout: float | None = None,
    ) -> None:
        self._name = name
        self._given = {"forcings": forcings, "parameters": parameters, "outputs": outputs}
        for (kind, given), wanted in zip(
            self._given.items(), (Forcing, Parameter, Output), strict=True
        ):
            _check(name, kind, given, wanted)
        self.timesteps = timesteps  # type: ignore[misc]
        self.isolate, self.timeout = isolate, timeout

    def _declared(self, kind: str) -> dict[str, Any]:
        return dict(self._given.get(kind, {}))

    @property
    def name(self) -> str:
        return self._name


def _check(name: str, kind: str, given: Any, wanted: type) -> None:
    """Raise DeclarationError unless it is {name: declaration}, and not empty."""
    fine = isinstance(given, Mapping) and given
    wrong = [k for k, v in given.items() if not isinstance(v, wanted)] if fine else []
    if not fine or wrong:
        found = f"{wrong[0]!r}: {given[wrong[0]]!r}" if wrong else repr(given)
        raise DeclarationError(
            f"{kind} of {name} hold {found}. "
            f'Give {{"name": xdpl.{wanted.__name__}("units", ...)}}, one or more.'
        )


def shape_of(values: Mapping[str, NDArray[Any]]) -> tuple[int, ...]:
    """Shape of the forcings of a run."""
    return np.shape(next(iter(values.values())))
