"""Jobs on this machine, for tests: a backend, programs that use one, and the processes of both."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import psutil
import pytest

import hpc_connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpc_connect.backends.shell import ShellBackend
    from hpc_connect.job import JobProcess
    from hpc_connect.status import JobState

SOON = 30.0  # seconds; only a test that fails waits as long


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """For records and store: one supervisor for all tests of a process."""
    return str(tmp_path_factory.mktemp("shell"))


@pytest.fixture
def backend(shared_folder: str, monkeypatch: pytest.MonkeyPatch) -> ShellBackend:
    """The shell backend, in the test's own working directory."""
    monkeypatch.setenv("XDG_STATE_HOME", os.path.join(shared_folder, "state"))
    monkeypatch.setenv("XDG_DATA_HOME", os.path.join(shared_folder, "data"))
    return hpc_connect.get_backend("shell", grace_window="1s")


@pytest.fixture
def clients(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Client]]:
    """Makes programs that use the shell backend of this test's own home, and ends them."""
    made: list[Client] = []
    # They start in a third of the time when what they import was compiled before.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp().parent / "compiled"))

    def client(text: str, *arguments: object, **options: Any) -> Client:
        made.append(Client(text, *arguments, **options))
        return made[-1]

    yield client
    for each in made:
        each.kill()
    for folder in {each.records for each in made}:
        for supervisor in supervisors(folder):
            until(
                lambda supervisor=supervisor: ended(supervisor), "a supervisor ends after its client and jobs"
            )


_PRELUDE = """
import json, os, signal, sys, threading, time
import hpc_connect
from hpc_connect import JobSpec, JobState
from local_jobs import reach, records_of, until

arguments = json.loads(sys.argv[1])
backend = hpc_connect.get_backend("shell", **{"grace_window": "1s", **json.loads(sys.argv[2])})

def say(what):
    print(json.dumps(what), flush=True)

def pause():
    "Until the test says go on, or lets go."
    return sys.stdin.readline().strip()
"""


class Client:
    """A program of its own. It says what it reaches, and goes on when it is told to."""

    def __init__(
        self, text: str, *arguments: object, options: dict[str, Any] | None = None, **popen: Any
    ) -> None:
        self.records = os.path.join(os.environ["HOME"], ".local/share/hpc_connect/shell")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _PRELUDE + textwrap.dedent(text),
                json.dumps(arguments),
                json.dumps(options or {}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
            **popen,
        )
        self.pid = self.process.pid

    def hear(self) -> Any:
        """What it says next."""
        line = self.process.stdout.readline()
        assert line, f"the client has ended with {self.process.wait()}"
        return json.loads(line)

    def hear_all(self) -> list[Any]:
        """What it says from now on; it must end well."""
        self.process.stdin.close()
        said = [json.loads(line) for line in self.process.stdout]
        assert self.process.wait() == 0
        return said

    def tell(self, text: str = "") -> None:
        """Let it go on."""
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def reach(job: JobProcess, *states: JobState) -> None:
    """Wait until a job is in one of these states, or was."""
    reached = threading.Event()
    job.add_status_callback(lambda _, status: reached.set() if status.state in states else None)
    assert job.status.state in states or reached.wait(SOON), job.status.describe()


def until(holds: Callable[[], object], what: str = "") -> None:
    """Wait for something that nobody reports."""
    last = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < last, f"still not: {what or holds}"
        time.sleep(0.005)


def supervisors(folder: str) -> list[psutil.Process]:
    """The supervisors that work in a record folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if folder in command and any("hpc_connect.local.supervisor" in word for word in command):
                found.append(process)
    return found


def processes_of(job_id: str) -> list[psutil.Process]:
    """The living processes that were started with a job's name in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HPC_CONNECT_JOB_ID") == job_id and not ended(process):
                found.append(process)
    return found


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, or would be if its parent had looked."""
    try:
        return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True


def records_of(backend: ShellBackend) -> list[str]:
    """Names of the files in the record folder, once what is known of ended jobs is stored."""
    backend._session().runner._journal.flush()
    path = backend._session().runner.folder.path
    return sorted(name for _, _, names in os.walk(path) for name in names)


def named_pipe(name: str) -> str:
    """A named pipe in the working directory, on which a job can wait."""
    os.mkfifo(name)
    return os.path.abspath(name)


def let_go(pipe: str, text: str = "") -> None:
    """Let whoever reads a named pipe go on."""
    with open(pipe, "w") as file:
        file.write(text + "\n")


def kill(process: psutil.Process) -> None:
    """SIGKILL, and its end."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)
    until(lambda: ended(process), f"{process} ends")
