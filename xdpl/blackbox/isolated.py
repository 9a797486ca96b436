"""Runs in a process of their own, so that one that hangs can be ended.

The process is started once for each thread and box, and again after it had to be ended. It is a
plain subprocess: those of `multiprocessing` can't be started from a worker of a cluster. What is
sent to it and back never leaves this machine and comes from nobody else.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import cloudpickle

from ..errors import DeclarationError, ModelRunError, XdplError
from .base import BlackBox
from .outcome import Job, Outcome, Values, execute_here

__all__ = ["run_contained", "workers_of"]

START = 120.0
"""Seconds that a process may take to start: it imports what the model needs."""

_here = threading.local()
_lock = threading.Lock()
_users: Counter[int] = Counter()
_started: dict[int, list[_Worker]] = {}


def run_contained(box: BlackBox, job: Job) -> Values:
    """Make one run in this thread's process for the box."""
    held: _Worker | None = getattr(_here, "held", None)
    if held is None or held.box() is not box or not held.alive:
        if held is not None:
            held.end()
        held = _here.held = _Worker(box)
    return held.run(job)


@contextlib.contextmanager
def workers_of(box: BlackBox) -> Iterator[None]:
    """End the processes of a box once the last of those that use it at the same time is done."""
    with _lock:
        _users[id(box)] += 1
    try:
        yield
    finally:
        with _lock:
            _users[id(box)] -= 1
            done = [] if +_users[id(box)] else _started.pop(id(box), [])
        for worker in done:
            worker.end()


class _Worker:
    """A process that makes runs of one box, one after another."""

    def __init__(self, box: BlackBox) -> None:
        self.name, self.timeout = box.name, box.timeout
        self.box = weakref.ref(box)
        try:
            sent = cloudpickle.dumps(box)
        except Exception as problem:  # whatever an object raises that can't be pickled
            raise _unsendable(self.name, problem) from problem
        self.process = subprocess.Popen(
            [sys.executable, "-c", _program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(self.process, self.answers), daemon=True).start()
        weakref.finalize(box, _kill, self.process)  # at the latest: also when all ends
        with _lock:
            if _users[id(box)]:
                _started.setdefault(id(box), []).append(self)
        self._begin(sent)

    def _begin(self, sent: bytes) -> None:
        try:
            problem = self._ask(sent, START)
        except queue.Empty:
            self.end()
            raise ModelRunError(
                f"the process of {self.name} did not start within {START:g} s.", "not started"
            ) from None
        if problem is not None:
            self.end()
            raise _unsendable(self.name, problem)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def run(self, job: Job) -> Values:
        try:
            outcome = self._ask(cloudpickle.dumps(job), self.timeout)
        except queue.Empty:
            self.end()
            raise ModelRunError(f"the run was ended after {self.timeout:g} s.", "timeout") from None
        if isinstance(outcome, XdplError):
            raise outcome  # a mistake in the declarations, not in the run
        if outcome.cause:
            raise ModelRunError(outcome.message, outcome.cause)
        values: Values = outcome.values
        return values

    def _ask(self, content: bytes, seconds: float | None) -> Any:
        """Send something, and wait for the answer; queue.Empty where none came in time."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it died: there is no answer, either
            pickle.dump(content, self.process.stdin)
            self.process.stdin.flush()
        answer = self.answers.get(timeout=seconds)
        if answer:
            return cloudpickle.loads(answer)
        status = self.process.wait()
        self.end()
        raise ModelRunError(f"the process of {self.name} died, with status {status}.", "died")

    def end(self) -> None:
        _kill(self.process)


def _program() -> str:
    """What the process runs: it finds what is found here."""
    path = [folder or os.getcwd() for folder in sys.path]
    return f"import sys; sys.path[:] = {path!r}; import {__name__} as made; made.serve()"


def _listen(process: subprocess.Popen[bytes], answers: queue.SimpleQueue[bytes]) -> None:
    """Hand on each answer; an empty one when no more will come."""
    assert process.stdout is not None
    with process.stdout as stream:
        while True:
            try:
                answers.put(pickle.load(stream))  # noqa: S301  from our own process
            except Exception:  # noqa: BLE001  it ended, perhaps in the middle of an answer
                answers.put(b"")
                return


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    with contextlib.suppress(OSError):  # what was not sent yet can't be sent any more
        if process.stdin is not None:
            process.stdin.close()


def _unsendable(name: str, problem: Exception) -> DeclarationError:
    return DeclarationError(
        f"{name} can't be sent to a process of its own: {type(problem).__name__}: {problem}. Open "
        "files and connections within run, or give neither isolate= nor timeout=."
    )


class _Bare(BlackBox):
    """The box without its wish to be contained: it is, by now."""

    def __init__(self, box: BlackBox) -> None:
        self.box = box

    def _declared(self, kind: str) -> dict[str, object]:
        return self.box._declared(kind)

    def run(self, forcings: Any, parameters: Any) -> Any:
        os.chdir(forcings.folder)
        try:
            return self.box.run(forcings, parameters)
        finally:
            os.chdir(tempfile.gettempdir())


def serve() -> None:
    """Make the runs that come through standard input until it is closed."""
    given, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what the model prints is no answer
    box: BlackBox | None = None
    while True:
        try:
            content = pickle.load(given)  # noqa: S301  from our own process
        except (EOFError, KeyboardInterrupt):
            return
        answer: Exception | Outcome | None = None
        try:
            if box is None:
                box = _Bare(cloudpickle.loads(content))
            else:
                answer = execute_here(box, [cloudpickle.loads(content)])[0]
        except Exception as problem:  # noqa: BLE001  told where it can be acted on
            answer = problem
        pickle.dump(_packed(answer), answers)
        answers.flush()


def _packed(answer: Exception | Outcome | None) -> bytes:
    try:
        packed: bytes = cloudpickle.dumps(answer)
        cloudpickle.loads(packed)  # some exceptions can be packed, but not unpacked
    except Exception:  # noqa: BLE001  of any kind
        packed = cloudpickle.dumps(RuntimeError(f"{type(answer).__name__}: {answer}"))
    return packed
