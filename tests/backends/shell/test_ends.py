"""How jobs end, and what is said of it: exit code and signal kept apart, whatever the script does."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from hpc_connect.errors import JobFailed
from hpc_connect.spec import JobSpec
from hpc_connect.status import JobState, Reason
from local_jobs import processes_of, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpc_connect.backends.shell import ShellBackend
    from local_jobs import Client

WAYS_TO_EXIT = {
    "exits early": ("exit 3; echo never", 3),
    "exits early with success": ("exit 0; false", 0),
    "fails": ("false", 1),
    "fails in a pipe": ("set -o pipefail; false | true", 1),
    "set -e": ("set -e; false; true", 1),
    "execs": ("exec sh -c 'exit 4'", 4),
    "execs another program": ("exec true", 0),
    "traps its exit": ("trap 'exit 5' EXIT; exit 1", 5),
    "traps all signals": ("trap '' HUP INT TERM; exit 6", 6),
    "traps a signal it sends itself": ("trap 'exit 7' TERM; kill $$; sleep 10", 7),
    "closes its descriptors": ("exec 0<&- 1>&- 2>&-; exit 8", 8),
    "closes all there could be": ('for n in $(seq 3 255); do eval "exec $n>&-"; done; exit 9', 9),
    "changes directory": ("cd /; exit 10", 10),
    "reads its input": ("read line; cat; exit 11", 11),
    "exits like an end by signal": ("exit 143", 143),
    "exits like an end by SIGKILL": ("(exit 137)", 137),
    "cannot find its program": ("/no/such/program", 127),
    "cannot run its program": ("/dev/null", 126),
    "changes session": ("exec setsid --wait sh -c 'exit 12'", 12),
    "removes its own script": ('rm -f -- "$0"; exit 13', 13),
    "empties its environment": ("exec env -i sh -c 'exit 14'", 14),
    "has no more room for files": ("ulimit -n 3; exit 15", 15),
    "leaves 256": ("exit 256", 0),
    "leaves a child behind it": ("sleep 0.01 & exit 16", 16),
}


@pytest.mark.parametrize(("text", "code"), WAYS_TO_EXIT.values(), ids=WAYS_TO_EXIT)
def test_a_script_that(backend: ShellBackend, text: str, code: int) -> None:
    job = backend.submit("job", [text])
    assert job.wait() == job.returncode == job.poll() == code
    assert (job.status.exit_code, job.status.signal) == (code, None)
    assert job.status.state is (JobState.FAILED if code else JobState.COMPLETED)
    assert job.status.reason is (Reason.EXIT if code else None)


def test_a_script_that_cannot_be_parsed(backend: ShellBackend) -> None:
    job = backend.submit(JobSpec(script="#!/bin/bash\nif true; then\n"))
    assert job.wait() == 2
    assert "syntax error" in job.output()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP, signal.SIGPIPE, 50]
)
def test_an_end_by_signal_is_told_apart_from_an_exit_code(backend: ShellBackend, number: int) -> None:
    job = backend.submit("job", [f"ulimit -c 0; kill -{int(number)} $$; sleep 10"])
    assert job.wait() == -number
    assert (job.status.exit_code, job.status.signal) == (None, number)
    assert (job.status.state, job.status.reason) == (JobState.FAILED, Reason.SIGNAL)


def test_a_program_of_the_script_that_a_signal_ends_is_an_exit_code_as_the_shell_gives_it(
    backend: ShellBackend,
) -> None:
    job = backend.submit("job", ["sh -c 'kill -9 $$'"])
    assert job.wait() == 137
    assert job.status.reason is Reason.EXIT


def test_a_failed_job_raises_with_the_end_of_its_output(backend: ShellBackend) -> None:
    job = backend.submit("job", ["seq 1000; echo the reason >&2; exit 3"])
    with pytest.raises(JobFailed) as caught:
        job.result()
    assert caught.value.job_id == job.id
    assert caught.value.status.exit_code == 3
    assert caught.value.output_tail.endswith("\n999\n1000\nthe reason")


def test_processes_that_outlive_the_script_are_left_alone(backend: ShellBackend) -> None:
    job = backend.submit("job", ["sleep 100 & exit 0"])
    assert job.wait() == 0
    (left,) = processes_of(job.id)
    assert left.name() == "sleep"
    left.kill()


def test_a_program_that_the_kernel_will_not_start_is_a_failure_to_launch(backend: ShellBackend) -> None:
    job = backend.submit("job", ["true"], variables={"A": "x" * 200_000}, inherit_env=False)
    assert job.wait() == 0  # it is in the script
    job = backend.submit(JobSpec(script="#!/bin/sh\ntrue\n", env={"A": "x" * 200_000}))
    assert job.wait() == 127
    assert (job.status.state, job.status.reason) == (JobState.FAILED, Reason.LAUNCH)
    assert "Argument list too long" in job.status.message


def test_a_folder_that_vanished_meanwhile_is_a_failure_to_launch(backend: ShellBackend) -> None:
    os.mkdir("there")
    job = backend.submit("job", ["true"], workdir="there", output="/dev/null", hold=True)
    os.rmdir("there")
    job.release()
    assert job.wait() == 127
    assert job.status.reason is Reason.LAUNCH
    assert os.path.abspath("there") in job.status.message
    assert job.status.started_at is not None


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system with hardly any room."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], stderr=subprocess.DEVNULL
    ).returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_on_a_disk_that_gets_full_the_exit_code_survives(
    clients: Callable[..., Client], small_disk: Path
) -> None:
    client = clients(
        """
        job = backend.submit("job", [f"head -c 1M /dev/zero >'{arguments[0]}/fill' 2>/dev/null; exit 3"])
        say([job.wait(), job.status.message])
        try:
            backend.submit("job", ["true"])
        except hpc_connect.SubmitError as error:
            say(str(error))
        os.unlink(arguments[0] + "/fill")
        say(backend.submit("job", ["exit 4"]).wait())
        """,
        str(small_disk),
        options={"work_dir": str(small_disk / "records")},
    )
    assert client.hear() == [3, ""]
    refusal = client.hear()
    assert "No space left on device" in refusal
    assert "work_dir" in refusal
    assert client.hear() == 4


def test_a_record_folder_that_vanishes_does_not_change_the_result(
    clients: Callable[..., Client], own_environment: Path
) -> None:
    client = clients(
        """
        job = backend.submit("job", ["read line < pipe; exit 3"])
        say(job.native_id)
        say([job.wait(), job.status.message])
        """
    )
    os.mkfifo("pipe")
    client.hear()
    os.rename(client.records, client.records + ".away")
    with open("pipe", "w") as pipe:
        pipe.write("\n")
    code, message = client.hear()
    assert code == 3
    assert "cannot be recorded" in message


def test_jobs_of_a_program_that_ends_go_on(clients: Callable[..., Client]) -> None:
    client = clients(
        'say([backend.submit("job", ["read line < pipe; echo done"]).output_path for _ in range(2)])'
    )
    os.mkfifo("pipe")
    (paths,) = client.hear_all()
    with open("pipe", "w") as pipe:
        pipe.write("\n\n")
    until(lambda: all(os.path.exists(path) and os.path.getsize(path) for path in paths))
