"""Runs in a process of their own, so that one that hangs can be ended.

The process is started once for each thread and box, and again after it had to be ended. What is
sent to it and back never leaves this machine and comes from nobody else.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import weakref
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from ..errors import ModelRunError
from .base import BlackBox
from .outcome import Job, Values, execute

__all__ = ["run_contained"]

START = 120.0
"""Seconds that a process may take to start: it imports what the model needs."""

_workers = threading.local()


def run_contained(box: BlackBox, job: Job) -> Values:
    """Make one run in this thread's process for the box."""
    held = getattr(_workers, "held", None)
    if held is None or held.box is not box or not held.process.is_alive():
        if held is not None:
            held.end()
        held = _workers.held = _Worker(box)
    return held.run(job)


class _Worker:
    """A process that makes runs of one box, one after another."""

    def __init__(self, box: BlackBox) -> None:
        self.box = box
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        sent = cloudpickle.dumps(box)
        self.process = context.Process(target=_serve, args=(theirs, sent), daemon=True)
        self.process.start()
        theirs.close()
        weakref.finalize(self, _kill, self.process)
        if not self.pipe.poll(START):
            self.end()
            raise ModelRunError(
                f"the process of {box.name} did not start within {START:g} s.", "not started"
            )
        self.pipe.recv()

    def run(self, job: Job) -> Values:
        self.pipe.send(cloudpickle.dumps(job))
        if not self.pipe.poll(self.box.timeout):
            self.end()
            raise ModelRunError(f"the run was ended after {self.box.timeout:g} s.", "timeout")
        try:
            outcome: Any = self.pipe.recv()
        except EOFError as problem:
            self.process.join(5)
            status = self.process.exitcode
            self.end()
            raise ModelRunError(
                f"the process of {self.box.name} died in the run, with status {status}.", "died"
            ) from problem
        if outcome.cause:
            raise ModelRunError(outcome.message, outcome.cause)
        return outcome.values

    def end(self) -> None:
        self.pipe.close()
        _kill(self.process)


def _kill(process: Any) -> None:
    if process.is_alive():
        process.kill()
        process.join()


class _Bare(BlackBox):
    """The box without its wish to be contained: it is, by now."""

    def __init__(self, box: BlackBox) -> None:
        self.box = box

    def _declared(self, kind: str) -> dict[str, Any]:
        return self.box._declared(kind)

    def run(self, forcings: Any, parameters: Any) -> Any:
        os.chdir(forcings.folder)
        try:
            return self.box.run(forcings, parameters)
        finally:
            os.chdir(tempfile.gettempdir())


def _serve(pipe: Connection, sent: bytes) -> None:
    """Make the runs that come through the pipe until it is closed."""
    box = _Bare(cloudpickle.loads(sent))
    pipe.send("ready")
    while True:
        try:
            job = cloudpickle.loads(pipe.recv())
        except (EOFError, KeyboardInterrupt):
            return
        pipe.send(execute(box, [job])[0])
