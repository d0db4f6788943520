"""Other processes that use a store: run as a program it does one of the functions below, step by step."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import syscalls
from hpc_connect.errors import HPCConnectError
from hpc_connect.identity import ProcessIdentity
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, JobStatus
from hpc_connect.store import Intent, Store

if TYPE_CHECKING:
    from collections.abc import Callable


class Child:
    """One process that does ``function(store, *arguments)`` of this module.

    It says what it reaches, and goes on when told to.
    """

    def __init__(
        self, function: Callable[..., None], path: str, *arguments: object, **options: object
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, function.__name__, path, json.dumps([arguments, options])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def hear(self) -> Any:
        """What it says next; None when it has ended instead."""
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def hear_all(self) -> list[Any]:
        """What it says from now on until its end."""
        return [json.loads(line) for line in self._process.stdout]

    def go_on(self) -> None:
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Let it go on to its end; how it ended."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        returncode = self._process.wait()
        self._process.stdout.close()
        return returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.end()


def spec(text: str = "true") -> JobSpec:
    return JobSpec(commands=[text], env={"SECRET": "do not keep me"})


def intent(job_id: str, **given: Any) -> Intent:
    return Intent(
        **{"id": job_id, "cluster": "here", "backend": "shell", "name": "job", "spec": spec(), **given}
    )


def mount_table(folder: str | os.PathLike[str], type_: str, options: str = "rw") -> str:
    """A table of mounts that says of every folder what a test needs. What is done about it is real."""
    table = os.path.join(folder, f"mountinfo-{type_}-{options}")
    with open(table, "w", encoding="utf-8") as file:
        file.write(f"1 0 0:1 / / rw - {type_} source {options}\n")
    return table


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def wait() -> None:
    """Until the parent says go on, or lets go."""
    sys.stdin.readline()


# ------------------------------------------------------------ what a child can do


def intend_many_times(store: Store, label: str, count: int) -> None:
    say("ready")
    wait()
    for number in range(count):
        say(store.intend(intent(f"{label}-{number}")).id)


def intend_with_key(store: Store, job_id: str, key: str, text: str) -> None:
    say("ready")
    wait()
    try:
        say(store.intend(intent(job_id, key=key, spec=spec(text))).id)
    except HPCConnectError as error:
        say(type(error).__name__)


def adopt(store: Store, job_id: str) -> None:
    store.find(job_id)
    say("ready")
    wait()
    say(store.adopt(job_id))
    wait()


def intend_and_stay(store: Store, *job_ids: str) -> None:
    for job_id in job_ids:
        store.intend(intent(job_id))
    say("intended")
    wait()


def note_end(store: Store, job_id: str, state: str, exit_code: int | None) -> None:
    say("ready")
    wait()
    stored = store.note_status(job_id, JobStatus(state=JobState(state), exit_code=exit_code))
    say([stored.state, stored.exit_code])


def intend_in_steps(store: Store, job_id: str) -> None:
    """Says each statement before it is run, and waits."""
    store.find("open the file")

    def announce(statement: str) -> None:
        say(statement.split(maxsplit=1)[0])
        wait()

    store._file._connection.set_trace_callback(announce)
    store.intend(intent(job_id))
    say("returned")
    wait()


def intend_until_killed_at(store: Store, job_id: str, call: str) -> None:
    store.find("open the file")
    say("ready")
    syscalls.die_at(call)
    store.intend(intent(job_id))
    say("returned")


def intend_while_failing(store: Store, job_id: str, call: str, error: str) -> None:
    """The file is open before it fails, if the job is called "late"."""
    if job_id == "late":
        store.find("open the file")
    syscalls.fail(call, getattr(errno, error))
    try:
        store.intend(intent(job_id))
        say("returned")
    except HPCConnectError as problem:
        say([type(problem).__name__, str(problem)])


def intend_with_small_files(store: Store, limit: int) -> None:
    """Intends until no file may grow any more; says each, and the error."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        for number in range(10_000):
            store.intend(intent(f"small-{number}"))
            say(f"small-{number}")
    except HPCConnectError as problem:
        say([type(problem).__name__, str(problem)])


def keep_open(store: Store) -> None:
    store.find("open the file")
    say("open")
    wait()


def fork(store: Store) -> None:
    """Parent and child both write, the child before and after the parent has closed."""
    store.intend(intent("before"))
    pid = os.fork()
    if pid == 0:
        say([os.readlink(f"/proc/self/fd/{number}") for number in _open_descriptors()])
        store.intend(intent("child"))
        sys.exit()  # with everything that the interpreter does at its end
    assert os.waitpid(pid, 0)[1] == 0
    store.intend(intent("parent"))


def fork_while_writing(store: Store, count: int) -> None:
    """Forks again and again while another thread writes; every child writes too."""
    done = threading.Event()

    def write() -> None:
        for number in itertools.count():
            store.intend(intent(f"thread-{number}"))
            if done.wait(0.002):
                return

    thread = threading.Thread(target=write)
    thread.start()
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)  # a child that hangs ends, and not well
            store.intend(intent(f"forked-{number}"))
            os._exit(0)
        say(os.waitpid(pid, 0)[1])
    done.set()
    thread.join()


def identify(_store: Store, name: str = "python") -> None:
    """Says who it is, under another name (proc(5), /proc/PID/comm)."""
    with open("/proc/self/comm", "w") as file:
        file.write(name)
    here = ProcessIdentity.here()
    say([here.pid, here.start_ticks])
    wait()


def _open_descriptors() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            os.fstat(int(name))
            found.append(int(name))
    return found


if __name__ == "__main__":
    given, options = json.loads(sys.argv[3])
    with Store(sys.argv[2], **options) as opened:
        globals()[sys.argv[1]](opened, *given)
