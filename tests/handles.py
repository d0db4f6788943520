"""Handles whose jobs exist only in a test, and an engine that may be killed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpc_connect import engine as engine_module
from hpc_connect.capability import Capability
from hpc_connect.engine import Engine, engine
from hpc_connect.job import JobProcess
from hpc_connect.process import HPCProcess
from hpc_connect.status import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

SOON = 30.0  # seconds; only a test that fails waits as long


class Plain(HPCProcess):
    """A handle as a plug-in writes it: ``poll`` and ``cancel``."""

    polling_frequency = 0.0

    def __init__(self, poll: Callable[[], int | None] = lambda: None, job_id: str = "plain") -> None:
        self.id = job_id
        self._poll = poll
        self.asked = 0
        self.cancelled = 0

    def poll(self) -> int | None:
        self.asked += 1
        return self._poll()

    def cancel(self) -> None:
        self.cancelled += 1


class Steered(Plain):
    """A plain handle whose job ends when a test says so."""

    def __init__(self, job_id: str = "steered") -> None:
        self.code: int | None = None
        super().__init__(lambda: self.code, job_id)


class Control:
    """What a backend is to its handles; notes what it is asked."""

    name = "test"

    def __init__(self, capabilities: frozenset[Capability] = frozenset(Capability)) -> None:
        self.capabilities = capabilities
        self.asked: list[tuple[str, ...]] = []
        self.files: dict[str, bytes] = {}
        self.reads: list[tuple[str, int | None]] = []

    def read_file(self, path: str, last: int | None = None) -> bytes:
        self.reads.append((path, last))
        content = self.files.get(path, b"")
        return content if last is None else content[-last:]

    def __getattr__(self, verb: str) -> Callable[..., None]:
        if not verb.endswith("_job"):
            raise AttributeError(verb)
        return lambda job, *arguments: self.asked.append((verb, job.id, *map(str, arguments)))


RUNNING = JobStatus(state=JobState.RUNNING)
COMPLETED = JobStatus(state=JobState.COMPLETED, exit_code=0)
SUBMITTING = JobStatus(state=JobState.SUBMITTING)


def job(
    status: JobStatus = RUNNING, control: Control | None = None, job_id: str = "ours", **more: str
) -> JobProcess:
    """A handle of the library's own, observed by the engine that there is."""
    made = JobProcess(control or Control(), job_id, status, **more)
    if not status.state.terminal:
        engine().register(made)
    return made


def observe(process: JobProcess, status: JobStatus, native_id: str | None = None) -> None:
    """Tell news of a job, as whoever observes it does, and wait until it was taken."""
    done = threading.Event()
    engine().call(process.observe, status, native_id)
    engine().call(done.set)
    assert done.wait(SOON)


@contextmanager
def mortal_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine of this process for a while; it may be killed, and is stopped at the end."""
    mortal = Engine()
    with monkeypatch.context() as patch:
        patch.setattr(engine_module._current, "engine", mortal)
        yield mortal
    if mortal._thread is not None:
        if mortal._failure is None:
            mortal.call(mortal._loop.stop)
        mortal._thread.join(SOON)


def kill(mortal: Engine) -> None:
    """Let it die of a mistake of ours, and wait until it has."""

    def mistake() -> None:
        raise ValueError("a mistake of ours")

    mortal.call(mistake)
    mortal._thread.join(SOON)
