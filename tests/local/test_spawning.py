"""How the program of a job is started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest


def spawn(text: str = "true", **changes: Any) -> int:
    """Start a shell as a supervisor would, and wait for its end; in a process of its own, as it changes directory."""
    with open("script", "w") as file:
        file.write(text)
    order = {
        "argv": ["/bin/sh"],
        "env": {"PATH": os.environ["PATH"]},
        "workdir": os.getcwd(),
        "stdin": None,
        "stdout": os.path.abspath("out"),
        "stderr": None,
        "attempt": 1,
        **changes,
    }
    program = f"""if True:
        import os
        from hpc_connect.local.spawning import spawn
        fds = os.listdir("/proc/self/fd")
        try:
            pid = spawn({order!r}, {os.path.abspath("script")!r})
        except OSError as error:
            print(error)
            pid = None
        assert os.getcwd() == "/"
        assert os.listdir("/proc/self/fd") == fds
        if pid is not None:
            raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        raise SystemExit(99)
    """
    return subprocess.run([sys.executable, "-c", program], cwd="/", timeout=30).returncode


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_it_runs_in_a_session_of_its_own() -> None:
    assert spawn("exec ps -o pid=,sid= -p $$") == 0
    pid, session = read("out").split()
    assert pid == session


def test_the_first_attempt_empties_a_file_and_later_ones_go_on_with_it() -> None:
    with open("out", "w") as file:
        file.write("old\n")
    spawn("echo one")
    assert read("out") == "one\n"
    spawn("echo two", attempt=2)
    assert read("out") == "one\ntwo\n"


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_pipe_with_nobody_at_its_other_end_holds_up_nobody(stream: str) -> None:
    os.mkfifo("pipe")
    assert spawn("cat", **{stream: os.path.abspath("pipe")}) in (0, 99)


@pytest.mark.parametrize(
    "changes",
    [{"workdir": "/no/such"}, {"stdin": "/no/such"}, {"stdout": "/no/such/out"}, {"argv": ["/no/such"]}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_there_is_an_error_and_leaves_no_descriptor_open(changes: dict[str, Any]) -> None:
    assert spawn(**changes) == 99
