"""A whole fit of HBV to MOPEX, and what one iteration costs by part."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

ITERATIONS, BASINS, DAYS = 2000, 100, 730


class Stopwatch:
    """Seconds by part; the time of a part within another counts for the inner one alone."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done inside to a part."""
        self._inside.append(0.0)
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self.seconds[name] += spent - self._inside.pop()
            if self._inside:
                self._inside[-1] += spent

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts its time to a part."""

        def wrapped(*args: Any, **keywords: Any) -> Any:
            with self.part(name):
                return call(*args, **keywords)

        return wrapped


def _parts() -> list[tuple[Any, str, str]]:
    """Return (owner, attribute, part) of all that is timed."""
    from xdpl.engine import autograd, convolution, cpu, misfit
    from xdpl.parameters import Learner, ParameterTransform, ProcessSimulator
    from xdpl.training import Objective, loop, step, whole
    from xdpl.training.run import Plan

    return [
        (cpu.CpuLoop, "forward", "kernel, forward"),
        (cpu.CpuLoop, "reverse", "kernel, reverse"),
        (autograd._Loop, "apply", "around the kernels"),
        (convolution, "_launch", "routing"),
        (misfit, "_run", "loss"),
        (Objective, "__call__", "loss"),
        (Learner, "raw", "network"),
        (ParameterTransform, "__call__", "parameters"),
        (ProcessSimulator, "simulate", "model, outside the engine"),
        (whole, "deviated", "deviations"),
        (whole, "clip_per_cell", "gradients clipped"),
        (torch.Tensor, "backward", "torch's reverse pass"),
        (torch.nn.utils, "clip_grad_norm_", "gradients clipped"),
        (torch.optim.AdamW, "step", "optimiser"),
        (loop, "settle", "checks"),
        (step, "whole_step", "rest of a step"),
        (Plan, "__call__", "batches"),
    ]


@contextmanager
def _instrumented(watch: Stopwatch) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, part in _parts():
            call = getattr(owner, name)
            timed = _each(watch, part, call) if part == "batches" else watch.timed(part, call)
            stack.enter_context(mock.patch.object(owner, name, timed))
        yield


def _each(watch: Stopwatch, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a generator function that counts the time until each of its values."""

    def wrapped(*args: Any, **keywords: Any) -> Iterator[Any]:
        values = iter(call(*args, **keywords))
        while True:
            with watch.part(part):
                value = next(values, None)
            if value is None:
                return
            yield value

    return wrapped


def once(epochs: int) -> Any:
    """Fit HBV to the training years of MOPEX: 100 basins a batch, 730 days with the spin-up."""
    import xdpl
    from xdpl.models import HBV

    warnings.simplefilter("ignore", xdpl.errors.XdplWarning)
    with xdpl.tutorial.open_dataset("mopex") as opened:
        ds = opened.load()
    period = slice("1971-10-01", "1986-09-30")
    return xdpl.fit(
        ds, "qobs", model=HBV(), period=period, batch_size=BASINS, epochs=epochs, progress=False
    )


def report(threads: int) -> None:
    """Print the seconds of a fit, and the milliseconds of an iteration by part."""
    torch.set_num_threads(threads)
    batches = once(1).record["batches"]
    epochs = round(ITERATIONS / batches)
    fit = once(epochs)
    print(
        f"{threads} threads: {epochs * batches} iterations in {fit.record['seconds']:.1f} s, "
        f"last loss {fit.record['loss'][-1]:.4f}",
        flush=True,
    )
    watch = Stopwatch()
    with _instrumented(watch):
        fit = once(epochs // 4)
    count = fit.record["batches"] * (epochs // 4)
    each = {name: seconds / count * 1e3 for name, seconds in watch.seconds.items()}
    kernels = sum(value for name, value in each.items() if name.startswith("kernel"))
    print(
        f"an iteration, with the watch: {sum(each.values()):.2f} ms, of which outside the kernels "
        f"{sum(each.values()) - kernels:.2f} ms:"
    )
    for name, value in sorted(each.items(), key=lambda item: -item[1]):
        print(f"  {value:6.3f} ms  {name}")
