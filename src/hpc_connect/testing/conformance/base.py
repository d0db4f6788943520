"""What the conformance tests share: the backend under test, and jobs that end with the test."""

from __future__ import annotations

import os
import select
import shlex
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from hpc_connect.errors import JobError, UnsupportedError
from hpc_connect.process import HPCProcess
from hpc_connect.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hpc_connect.backend import HPCBackend
    from hpc_connect.capability import Capability
    from hpc_connect.status import JobStatus

_A_MOMENT = 0.02  # seconds between two looks at what nobody reports


class ConformanceBase:
    """What a subclass says of the place that its backend submits to.

    Attributes:
        timeout: seconds after which a job that should have ended by itself counts as stuck.
        shared_files: whether a file that a job writes can be seen under the same path by the tests.
        shortest_time_limit: the shortest time limit that is kept to, see ``JobSpec.time_limit``.
    """

    timeout: float = 60.0
    shared_files: bool = True
    shortest_time_limit: float | str = 1.0

    @pytest.fixture
    def backend(self) -> HPCBackend:
        """The backend under test. A subclass has to define this."""
        raise NotImplementedError("define a fixture `backend` that gives the backend to be tested")

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where jobs are submitted from; a place whose jobs cannot run there needs another."""
        folder = tmp_path / "conformance"
        folder.mkdir()
        monkeypatch.chdir(folder)
        return folder

    @pytest.fixture
    def jobs(self, backend: HPCBackend, folder: Path) -> Iterator[Jobs]:
        """Submits jobs, and ends them after the test."""
        jobs = Jobs(backend, self.timeout)
        yield jobs
        jobs.end()

    @pytest.fixture
    def lifeline(self, tmp_path: Path) -> Iterator[Lifeline]:
        """Tells when a job's first process runs, and when its last is gone."""
        if not self.shared_files:
            pytest.skip("files of jobs cannot be seen from here")
        lifeline = Lifeline(str(tmp_path / "lifeline"), self.timeout)
        yield lifeline
        lifeline.close()


class Jobs:
    """The jobs of one test."""

    def __init__(self, backend: HPCBackend, timeout: float) -> None:
        self._backend = backend
        self._timeout = timeout
        self._made: list[HPCProcess] = []

    def need(self, *capabilities: Capability) -> None:
        """Skip the test where the backend does not declare them."""
        missing = sorted({*capabilities} - self._backend.capabilities)
        if missing:
            pytest.skip(f"backend {self._backend.name!r} does not declare {', '.join(missing)}")

    def submit(
        self, commands: Sequence[str | Sequence[str]] | None, *, key: str | None = None, **fields: Any
    ) -> HPCProcess:
        """Submit a specification."""
        spec = JobSpec(**{"name": "conformance", "commands": commands, **fields})
        return self.keep(lambda: self._backend.submit_spec(spec, key=key))

    def keep(self, submit: Callable[[], HPCProcess]) -> HPCProcess:
        """Call what submits a job. A field that every backend has a word for may be refused by name; then we skip."""
        try:
            process = submit()
        except UnsupportedError as error:
            if error.field in self._backend.capabilities:
                raise
            pytest.skip(f"refused by name: {error}")
        self._made.append(process)
        return process

    def run(self, commands: Sequence[str | Sequence[str]] | None, **fields: Any) -> HPCProcess:
        """Submit a specification, and wait for the end of the job."""
        process = self.submit(commands, **fields)
        process.wait(self._timeout)
        return process

    def printed(self, commands: Sequence[str | Sequence[str]] | None, **fields: Any) -> str:
        """What a job prints that ends well."""
        process = self.run(commands, **fields)
        assert process.status.describe() == "COMPLETED, exit code 0"
        return self.output_of(process)

    def output_of(self, process: HPCProcess) -> str:
        """What a job has printed so far, where its handle can read it."""
        if type(process).output is HPCProcess.output:
            pytest.skip(f"{type(process).__name__} does not read the output of jobs")
        return process.output()

    def until(self, process: HPCProcess, condition: Callable[[JobStatus], bool]) -> JobStatus:
        """Wait until the status is as it should become."""
        deadline = time.monotonic() + self._timeout
        while not condition(status := process.status):
            assert not status.state.terminal, f"it ended before: {status.describe()}"
            assert time.monotonic() < deadline, f"it stays as it is: {status.describe()}"
            with suppress(TimeoutError):
                process.wait(_A_MOMENT)
        return status

    def until_printed(self, process: HPCProcess, text: str) -> None:
        """Wait until a job has written this."""
        self.until(process, lambda _: text in self.output_of(process))

    def end(self) -> None:
        """Leave nothing running."""
        for process in self._made:
            with suppress(JobError):
                if process.poll() is None:
                    process.cancel()
                    process.wait(self._timeout)


class Lifeline:
    """A named pipe that every process of a job holds open, so that the kernel says when the last is gone."""

    def __init__(self, path: str, timeout: float) -> None:
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._timeout = timeout
        self.hold = f"exec 9>{shlex.quote(path)}"
        """A command of the job; whatever it starts afterwards holds the line, too."""
        self.call = "echo alive >&9"
        """A command for when everything has been started."""

    def wait_until_called(self) -> None:
        """Wait until the job has come so far."""
        assert self._has(select.POLLIN), "no process of the job was seen"
        os.read(self._descriptor, 100)

    def wait_until_gone(self) -> None:
        """Wait until no process of the job is left."""
        assert self._has(select.POLLHUP), "processes of the job are still there"

    def close(self) -> None:
        """It was for one test."""
        os.close(self._descriptor)

    def _has(self, event: int) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, event)
        return bool(poll.poll(self._timeout * 1000))
