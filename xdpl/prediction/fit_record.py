"""What was chosen for a fit and what happened in it: typed, frozen, and one schema for all uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from ..runtime.json_types import Count, NotNegative, Positive, Within, build

__all__ = ["FitSettings", "Period", "Span", "TrainingRecord"]

Span: TypeAlias = slice | tuple[object, object] | str
Period: TypeAlias = Span | None
"""Times by their labels, as `xarray.Dataset.sel` takes them; None: all."""

LONGEST_WARMUP = 1e7
"""Days of spin-up at most that a file may claim."""

Size = Annotated[int, Within(1, 2**48)]
Share = Annotated[float, Within(0.0, 1.0)]
Warmup = Annotated[float, Within(0.0, LONGEST_WARMUP)]


class _Readable(Mapping[str, object]):
    """A frozen dataclass that can be read by key as well, as the JSON of a fit file has it.

    Tuples read by key are lists. A field whose default is None is left out while it is None, but
    for those in ``_always``.
    """

    _always: ClassVar[tuple[str, ...]] = ()

    def _shown(self) -> list[str]:
        return [
            f.name
            for f in fields(self)  # type: ignore[arg-type]
            if f.default is not None or f.name in self._always or getattr(self, f.name) is not None
        ]

    def __getitem__(self, key: str) -> Any:
        if key not in self._shown():
            raise KeyError(key)
        return _plain(getattr(self, key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown())

    def __len__(self) -> int:
        return len(self._shown())

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Self:
        """Make one from a mapping with the same keys; unknown ones are not read.

        Raises
        ------
        ValueError
            A value is missing, of another type or out of bounds.
        """
        return given if isinstance(given, cls) else build(cls, dict(given), cls.__name__)


def _plain(value: object) -> object:
    """Lists for tuples, as JSON has them."""
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


@dataclass(frozen=True, eq=False)
class FitSettings(_Readable):
    """Every choice made for a fit; read as ``settings.epochs`` or ``settings["epochs"]``.

    Attributes
    ----------
    period : (str, str)
        First and last day of the training period.
    warmup_days : float
        Spin-up ahead of each window.
    epochs, batch_size : int
        Passes over the training cells, and cells in a batch at most.
    learning_rate : float
        Of the optimiser, at its highest.
    seed : int
        Of the first weights and of the batches.
    deviations : bool
        Each training cell has a deviation of its own from what the network gives.
    past : (str, str), optional
        First and last day of the observations that the network reads.
    weights : dict of str to float
        Of the loss of each observed output.
    dynamic : tuple of str
        Parameters with one value per time step.
    ensemble : int
        Members wanted.
    validation : float, optional
        Share of the training cells that was held back for early stopping.
    validation_cells, patience : int, optional
        How many these were, and epochs without gain after which training stops.
    precision : {"float32", "mixed"}
        How the networks computed in training.
    window_days : float, optional
        Length of the windows with loss, where it wasn't a year.
    optimizer : str, optional
        Name and options of an optimizer of your own.
    gradient_clip : float, optional
        Largest norm of the gradient in a step.
    components : int, optional
        Parallel parameter sets that were asked for; None where their number was left to xdpl.
    climate : bool
        The network reads the climate of each cell besides its attributes.

    Examples
    --------
    >>> chosen = FitSettings(("2000-01-01", "2000-12-31"), 365.0, 10, 64, 0.005, 0)
    >>> chosen.epochs, chosen["period"]
    (10, ['2000-01-01', '2000-12-31'])
    """

    _always: ClassVar[tuple[str, ...]] = ("past", "validation")

    period: tuple[str, str]
    warmup_days: Warmup
    epochs: Count
    batch_size: Size
    learning_rate: NotNegative
    seed: Count
    deviations: bool = False
    past: tuple[str, str] | None = None
    weights: Mapping[str, Positive] = field(default_factory=dict)
    dynamic: tuple[str, ...] = ()
    ensemble: Size = 1
    validation: Share | None = None
    validation_cells: Count | None = None
    patience: Size | None = None
    precision: Literal["float32", "mixed"] = "float32"
    window_days: Warmup | None = None
    optimizer: str | None = None
    gradient_clip: Positive | None = 1.0
    components: Size | None = None
    climate: bool = False


@dataclass(frozen=True, eq=False)
class TrainingRecord(_Readable):
    """What happened in training; read as ``record.loss`` or ``record["loss"]``.

    Attributes
    ----------
    cells, batches : int
        Training cells, and batches in each epoch.
    left_out : tuple of str
        Sentences on what was left out, filled in or computed.
    loss : tuple of float
        Of each epoch; the mean over the members.
    seconds : float
        From the first reading to the end.
    device : str
        Where it was trained.
    versions : dict of str to str
        Of the packages used.
    messages : tuple of str
        Warnings given during the fit.
    validation : tuple of tuple of float, optional
        Loss of the validation cells after each epoch, of each member.
    best_epoch : tuple of int, optional
        Epoch whose weights were kept, of each member.
    stopped : str, optional
        Why training ended early.
    evaluations : float, optional
        Runs of the model per cell, where a search without gradients was used.
    """

    cells: Count = 0
    batches: Count = 0
    left_out: tuple[str, ...] = ()
    loss: tuple[float, ...] = ()
    seconds: NotNegative = 0.0
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    validation: tuple[tuple[float, ...], ...] | None = None
    best_epoch: tuple[Count, ...] | None = None
    stopped: str | None = None
    evaluations: NotNegative | None = None
